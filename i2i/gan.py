"""Adversarial part of every translator: objectives, constraints on the critic, and the pool of past images.

An objective is the losses of critic and generator; a constraint limits the critic. They are chosen independently, and
both are tables: a new one is a row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import relu, softplus
from torch.nn.utils.parametrizations import spectral_norm

from i2i.diffaugment import DiffAugment, Seen


class Objective(NamedTuple):
    """Loss of each side, as functions of the critic's raw outputs on real and generated images."""

    critic: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]
    smoothed: Callable[[Tensor, Tensor, float], Tensor] | None = None
    """The critic's loss with the label 1 - s of real images (Salimans et al. 2016, arXiv:1606.03498, section 3.4), as
    a function of both outputs and s; None for an objective without labels."""


def smoothed_entropy(real: Tensor, fake: Tensor, s: float) -> Tensor:
    """Cross-entropy of logits with the labels 1 - s for real images and 0 for generated ones."""
    return (softplus(-real) + s * real).mean() + softplus(fake).mean()


OBJECTIVES = {
    # Goodfellow et al. 2014 (arXiv:1406.2661), eq. 1 for the critic; the generator maximises log D(G(z)) (section 3)
    "vanilla": Objective(
        critic=lambda real, fake: softplus(-real).mean() + softplus(fake).mean(),
        generator=lambda fake: softplus(-fake).mean(),
        smoothed=smoothed_entropy,
    ),
    # the same with the generator of eq. 1: it minimises log(1 - D(G(z)))
    "minimax": Objective(
        critic=lambda real, fake: softplus(-real).mean() + softplus(fake).mean(),
        generator=lambda fake: -softplus(fake).mean(),
        smoothed=smoothed_entropy,
    ),
    # Mao et al. 2017 (arXiv:1611.04076), eq. 9 without its halves
    "lsgan": Objective(
        critic=lambda real, fake: (real - 1).square().mean() + fake.square().mean(),
        generator=lambda fake: (fake - 1).square().mean(),
        smoothed=lambda real, fake, s: (real - 1 + s).square().mean() + fake.square().mean(),
    ),
    # Arjovsky et al. 2017 (arXiv:1701.07875), algorithm 1
    "wgan": Objective(
        critic=lambda real, fake: fake.mean() - real.mean(),
        generator=lambda fake: -fake.mean(),
    ),
    # Lim & Ye 2017 (arXiv:1705.02894)
    "hinge": Objective(
        critic=lambda real, fake: relu(1 - real).mean() + relu(1 + fake).mean(),
        generator=lambda fake: -fake.mean(),
    ),
    # Zhao et al. 2017 (arXiv:1609.03126), eqs. 1 and 2, with the output's absolute deviation as energy and margin 1
    "margin": Objective(
        critic=lambda real, fake: real.abs().mean() + relu(1 - fake.abs()).mean(),
        generator=lambda fake: fake.abs().mean(),
    ),
}


def wide(x: Tensor) -> Tensor:
    """Return x in at least single precision: a mean over a patch map loses too much in half."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


Critic = Callable[[Tensor], Tensor]
"""A critic as a function: images [n, c, h, w] to raw outputs of any shape, one or a map per image."""


def gradient(D: Critic, x: Tensor) -> Tensor:
    """Return the gradient of D's summed output at x, [n, c * h * w], itself differentiable."""
    x = x.detach().requires_grad_()
    (grad,) = torch.autograd.grad(D(x).sum(), x, create_graph=True)
    return grad.flatten(1)


def between(real: Tensor, fake: Tensor) -> Tensor:
    """Return a random point on the line between each real image and its generated one."""
    alpha = torch.rand(real.shape[0], 1, 1, 1, device=real.device, dtype=real.dtype)
    return alpha * real + (1 - alpha) * fake


def gp(D: Critic, real: Tensor, fake: Tensor) -> Tensor:
    """Gulrajani et al. 2017 (arXiv:1704.00028), eq. 3: the slope is 1 between data and samples."""
    return (gradient(D, between(real, fake)).norm(dim=1) - 1).square().mean()


def gp_real(D: Critic, real: Tensor, fake: Tensor) -> Tensor:
    """The same on the data manifold: the slope is 1 at the data (Kodali et al. 2017, arXiv:1705.07215)."""
    return (gradient(D, real).norm(dim=1) - 1).square().mean()


def r1(D: Critic, real: Tensor, fake: Tensor) -> Tensor:
    """Mescheder et al. 2018 (arXiv:1801.04406), eq. 9: half the squared slope at the data."""
    return gradient(D, real).square().sum(dim=1).mean() / 2


class Constraint(NamedTuple):
    """A constraint on a critic: a penalty with its authors' weight, or a change to the network."""

    penalty: Callable[[Critic, Tensor, Tensor], Tensor] | None = None
    weight: float = 0.0
    clip: float = 0.0
    spectral: bool = False


CONSTRAINTS = {
    "none": Constraint(),
    "clip": Constraint(clip=0.01),  # Arjovsky et al. 2017, algorithm 1
    "gp": Constraint(gp, weight=10.0),
    "gp-real": Constraint(gp_real, weight=10.0),
    "r1": Constraint(r1, weight=10.0),
    "spectral": Constraint(spectral=True),  # Miyato et al. 2018 (arXiv:1802.05957)
}


@dataclass(frozen=True)
class Adversarial:
    """Objective under a constraint, as a translator uses it; the label of real images is 1 - ``smoothing``.

    Raises ValueError for an unknown name, for ``wgan`` without a constraint, whose critic would be unbounded, and for
    ``smoothing`` of an objective without labels.
    """

    objective: str
    constraint: str = "none"
    smoothing: float = 0.0
    augment: DiffAugment = field(default_factory=DiffAugment, compare=False)
    """Random changes of what D sees, off until the run's setting turns them on."""

    def __post_init__(self) -> None:
        for what, name, table in (
            ("objective", self.objective, OBJECTIVES),
            ("constraint", self.constraint, CONSTRAINTS),
        ):
            if name not in table:
                raise ValueError(f"{what} is {name!r}; choose one of {', '.join(table)}")
        if self.objective == "wgan" and self.constraint == "none":
            choices = ", ".join(name for name in CONSTRAINTS if name != "none")
            raise ValueError(
                "objective wgan needs a critic of bounded slope, and constraint is 'none'; "
                f"choose one of {choices} (--set constraint=gp)"
            )

        if not 0 <= self.smoothing < 1:
            raise ValueError(f"smoothing is {self.smoothing}; expected 0 (off) to below 1, such as 0.1")
        if self.smoothing and OBJECTIVES[self.objective].smoothed is None:
            labelled = ", ".join(name for name, rule in OBJECTIVES.items() if rule.smoothed)
            raise ValueError(
                f"smoothing changes the label of real images, and objective {self.objective} has no labels; choose "
                f"smoothing=0, or one of {labelled} (--set objective=lsgan)"
            )

    def constrain(self, D: nn.Module) -> nn.Module:
        """Apply the constraint that lives in a critic's layers, in place."""
        if CONSTRAINTS[self.constraint].spectral:
            for module in D.modules():
                if isinstance(module, nn.Conv2d | nn.Linear):
                    spectral_norm(module)
        return D

    def seen(self, D: Callable, parts: Sequence[int] = ()) -> Callable:
        """Return D as a function of images before the random changes of ``augment``, which it makes itself.

        ``parts`` are the channels of images that D sees joined, which are changed alike. A function that was returned
        by this method before, and any D where the changes are off, is returned as it is.
        """
        return Seen(D, self.augment, parts) if self.augment.names and not isinstance(D, Seen) else D

    def critic(self, D: Critic, real: Tensor, fake: Tensor) -> Tensor:
        """Return the critic's loss on real and generated images, without its penalty."""
        D = self.seen(D)
        return self.critic_of(D(real), D(fake.detach()))

    def critic_of(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the critic's loss from its outputs on real and on detached generated images."""
        rule = OBJECTIVES[self.objective]
        if self.smoothing and rule.smoothed:
            return rule.smoothed(wide(real), wide(fake), self.smoothing)
        return rule.critic(wide(real), wide(fake))

    def penalty(self, D: Critic, real: Tensor, fake: Tensor, name: str = "penalty") -> dict[str, Tensor]:
        """Return the constraint's weighted term, in float32 even under autocast, or no term."""
        rule, D = CONSTRAINTS[self.constraint], self.seen(D)
        if rule.penalty is None:
            return {}
        with torch.autocast(real.device.type, enabled=False):
            return {name: rule.weight * rule.penalty(D, wide(real.detach()), wide(fake.detach()))}

    def generator(self, D: Critic, fake: Tensor) -> Tensor:
        """Return the generator's loss on its images."""
        return self.generator_of(self.seen(D)(fake))

    def generator_of(self, fake: Tensor) -> Tensor:
        """Return the generator's loss from the critic's output on its images."""
        return OBJECTIVES[self.objective].generator(wide(fake))

    def after(self, *critics: nn.Module) -> Callable[[], None] | None:
        """Function to call after each step of the critics, or None: it clips their weights."""
        bound = CONSTRAINTS[self.constraint].clip
        return partial(clip, [p for D in critics for p in D.parameters()], bound) if bound else None


@torch.no_grad()
def clip(parameters: Iterable[Tensor], bound: float) -> None:
    """Clip every weight to [-bound, bound]."""
    for parameter in parameters:
        parameter.clamp_(-bound, bound)


class ImagePool(nn.Module):
    """History of generated images (Shrivastava et al. 2017, arXiv:1612.07828, section 2.3), one image at a time.

    Until it is full it returns its input. Then each image is, with probability 1/2, returned, or stored in place of a
    random older one, which is returned instead. The stored images are part of the module's state.
    """

    def __init__(self, size: int = 50) -> None:
        super().__init__()
        if size < 0:
            raise ValueError(f"pool is {size}; it cannot be negative; 0 disables it")
        self.size = size
        self.images: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        """Map [n, c, h, w] to [n, c, h, w]; draws from PyTorch's default CPU generator."""
        if self.size == 0:
            return images
        self.images = [image.to(images) for image in self.images]  # a restored pool is on the CPU
        return torch.stack([self._exchange(image) for image in images.detach()])

    def _exchange(self, image: Tensor) -> Tensor:
        if len(self.images) < self.size:
            self.images.append(image.clone())
            return image
        if torch.rand(()) < 0.5:
            return image
        place = int(torch.randint(self.size, ()))
        older, self.images[place] = self.images[place], image.clone()
        return older

    def get_extra_state(self) -> dict[str, Any]:
        return {"images": torch.stack(self.images).cpu() if self.images else None}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.images = [] if state["images"] is None else list(state["images"].clone())
