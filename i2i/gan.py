"""Adversarial part of every translator: objectives, and constraints on the critic.

An objective is the losses of critic and generator; a constraint limits the critic. They are chosen independently, and
both are tables: a new one is a row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
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
    generator: Callable[..., Tensor]
    """A function of the outputs on generated images, and if ``paired`` of those on real ones."""
    smoothed: Callable[[Tensor, Tensor, float], Tensor] | None = None
    """The critic's loss with the label 1 - s of real images (Salimans et al. 2016, arXiv:1606.03498, section 3.4), as
    a function of both outputs and s; None for an objective without labels."""
    paired: bool = False
    """True if the generator's loss compares each generated image with a real one."""


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
    # Jolicoeur-Martineau 2018 (arXiv:1807.00734), eq. 7, as Huang et al. 2025 (arXiv:2501.05441), eq. 2
    "relativistic": Objective(
        critic=lambda real, fake: softplus(fake - real).mean(),
        generator=lambda fake, real: softplus(real - fake).mean(),
        paired=True,
    ),
}


def wide(x: Tensor) -> Tensor:
    """Return x in at least single precision: a mean over a patch map loses too much in half."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


Scores = Tensor | Sequence[Tensor]
"""A critic's raw outputs: of any shape, one or a map per image; of a critic of several scales, those of each."""

Critic = Callable[..., Any]
"""A critic as a function: images [n, c, h, w] to scores."""


def scales(scores: Scores) -> Sequence[Tensor]:
    """Return the outputs of each scale of a critic, in at least single precision."""
    return [wide(each) for each in ([scores] if isinstance(scores, Tensor) else scores)]


def gradient(D: Critic, x: Tensor, share: float | Tensor, of: Callable[[Tensor], Tensor] = Tensor.sum) -> Tensor:
    """Return the gradient of D's output at x, [n, c * h * w], itself differentiable.

    ``share`` is that of the real image in each, see ``scored``. The values of an image are added up, or reduced by
    ``of``, a function of the outputs [n, ...] of a scale.
    """
    x = x.detach().requires_grad_()
    scores = scales(scored(D, x, share))
    (grad,) = torch.autograd.grad(_total(of(each).sum() for each in scores), x, create_graph=True)
    return grad.flatten(1)


def between(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Return a random point on the line between each real image and its generated one, and the share of the real one,
    [n, 1, 1, 1]."""
    alpha = torch.rand(real.shape[0], 1, 1, 1, device=real.device, dtype=real.dtype)
    return alpha * real + (1 - alpha) * fake, alpha


def gp(D: Critic, real: Tensor, fake: Tensor) -> Tensor:
    """Gulrajani et al. 2017 (arXiv:1704.00028), eq. 3: the slope is 1 between data and samples."""
    return (gradient(D, *between(real, fake)).norm(dim=1) - 1).square().mean()


def gp_real(D: Critic, real: Tensor, fake: Tensor) -> Tensor:
    """The same on the data manifold: the slope is 1 at the data (Kodali et al. 2017, arXiv:1705.07215)."""
    return (gradient(D, real, 1.0).norm(dim=1) - 1).square().mean()


def r1(D: Critic, real: Tensor, fake: Tensor) -> Tensor:
    """Mescheder et al. 2018 (arXiv:1801.04406), eq. 9: half the squared slope, of the mean of D's map, at the data."""
    return _squared_slope(D, real, 1.0) / 2


def r1r2(D: Critic, real: Tensor, fake: Tensor) -> Tensor:
    """Huang et al. 2025 (arXiv:2501.05441), eq. 3: R1, and the same at the generated images."""
    return (_squared_slope(D, real, 1.0) + _squared_slope(D, fake, 0.0)) / 2


def _squared_slope(D: Critic, x: Tensor, share: float) -> Tensor:
    """Return the squared slope of the mean of D's map, which objectives average too, so that no size of images counts
    for more."""
    return gradient(D, x, share, _mean).square().sum(dim=1).mean()


def _mean(map: Tensor) -> Tensor:
    """Return the mean of each image's outputs, [n]."""
    return map.reshape(len(map), -1).mean(1)


def gp_zero(D: Critic, real: Tensor, fake: Tensor) -> Tensor:
    """Torbunov et al. 2023 (arXiv:2303.16280), section 3: the squared slope of the mean of D's map between both."""
    return gradient(D, *between(real, fake), _mean).square().sum(1).mean()


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
    "gp-zero": Constraint(gp_zero, weight=1.0),
    "r1": Constraint(r1, weight=10.0),
    "r1r2": Constraint(r1r2, weight=1.0),  # the authors' differs between data sets
    "spectral": Constraint(spectral=True),  # Miyato et al. 2018 (arXiv:1802.05957)
}


def rules_on(net: nn.Module) -> list[Constraint] | None:
    """Return the constraints on a critic, or None for another network."""
    rules: list[Constraint] | None = getattr(net, "rules", None)
    return rules


@dataclass(frozen=True)
class Adversarial:
    """Objective under a constraint, as a translator uses it; the label of real images is 1 - ``smoothing``, and the
    critic's loss has a ``weight``.

    ``constraint`` names one, or several with "+" between them ("spectral+gp-zero").

    Raises ValueError for an unknown name, for ``wgan`` without a constraint, whose critic would be unbounded, and for
    ``smoothing`` of an objective without labels.
    """

    objective: str
    constraint: str = "none"
    smoothing: float = 0.0
    weight: float = 1.0
    augment: DiffAugment = field(default_factory=DiffAugment, compare=False)
    """Random changes of what D sees, off until the run's setting turns them on."""

    def __post_init__(self) -> None:
        named: list[tuple[str, str, Mapping[str, Any]]] = [("objective", self.objective, OBJECTIVES)]
        for what, name, table in named + [("constraint", each, CONSTRAINTS) for each in self.constraint.split("+")]:
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

    @property
    def rules(self) -> list[Constraint]:
        """The constraints."""
        return [CONSTRAINTS[name] for name in self.constraint.split("+")]

    def constrain(self, D: nn.Module) -> nn.Module:
        """Apply the constraint that lives in a critic's layers, in place, and note it for ``rules_on``."""
        for module in D.modules():
            vars(module)["rules"] = self.rules
        if any(rule.spectral for rule in self.rules):
            for module in list(D.modules()):
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
        return self.critic_of(*self.judged(self.seen(D), real, fake))

    def judged(self, D: Critic, real: Tensor, fake: Tensor) -> tuple[Scores, Scores]:
        """Return the critic's outputs on real and on detached generated images [n, c, h, w].

        A critic that treats each image by itself (``separate``) sees both in one pass. Spectral normalisation moves
        with each pass, so it keeps two.
        """
        fake = fake.detach()
        alone = getattr(D, "separate", False) and not any(rule.spectral for rule in self.rules)
        if not alone or real.shape != fake.shape:
            return scored(D, real, "real", keep=True), scored(D, fake, "fake", keep=True)
        first, second = D(torch.cat([real, fake])).chunk(2)
        return first, second

    def critic_of(self, real: Scores, fake: Scores) -> Tensor:
        """Return the critic's loss from its outputs on real and on detached generated images, added over scales."""
        rule = OBJECTIVES[self.objective]
        pairs = zip(scales(real), scales(fake), strict=True)
        if self.smoothing and rule.smoothed:
            return self.weight * _total(rule.smoothed(*pair, self.smoothing) for pair in pairs)
        return self.weight * _total(rule.critic(*pair) for pair in pairs)

    def penalty(self, D: Critic, real: Tensor, fake: Tensor, name: str = "penalty") -> dict[str, Tensor]:
        """Return the constraint's weighted term, in float32 even under autocast, or no term."""
        found, D = [(rule.weight, rule.penalty) for rule in self.rules if rule.penalty], self.seen(D)
        if not found:
            return {}
        with torch.autocast(real.device.type, enabled=False):
            pair = wide(real.detach()), wide(fake.detach())
            return {name: _total(weight * penalty(D, *pair) for weight, penalty in found)}

    def generator(self, D: Critic, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """Return the generator's loss on its images; ``real`` ones, as many, are only seen by a paired objective."""
        D = self.seen(D)
        return self.generator_of(scored(D, fake, "fake"), None if real is None else partial(scored, D, real, "real"))

    def generator_of(self, fake: Scores, real: Callable[[], Scores] | None = None) -> Tensor:
        """Return the generator's loss from the critic's output on its images, added over scales.

        ``real`` returns the output on real images, and is called for a paired objective only. Raises ValueError where
        that is not given.
        """
        rule = OBJECTIVES[self.objective]
        if not rule.paired:
            return _total(rule.generator(each) for each in scales(fake))
        if real is None:
            raise ValueError(
                f"objective {self.objective} compares generated images with real ones, which this method does not pass "
                "to Adversarial.generator(D, fake, real); choose another objective"
            )
        with torch.no_grad():
            against = real()
        return _total(rule.generator(*pair) for pair in zip(scales(fake), scales(against), strict=True))

    def after(self, *critics: nn.Module) -> Callable[[], None] | None:
        """Function to call after each step of the critics, or None: it clips their weights."""
        bound = max(rule.clip for rule in self.rules)
        return partial(clip, [p for D in critics for p in D.parameters()], bound) if bound else None


def scored(D: Critic, x: Tensor, kind: str | float | Tensor, keep: bool = False) -> Scores:
    """Return a critic's output on images; ``kind`` is "real" or "fake", or the share of the real image in a mixture.

    A critic that compares images with past ones of their kind (``remembers``) is given it; with ``keep`` these become
    past ones.
    """
    scores: Scores = D(x, kind, keep) if getattr(D, "remembers", False) else D(x)
    return scores


def _total(losses: Iterable[Tensor]) -> Tensor:
    """Return the sum of the losses of all scales."""
    return torch.stack(list(losses)).sum()


@torch.no_grad()
def clip(parameters: Iterable[Tensor], bound: float) -> None:
    """Clip every weight to [-bound, bound]."""
    for parameter in parameters:
        parameter.clamp_(-bound, bound)
