"""CycleGAN: Zhu, Park, Isola & Efros, Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks,
ICCV 2017 (arXiv:1703.10593)."""

from __future__ import annotations

from typing import ClassVar

from torch import nn
from torch.nn.functional import l1_loss

from i2i import networks
from i2i.gan import Adversarial
from i2i.image_pool import ImagePool
from i2i.translators.base import Player, Translator, Views


class CycleGAN(Translator):
    """L(G, F, D_X, D_Y) = L_GAN(G, D_Y) + L_GAN(F, D_X) + lambda L_cyc(G, F)   (eq. 3), and L_identity (section 5.2).

    G: X -> Y and F: Y -> X; D_Y classifies G's images, D_X classifies F's.

    Args:
        in_channels, out_channels: of X and Y, whose images are [n, c, h, w] in [-1, 1].
        generator: resnet_9 at 256 pixels, resnet_6 at 128; or unet_N.
        discriminator: patch_3 sees 70x70 pixels; patch_N or pixel.
        ngf, ndf: filters of the first layers.
        norm: instance | batch | group | layer | none; group and layer keep the colour of flat images.
        upsample: deconv, as the authors | resize, free of checkerboards.
        residual: G adds to its input, which it returns at first; where X and Y have equal channels.
        objective, constraint: of the game; see i2i.gan.
        lambda_cyc: weight of both cycles.
        lambda_identity: weight of identity relative to lambda_cyc; off by itself where X and Y differ in channels.
        pool: past images of each generator that its discriminator also sees (section 4).
    """

    data = "unpaired"
    authors: ClassVar = {"epochs": 200}

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        *,
        generator: str = "resnet_9",
        discriminator: str = "patch_3",
        ngf: int = 64,
        ndf: int = 64,
        norm: str = "instance",
        dropout: bool = False,
        upsample: str = "deconv",
        residual: bool = False,
        objective: str = "lsgan",
        constraint: str = "none",
        lambda_cyc: float = 10.0,
        lambda_identity: float = 0.5,
        pool: int = 50,
        lr: float = 2e-4,
    ) -> None:
        super().__init__()
        self.gan, self.lr = Adversarial(objective, constraint, weight=0.5), lr
        self.lambda_cyc = lambda_cyc
        self.lambda_identity = lambda_identity * lambda_cyc if in_channels == out_channels else 0.0
        options = {"ngf": ngf, "norm": norm, "dropout": dropout, "upsample": upsample, "residual": residual}
        self.G = networks.generator(generator, in_channels, out_channels, **options)
        self.F = networks.generator(generator, out_channels, in_channels, **options)
        self.D_X = self.gan.constrain(networks.discriminator(discriminator, in_channels, ndf=ndf, norm=norm))
        self.D_Y = self.gan.constrain(networks.discriminator(discriminator, out_channels, ndf=ndf, norm=norm))
        self.past_x, self.past_y = ImagePool(pool), ImagePool(pool)

    def forward(self, batch: Views) -> Views:
        x, y = batch["x"], batch["y"]
        v = {"x": x, "G(x)": self.G(x), "y": y, "F(y)": self.F(y)}
        v |= {"F(G(x))": self.F(v["G(x)"]), "G(F(y))": self.G(v["F(y)"])}
        if self.lambda_identity:
            v |= {"G(y)": self.G(y), "F(x)": self.F(x)}
        return v

    def generator_loss(self, v: Views) -> Views:
        terms = {
            "gan_G": self.gan.generator(self.D_Y, v["G(x)"], v["y"]),
            "gan_F": self.gan.generator(self.D_X, v["F(y)"], v["x"]),
            "cycle_x": self.lambda_cyc * l1_loss(v["F(G(x))"], v["x"]),
            "cycle_y": self.lambda_cyc * l1_loss(v["G(F(y))"], v["y"]),
        }
        if self.lambda_identity:
            terms["identity_y"] = self.lambda_identity * l1_loss(v["G(y)"], v["y"])
            terms["identity_x"] = self.lambda_identity * l1_loss(v["F(x)"], v["x"])
        return terms

    def discriminator_loss(self, v: Views) -> Views:
        x_, y_ = self.past_x(v["F(y)"]), self.past_y(v["G(x)"])
        return {
            "gan_Y": self.gan.critic(self.D_Y, v["y"], y_),
            "gan_X": self.gan.critic(self.D_X, v["x"], x_),
            **self.gan.penalty(self.D_Y, v["y"], y_, "penalty_Y"),
            **self.gan.penalty(self.D_X, v["x"], x_, "penalty_X"),
        }

    def players(self) -> dict[str, Player]:
        generators, critics = nn.ModuleList([self.G, self.F]), nn.ModuleList([self.D_X, self.D_Y])
        return {
            "G": Player(generators, self.generator_loss, lr=self.lr),
            "D": Player(critics, self.discriminator_loss, lr=self.lr, after=self.gan.after(self.D_X, self.D_Y)),
        }

    def exports(self) -> dict[str, nn.Module]:
        return {"a2b": self.G, "b2a": self.F}

    def critics(self) -> dict[str, nn.Module]:
        return {"a2b": self.D_Y, "b2a": self.D_X}
