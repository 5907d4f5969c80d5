"""Energy-based model: Du & Mordatch, Implicit Generation and Modeling with Energy-Based Models, NeurIPS 2019
(arXiv:1903.08689)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from i2i.gan import Adversarial, wide
from i2i.image_pool import numbers_below
from i2i.networks import per_image
from i2i.networks.dcgan import DCGANDiscriminator
from i2i.translators.base import Player, Translator, Views

BETAS = (0.0, 0.999)  # of Adam
LONGEST = 20
"""Longest chain of ``Energy.sample`` by default, in chains of training."""


class Energy(Translator):
    """The discriminator alone generates: its score D(x) = -E(x) is high for data, and images are found by ascending it.

        x~ <- x~ + step_size clip(grad D(x~)) + noise N(0, I)   Langevin steps, for pixels from 0 to 1   (eq. 1)
        D minimises  D(x~) - D(x) + alpha (D(x)^2 + D(x~)^2)   (eq. 3, and section 3.3)

    The first line of the loss is the objective wgan of i2i.gan; the others can be chosen too. Chains continue from a
    pool of past results, a few from uniform noise (section 3.2). The pool is part of the state.

    The network is exported for no other program, since a chain needs its gradients: :meth:`sample` runs it in PyTorch.

    Args:
        in_channels, out_channels: of the images, which are [n, c, h, w] in [-1, 1]; equal.
        domains, attributes: of the data; labels are not used.
        height, width: of the images, even and at least 8; the size of the training crops.
        ndf: filters of the first map.
        objective, constraint: of the game; see i2i.gan.
        langevin: steps of a chain.
        step_size: of a Langevin step.
        clip: the most that a value of the gradient counts, as in the authors' code; 0: any.
        noise: standard deviation of the noise of a Langevin step.
        pool: number of past results that are kept.
        fresh: share of the chains that start from noise.
        alpha: weight of the squared scores.
    """

    data = "images"
    augment = False
    conditional = False
    authors: ClassVar = {"size": (32, 32), "batch": 128}

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        *,
        domains: int = 0,
        attributes: bool = False,
        height: int = 32,
        width: int = 32,
        ndf: int = 64,
        objective: str = "wgan",
        constraint: str = "spectral",
        langevin: int = 60,
        step_size: float = 10.0,
        clip: float = 0.01,
        noise: float = 0.005,
        pool: int = 10_000,
        fresh: float = 0.05,
        alpha: float = 1.0,
        lr: float = 1e-4,
    ) -> None:
        super().__init__()
        if langevin < 1 or not 0 <= fresh <= 1:
            raise ValueError(f"langevin is {langevin} and fresh {fresh}; expected at least one step, and a share")
        self.gan, self.lr, self.alpha = Adversarial(objective, constraint), lr, alpha
        if clip < 0:
            raise ValueError(f"clip is {clip}; it cannot be negative; 0 turns it off")
        self.langevin, self.step_size, self.noise, self.clip = langevin, step_size, noise, clip or math.inf
        self.shape = (in_channels, height, width)
        self.D = self.gan.constrain(DCGANDiscriminator(in_channels, height=height, width=width, ndf=ndf, norm="none"))
        self.pool = Pool(pool, fresh)

    def forward(self, batch: Views) -> Views:
        """Find negatives x~ for the images x, and keep them.

        In evaluation mode, compute x~ of the first seeds, and return the oldest images of the pool beside them.
        """
        x = batch["x"]
        if not self.training:
            return {"x": x, "x~": self.sample(len(x)).to(x), "pool": self.pool.first(x)}
        found = self.chain(self.D, self.pool.draw(x))
        self.pool.keep(found)
        return {"x": x, "x~": found}

    def chain(
        self, D: nn.Module, x: Tensor, steps: int = 0, generators: Iterable[torch.Generator] = ()
    ) -> Tensor:  # fmt: skip
        """Return the images x [n, c, h, w] after ``steps`` Langevin steps (0: as many as in training), in [-1, 1].

        The noise is from PyTorch's default CPU generator, or for each image from its own.
        """
        own = list(generators)
        with torch.enable_grad(), torch.autocast(x.device.type, enabled=False), parametrize.cached():
            for _ in range(steps or self.langevin):
                x = wide(x.detach()).requires_grad_()
                (slope,) = torch.autograd.grad(D(x).sum(), x)
                drawn = [torch.randn(x.shape[1:], generator=each) for each in own]
                noise = torch.stack(drawn) if own else torch.randn(x.shape)
                # A pixel from -1 to 1 is twice one from 0 to 1, and the slope at it half as large.
                slope = (2 * slope).clamp(-self.clip, self.clip)
                x = (x + 2 * self.step_size * slope + 2 * self.noise * noise.to(x)).clamp(-1, 1)
        return x.detach()

    def sample(self, n: int, seed: int = 0, steps: int = 0) -> Tensor:
        """Return the images of ``n`` seeds from ``seed`` on, [n, c, h, w] in [-1, 1], each from noise of its own.

        ``steps`` is the length of a chain; 0: langevin / fresh, the mean length of the chains in the pool, at most
        ``LONGEST`` times langevin.
        """
        generators = [torch.Generator().manual_seed(number) for number in range(seed, seed + n)]
        starts = torch.stack([torch.rand(self.shape, generator=each) * 2 - 1 for each in generators])
        steps = steps or round(self.langevin / max(self.pool.fresh, 1 / LONGEST))
        return self.chain(per_image(self.D), starts.to(next(self.D.parameters())), steps, generators)

    def discriminator_loss(self, v: Views) -> Views:
        D = self.gan.seen(self.D)
        real, fake = D(v["x"]), D(v["x~"])
        squares = wide(real).square().mean() + wide(fake).square().mean()
        return {
            "gan": self.gan.critic_of(real, fake),
            "l2": self.alpha * squares,
            **self.gan.penalty(self.D, v["x"], v["x~"]),
        }

    def players(self) -> dict[str, Player]:
        after = self.gan.after(self.D)
        return {"D": Player(self.D, self.discriminator_loss, lr=self.lr, betas=BETAS, after=after)}

    def exports(self) -> dict[str, nn.Module]:
        return {"energy": self.D}


class Pool(nn.Module):
    """Past results of chains, at most ``size`` images in eight bits a value, which are part of the module's state.

    A share ``fresh`` of what it returns is uniform noise; so is all of it while it is empty.
    """

    def __init__(self, size: int, fresh: float) -> None:
        super().__init__()
        if size < 0:
            raise ValueError(f"pool is {size}; it cannot be negative; 0 starts every chain from noise")
        self.size, self.fresh = size, fresh
        self.images: list[Tensor] = []

    def draw(self, like: Tensor) -> Tensor:
        """Return images to start from, for a batch ``like`` [n, c, h, w]; by PyTorch's default CPU generator."""
        noise, renewed = torch.rand(like.shape) * 2 - 1, torch.rand(len(like)) < self.fresh
        if not self.images:
            return noise.to(like)
        places = numbers_below(len(self.images), len(like))
        past = torch.stack([self.images[place] for place in places])
        return torch.where(renewed[:, None, None, None], noise, past / 127.5 - 1).to(like)

    def keep(self, images: Tensor) -> None:
        """Add images [n, c, h, w] in [-1, 1]; in a full pool each takes a random place."""
        for image in ((images.detach().cpu() + 1) * 127.5).round().byte():
            if len(self.images) < self.size:
                self.images.append(image.clone())
            elif self.size:
                self.images[numbers_below(self.size, 1)[0]] = image.clone()

    def first(self, like: Tensor) -> Tensor:
        """Return the first images of the pool in the shape of ``like`` [n, c, h, w], grey where there are fewer."""
        found = torch.full(like.shape, 127.5)
        for i, image in enumerate(self.images[: len(like)]):
            found[i] = image
        return (found / 127.5 - 1).to(like)

    def get_extra_state(self) -> dict[str, Any]:
        return {"images": torch.stack(self.images) if self.images else None}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.images = [] if state["images"] is None else list(state["images"].clone())
