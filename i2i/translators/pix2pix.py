"""pix2pix: Isola, Zhu, Zhou & Efros, Image-to-Image Translation with Conditional Adversarial Networks, CVPR 2017
(arXiv:1611.07004)."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, cat, nn
from torch.nn.functional import l1_loss

from i2i import networks
from i2i.gan import Adversarial, Critic, scored
from i2i.translators.aids import Aids
from i2i.translators.base import Player, Translator, Views


class Pix2Pix(Translator):
    """G* = arg min_G max_D L_cGAN(G, D) + lambda_L1 L_L1(G)   (eq. 4), where D sees the pair (x, y).

    Args:
        in_channels, out_channels: of x and y, which are [n, c, h, w] in [-1, 1].
        generator: unet_256, unet_128 ... or resnet_N; dropout is its only source of randomness (section 3.2).
        discriminator: patch_3 sees 70x70 pixels; patch_N or pixel.
        ngf, ndf: filters of the first layers.
        norm: batch | instance | group | layer | none.
        upsample: deconv, as the authors | resize, free of checkerboards.
        residual: G adds to its input, which it returns at first; from grey or equal channels.
        objective, constraint: of the game; see i2i.gan.
        lambda_l1: weight of the L1 term.
        mismatched: D also learns that x with the y of another image of the batch is false (Reed et al. 2016,
            arXiv:1605.05396, algorithm 1); the batch has two images or more.
        smoothing: label of real pairs is 1 - smoothing; for the objectives vanilla, minimax and lsgan.
        noise, balance: training aids, off at 0; see i2i.translators.aids.
    """

    data = "pairs"
    authors: ClassVar = {"epochs": 200}

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        *,
        generator: str = "unet_256",
        discriminator: str = "patch_3",
        ngf: int = 64,
        ndf: int = 64,
        norm: str = "batch",
        dropout: bool = True,
        upsample: str = "deconv",
        residual: bool = False,
        objective: str = "vanilla",
        constraint: str = "none",
        lambda_l1: float = 100.0,
        mismatched: bool = False,
        smoothing: float = 0.0,
        noise: float = 0.0,
        balance: float = 0.0,
        lr: float = 2e-4,
    ) -> None:
        super().__init__()
        self.gan, self.lambda_l1, self.lr = Adversarial(objective, constraint, smoothing, weight=0.5), lambda_l1, lr
        self.aids, self.mismatched = Aids(self.gan, noise=noise, balance=balance), mismatched
        self.parts = in_channels, out_channels
        options = {"ngf": ngf, "norm": norm, "dropout": dropout, "upsample": upsample, "residual": residual}
        self.G = networks.generator(generator, in_channels, out_channels, **options)
        self.D = self.gan.constrain(
            networks.discriminator(discriminator, in_channels + out_channels, ndf=ndf, norm=norm)
        )

    def forward(self, batch: Views) -> Views:
        return {"x": batch["x"], "G(x)": self.G(batch["x"]), "y": batch["y"]}

    def discriminator_loss(self, v: Views) -> Views:
        real, fake = cat([v["x"], v["y"]], 1), cat([v["x"], v["G(x)"]], 1).detach()
        D = self.seen()
        scores, of_fake = self.gan.judged(D, real, fake)
        loss = self.gan.critic_of(scores, of_fake)
        if self.mismatched:
            wrong = scored(D, cat([v["x"], of_another(v["y"])], 1), "fake")
            loss = (loss + self.gan.critic_of(scores, wrong)) / 2
        return {"gan": loss, **self.gan.penalty(D, real, fake)}

    def seen(self) -> Critic:
        """Return D as a function of pairs, with the aids of its input."""
        return self.aids.seen(self.D, self.parts)

    def generator_loss(self, v: Views) -> Views:
        real, fake = cat([v["x"], v["y"]], 1), cat([v["x"], v["G(x)"]], 1)
        return {
            "gan": self.gan.generator(self.seen(), fake, real),
            "l1": self.lambda_l1 * l1_loss(v["G(x)"], v["y"]),
        }

    def players(self) -> dict[str, Player]:
        return {
            "D": Player(
                self.D, self.discriminator_loss, lr=self.lr, after=self.gan.after(self.D), skip=self.aids.skip()
            ),
            "G": Player(self.G, self.generator_loss, lr=self.lr),
        }

    def exports(self) -> dict[str, nn.Module]:
        return {"a2b": self.G}

    def critics(self) -> dict[str, nn.Module]:
        return {"a2b": self.D}


def of_another(y: Tensor) -> Tensor:
    """Return y [n, ...] with each image in the place of another. Raises ValueError for a batch of one."""
    if len(y) < 2:
        raise ValueError(
            "mismatched pairs take y from another image of the batch, and there is none: give --batch 2 or more for "
            "each process"
        )
    return y.roll(1, 0)
