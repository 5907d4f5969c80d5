"""BEGAN: Berthelot, Schumm & Metz, BEGAN: Boundary Equilibrium Generative Adversarial Networks, 2017
(arXiv:1703.10717)."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from i2i.gan import wide
from i2i.networks.began import BEGANAutoencoder, BEGANDecoder
from i2i.spec import Prior
from i2i.translators.base import Player, Translator, Views
from i2i.translators.gan import GAN


class BEGAN(GAN):
    """L_D = L(x) - k_t L(G(z)), L_G = L(G(z)), k_t+1 = k_t + lambda_k (gamma L(x) - L(G(z)))   (section 3.4).

    D is an autoencoder, and L(v) = |v - D(v)| the mean absolute error of its images. The balance k keeps L(G(z)) at
    gamma L(x); it begins at 0, stays in [0, 1], and is state. The log contains the measure of convergence
    M = L(x) + |gamma L(x) - L(G(z))|, which nothing is trained on.

    Both players use one z a step, where the authors draw two. With labelled images it is conditional: G(z, c) and
    D(x, c), whose decoder sees the label. G ends in a tanh, which the authors do not have.

    Args:
        in_channels, out_channels: of the images, which are [n, c, h, w] in [-1, 1]; equal.
        domains, attributes: length of a label c, 0 for none, and whether labels can be combined; the data decides.
        height, width: of the images, even and at least 16; the size of the training crops.
        latent: numbers of the noise z, and of D's code.
        distribution: of z: uniform | normal.
        filters: of the first map; the encoder's grow by as many at each scale.
        gamma: diversity: the error of generated images over that of real ones, from 0 to 1.
        lambda_k: learning rate of k.
    """

    authors: ClassVar = {"size": (64, 64), "batch": 16}

    k: Tensor

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        *,
        domains: int = 0,
        attributes: bool = False,
        height: int = 64,
        width: int = 64,
        latent: int = 64,
        distribution: str = "uniform",
        filters: int = 64,
        gamma: float = 0.5,
        lambda_k: float = 1e-3,
        lr: float = 1e-4,
    ) -> None:
        Translator.__init__(self)
        if not 0 <= gamma <= 1:
            raise ValueError(f"gamma is {gamma}; expected 0 to 1, a larger value for more diverse images")
        self.domains, self.attributes, self.lr = domains, attributes, lr
        self.gamma, self.lambda_k = gamma, lambda_k
        self._prior = Prior(latent, (height, width), distribution)
        sides: Any = {"height": height, "width": width, "filters": filters, "conditions": domains}
        self.G = BEGANDecoder(latent, out_channels, **sides)
        self.D = BEGANAutoencoder(in_channels, code=latent, **sides)
        self.register_buffer("k", torch.zeros(()))
        self._gaps: list[Tensor] = []  # of the parts of this step

    def forward(self, batch: Views) -> Views:
        """Compute G(z); in evaluation mode also D(x)."""
        views = super().forward(batch)
        if self.training:
            return views
        drawn = self.D(batch["x"], batch.get("c") if self.domains else None)
        return {"x": batch["x"], "D(x)": drawn.clamp(-1, 1), **views}

    def error(self, x: Tensor, v: Views) -> Tensor:
        """Return L(x), the mean absolute error of D's image of x."""
        return (wide(self.D(x, v.get("c"))) - wide(x)).abs().mean()

    def discriminator_loss(self, v: Views) -> Views:
        real = self.error(v["x"], v)
        v["L(x)"] = real.detach()
        return {"real": real, "fake": -self.k * self.error(v["G(z)"].detach(), v)}

    def generator_loss(self, v: Views) -> Views:
        fake = self.error(v["G(z)"], v)
        gap = self.gamma * v["L(x)"] - fake.detach()
        self._gaps.append(gap)
        return {"gan": fake, "M": v["L(x)"] + gap.abs()}

    @torch.no_grad()
    def update_k(self) -> None:
        """Move k by the losses of this step, averaged over its parts; they are shared by all processes."""
        gap = torch.stack(self._gaps).mean()
        self._gaps.clear()
        self.k.add_(self.lambda_k * gap).clamp_(0, 1)

    def players(self) -> dict[str, Player]:
        return {
            "D": Player(self.D, self.discriminator_loss, lr=self.lr),
            "G": Player(self.G, self.generator_loss, lr=self.lr, shared=self._gaps, after=self.update_k),
        }
