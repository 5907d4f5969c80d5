"""UNIT: Liu, Breuel & Kautz, Unsupervised Image-to-Image Translation Networks, NIPS 2017 (arXiv:1703.00848)."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from torch import Tensor, cat, nn
from torch.nn.functional import l1_loss

from i2i import networks
from i2i.gan import Adversarial, wide
from i2i.networks.unit import Blocks, Decoder, Encoder, Stream, latent
from i2i.translators.base import Player, Translator, Views


class UNIT(Translator):
    """min_{E_1, E_2, G_1, G_2} max_{D_1, D_2} L_VAE1 + L_GAN1 + L_CC1 + L_VAE2 + L_GAN2 + L_CC2   (eq. 2), where

        L_VAE1 = lambda_1 KL(q_1(z|x) || N(0, I)) + lambda_2 |x - x->x|   (eq. 3)
        L_GAN1 = lambda_0 L(D_1, x, y->x)   (eq. 5: D_1 judges translations, no reconstructions)
        L_CC1 = lambda_3 KL(q_2(z|x->y) || N(0, I)) + lambda_4 |x - x->y->x|   (eq. 7)

    with x and y for the paper's x_1 and x_2, and x->y for x translated. The two domains share one latent space: E_H,
    the last layers of both encoders, and G_H, the first of both generators, are one network each. The posterior is
    N(mu, I); its noise is drawn in training only.

    As the authors: norms are means over elements, KL is the mean of mu^2 (twice its mean over elements of z), and
    KL(q_1(z|x) || N(0, I)), which eq. 7 names again, is counted once.

    Args:
        in_channels, out_channels: of x and y, which are [n, c, h, w] in [-1, 1].
        discriminator: unit_6, as the authors: six halvings; or patch_N, pixel.
        ngf, ndf: filters of the first layers.
        blocks: residual blocks of each encoder and generator that are its own.
        shared: those of E_H, and of G_H.
        norm: of encoders and generators: instance, as the authors | group | layer | none.
        upsample: deconv, as the authors | resize, free of checkerboards.
        objective, constraint: of the game; see i2i.gan.
        lambda_0, lambda_1, lambda_2, lambda_3, lambda_4: the weights of the terms above.
        weight_decay: of all networks, added to the gradient.
    """

    data = "unpaired"
    authors: ClassVar = {"steps": 500_000, "schedule": "constant"}

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        *,
        discriminator: str = "unit_6",
        ngf: int = 64,
        ndf: int = 64,
        blocks: int = 3,
        shared: int = 1,
        norm: str = "instance",
        upsample: str = "deconv",
        objective: str = "vanilla",
        constraint: str = "none",
        lambda_0: float = 10.0,
        lambda_1: float = 0.1,
        lambda_2: float = 100.0,
        lambda_3: float = 0.1,
        lambda_4: float = 100.0,
        lr: float = 1e-4,
        weight_decay: float = 1e-4,
    ) -> None:
        super().__init__()
        self.gan, self.lr, self.weight_decay = Adversarial(objective, constraint, weight=lambda_0), lr, weight_decay
        self.lambda_0, self.lambda_1, self.lambda_2 = lambda_0, lambda_1, lambda_2
        self.lambda_3, self.lambda_4 = lambda_3, lambda_4
        self.E_1, self.E_2 = (Encoder(c, ngf, blocks, norm) for c in (in_channels, out_channels))
        self.E_H, self.G_H = (Blocks(4 * ngf, shared, norm) for _ in range(2))
        self.G_1 = Decoder(in_channels, ngf, blocks, upsample, norm)
        self.G_2 = Decoder(out_channels, ngf, blocks, upsample, norm)
        self.D_1 = self.gan.constrain(networks.discriminator(discriminator, in_channels, ndf=ndf, norm="none"))
        self.D_2 = self.gan.constrain(networks.discriminator(discriminator, out_channels, ndf=ndf, norm="none"))

    def encode(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the posterior means of images of both domains, one after the other, and G_H's output for z."""
        mu = self.E_H(cat([self.E_1(x), self.E_2(y)]))
        return mu, self.G_H(latent(mu, self.training))

    def forward(self, batch: Views) -> Views:
        x, y = batch["x"], batch["y"]
        n, size = len(x), x.shape[-2:]
        mu, g = self.encode(x, y)
        to_x, to_y = self.G_1(g, size), self.G_2(g, size)
        mu_cycle, g = self.encode(to_x[n:], to_y[:n])
        back_to_x, back_to_y = self.G_1(g[-n:], size), self.G_2(g[:-n], size)
        views = {"x": x, "x->y": to_y[:n], "y": y, "y->x": to_x[n:]}
        views |= {"x->x": to_x[:n], "y->y": to_y[n:], "x->y->x": back_to_x, "y->x->y": back_to_y}
        means = {"mu(x)": mu[:n], "mu(y)": mu[n:], "mu(x->y)": mu_cycle[-n:], "mu(y->x)": mu_cycle[:-n]}
        return views | {name: mean.flatten(1) for name, mean in means.items()}

    def discriminator_loss(self, v: Views) -> Views:
        return {
            "gan_1": self.gan.critic(self.D_1, v["x"], v["y->x"]),
            "gan_2": self.gan.critic(self.D_2, v["y"], v["x->y"]),
            **self.gan.penalty(self.D_1, v["x"], v["y->x"], "penalty_1"),
            **self.gan.penalty(self.D_2, v["y"], v["x->y"], "penalty_2"),
        }

    def generator_loss(self, v: Views) -> Views:
        return {
            "gan_1": self.lambda_0 * self.gan.generator(self.D_1, v["y->x"], v["x"]),
            "gan_2": self.lambda_0 * self.gan.generator(self.D_2, v["x->y"], v["y"]),
            "kl_1": self.lambda_1 * kl(v["mu(x)"]),
            "kl_2": self.lambda_1 * kl(v["mu(y)"]),
            "reconstruction_1": self.lambda_2 * l1_loss(v["x->x"], v["x"]),
            "reconstruction_2": self.lambda_2 * l1_loss(v["y->y"], v["y"]),
            "kl_cycle_1": self.lambda_3 * kl(v["mu(x->y)"]),
            "kl_cycle_2": self.lambda_3 * kl(v["mu(y->x)"]),
            "cycle_1": self.lambda_4 * l1_loss(v["x->y->x"], v["x"]),
            "cycle_2": self.lambda_4 * l1_loss(v["y->x->y"], v["y"]),
        }

    def players(self) -> dict[str, Player]:
        critics = nn.ModuleList([self.D_1, self.D_2])
        generators = nn.ModuleList([self.E_1, self.E_2, self.E_H, self.G_H, self.G_1, self.G_2])
        made = partial(Player, lr=self.lr, weight_decay=self.weight_decay)
        return {
            "D": made(critics, self.discriminator_loss, after=self.gan.after(self.D_1, self.D_2)),
            "G": made(generators, self.generator_loss),
        }

    def exports(self) -> dict[str, nn.Module]:
        return {
            "a2b": Stream(self.E_1, self.E_H, self.G_H, self.G_2),
            "b2a": Stream(self.E_2, self.E_H, self.G_H, self.G_1),
            "a2a": Stream(self.E_1, self.E_H, self.G_H, self.G_1),
            "b2b": Stream(self.E_2, self.E_H, self.G_H, self.G_2),
        }


def kl(mu: Tensor) -> Tensor:
    """Return the mean of mu^2: 2 / d times KL(N(mu, I) || N(0, I)) = |mu|^2 / 2, d elements, averaged over images."""
    return wide(mu).square().mean()
