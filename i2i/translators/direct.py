"""Direct translation: the baseline with no constraint but the discriminator, which surveys set beside CycleGAN (Huang,
Yu & Wang, An Introduction to Image Synthesis with Generative Adversarial Nets, 2018, arXiv:1803.04469)."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from i2i import networks
from i2i.gan import Adversarial
from i2i.image_pool import ImagePool
from i2i.translators.base import Player, Translator, Views


class Direct(Translator):
    """min_G max_D L_GAN(G, D): the images G(x) are to be distributed as those of Y, and that is all.

    Nothing says that G(x) must show what x shows, so what keeps the two alike is that G is shallow: it sees little of
    the image at once, and has few ways to change it. This is the "GAN alone" of CycleGAN's ablation (arXiv:1703.10593,
    tables 4 and 5), whose settings it shares otherwise.

    Args:
        in_channels, out_channels: of X and Y, whose images are [n, c, h, w] in [-1, 1].
        generator: resnet_N of few blocks, N as small as what is to change allows; or unet_N.
        discriminator: patch_3 sees 70x70 pixels; patch_N or pixel.
        ngf, ndf: filters of the first layers.
        norm: instance | batch | group | layer | none; group and layer keep the colour of flat images.
        upsample: deconv, as CycleGAN's authors | resize, free of checkerboards.
        residual: G adds to its input, which it returns at first; from grey or equal channels.
        objective, constraint: of the game; see i2i.gan.
        pool: past images of G that D is shown as well.
    """

    data = "unpaired"
    authors: ClassVar = {"epochs": 200}

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        *,
        generator: str = "resnet_3",
        discriminator: str = "patch_3",
        ngf: int = 64,
        ndf: int = 64,
        norm: str = "instance",
        dropout: bool = False,
        upsample: str = "deconv",
        residual: bool = False,
        objective: str = "lsgan",
        constraint: str = "none",
        pool: int = 50,
        lr: float = 2e-4,
    ) -> None:
        super().__init__()
        self.gan, self.lr = Adversarial(objective, constraint, weight=0.5), lr
        options = {"ngf": ngf, "norm": norm, "dropout": dropout, "upsample": upsample, "residual": residual}
        self.G = networks.generator(generator, in_channels, out_channels, **options)
        self.D = self.gan.constrain(networks.discriminator(discriminator, out_channels, ndf=ndf, norm=norm))
        self.past = ImagePool(pool)

    def forward(self, batch: Views) -> Views:
        return {"x": batch["x"], "G(x)": self.G(batch["x"]), "y": batch["y"]}

    def generator_loss(self, v: Views) -> Views:
        return {"gan": self.gan.generator(self.D, v["G(x)"], v["y"])}

    def discriminator_loss(self, v: Views) -> Views:
        fake = self.past(v["G(x)"])
        return {"gan": self.gan.critic(self.D, v["y"], fake), **self.gan.penalty(self.D, v["y"], fake)}

    def players(self) -> dict[str, Player]:
        return {
            "G": Player(self.G, self.generator_loss, lr=self.lr),
            "D": Player(self.D, self.discriminator_loss, lr=self.lr, after=self.gan.after(self.D)),
        }

    def exports(self) -> dict[str, nn.Module]:
        return {"a2b": self.G}

    def critics(self) -> dict[str, nn.Module]:
        return {"a2b": self.D}
