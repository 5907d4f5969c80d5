"""CUT and FastCUT: Park, Efros, Zhang & Zhu, Contrastive Learning for Unpaired Image-to-Image Translation, ECCV 2020
(arXiv:2007.15651)."""

from __future__ import annotations

from collections.abc import Sequence
from types import FunctionType
from typing import Any, ClassVar

import torch
from torch import Tensor, cat, nn

from i2i import networks
from i2i.gan import Adversarial
from i2i.image_pool import coin
from i2i.losses import patch_nce
from i2i.networks.blocks import initialise
from i2i.networks.projection import PatchProjection
from i2i.text import plural
from i2i.translators.base import Player, Translator, Views

Pairs = Sequence[tuple[Tensor, Tensor]]
"""For each map the patches of a made image and those at the same places of the image it shows: unit vectors
[n, patches, d]."""


class CUT(Translator):
    """L_GAN(G, D, X, Y) + lambda_X L_PatchNCE(G, H, X) + lambda_Y L_PatchNCE(G, H, Y)   (eq. 5).

    A patch of G(x) should be more like the patch of x at its place than like other patches of x, in the features of
    the first half of G and the projection H (eqs. 2 and 3). Only one direction is learned, so a step costs little more
    than half of CycleGAN's. As in the authors' code, lambda_X = lambda_Y = lambda_nce / 2 where G(y) is looked at, and
    lambda_X = lambda_nce where it is not.

    Args:
        in_channels, out_channels: of X and Y, whose images are [n, c, h, w] in [-1, 1].
        generator: resnet_9 at 256 pixels; another resnet_N or mobile_resnet_N, whose maps are compared as in
            ``ResNet.encode``.
        discriminator: patch_3 sees 70x70 pixels and some; patch_N.
        ngf, ndf: filters of the first layers.
        norm: instance | batch | group | layer | none; group and layer keep the colour of flat images.
        upsample: blur, as the authors | deconv | resize.
        antialias: blur before halving, in G and D, as the authors.
        init: of G and D: xavier, as the authors, of such small weights that a short run hardly moves; or normal.
        residual: G adds to its input, which it returns at first; from grey or equal channels.
        objective, constraint: of the game; see i2i.gan.
        lambda_gan, lambda_nce: weights of the adversarial and the contrastive terms.
        nce_idt: compare G(y) with y as well; off by itself where X and Y differ in channels.
        nce_T: temperature tau of the comparison.
        patches: how many are compared in each map; all of them where it has fewer.
        flip_equivariance: at even odds G is given the mirror image, and what it makes of it compared with the image.
    """

    data = "unpaired"
    authors: ClassVar = {"epochs": 400}
    good: ClassVar = {"residual": True}

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
        upsample: str = "blur",
        antialias: bool = True,
        residual: bool = False,
        init: str = "xavier",
        objective: str = "lsgan",
        constraint: str = "none",
        lambda_gan: float = 1.0,
        lambda_nce: float = 1.0,
        nce_idt: bool = True,
        nce_T: float = 0.07,
        patches: int = 256,
        flip_equivariance: bool = False,
        lr: float = 2e-4,
    ) -> None:
        super().__init__()
        if patches < 2:
            raise ValueError(f"patches is {patches}; expected at least 2: each patch is compared with others")
        if in_channels != out_channels and in_channels not in (1, 3, 4):
            raise ValueError(
                f"A has {plural(in_channels, 'channel')} and B {out_channels}; results pass through the encoder of A, "
                "for which grey, RGB and RGBA can be converted and other bands cannot: choose dclgan, cyclegan or enco"
            )
        self.gan, self.lr = Adversarial(objective, constraint, weight=0.5), lr
        self.lambda_gan, self.lambda_nce = lambda_gan, lambda_nce
        self.nce_idt, self.nce_T, self.patches = nce_idt and in_channels == out_channels, nce_T, patches
        self.flip_equivariance, self.in_channels = flip_equivariance, in_channels
        options = {"ngf": ngf, "norm": norm, "dropout": dropout, "upsample": upsample, "residual": residual}
        options["antialias"] = antialias
        G = networks.generator(generator, in_channels, out_channels, **options)
        assert isinstance(G, networks.ResNet)
        initialise(G, weights=init)
        self.G, self.H = G, PatchProjection(G.tapped)
        D = networks.discriminator(discriminator, out_channels, ndf=ndf, norm=norm, antialias=antialias)
        self.D = self.gan.constrain(initialise(D, weights=init))

    def forward(self, batch: Views) -> Views:
        x, y = batch["x"], batch["y"]
        real = cat([x, y]) if self.nce_idt else x
        mirrored = self.training and self.flip_equivariance and coin()
        maps: list[Tensor] = []  # of the first half of G, on the way to G(x)
        made = self.G(real.flip(3) if mirrored else real, maps)
        v = {"x": x, "G(x)": made[: len(x)], "y": y}
        if self.nce_idt:
            v["G(y)"] = made[len(x) :]
        if self.training:
            v |= self.patches_of(real, maps, mirrored)
        return v

    @torch.no_grad()
    def patches_of(self, real: Tensor, maps: list[Tensor], mirrored: bool) -> Views:
        """Return z, projections of the real images at random places, and the places s.

        z is [n, patches of all maps, d]; s is [patches of all maps], where their equals lie in the maps of made images.
        The authors draw other places for y.
        """
        if mirrored:  # the maps are not those of the image itself
            maps = self.G.encode(real)
        places = [torch.randperm(m.shape[2] * m.shape[3], device=m.device)[: self.patches] for m in maps]
        z = self.H([columns(m, s) for m, s in zip(maps, places, strict=True)])
        if mirrored:
            places = [s + m.shape[3] - 1 - 2 * (s % m.shape[3]) for m, s in zip(maps, places, strict=True)]
        return {"z": cat(z, 1), "s": cat(places)}

    def discriminator_loss(self, v: Views) -> Views:
        real, fake = v["y"], v["G(x)"]
        return {"gan": self.gan.critic(self.D, real, fake), **self.gan.penalty(self.D, real, fake)}

    def generator_loss(self, v: Views) -> Views:
        gan = self.lambda_gan * self.gan.generator(self.D, v["G(x)"], v["y"])
        return {"gan": gan, **self.content(*self.pairs(v))}

    def content(self, of_x: Pairs, of_y: Pairs) -> Views:
        """Return the terms that keep the content of x, and of y where it is looked at."""
        lambda_nce = self.lambda_nce / (2 if self.nce_idt else 1)
        terms = {"nce": lambda_nce * self.contrast(of_x)}
        return terms | ({"nce_y": lambda_nce * self.contrast(of_y)} if self.nce_idt else {})

    def pairs(self, v: Views) -> tuple[Pairs, Pairs]:
        """Return the projected patches of G(x) with those of x, map by map, and of G(y) with those of y."""
        n = len(v["x"])
        made = cat([v["G(x)"], v["G(y)"]]) if self.nce_idt else v["G(x)"]
        maps = self.G.encode(recoloured(made, self.in_channels))
        counts = [min(self.patches, m.shape[2] * m.shape[3]) for m in maps]
        q = self.H([columns(m, s) for m, s in zip(maps, v["s"].split(counts), strict=True)])
        both = list(zip(q, v["z"].split(counts, 1), strict=True))
        return [(a[:n], b[:n]) for a, b in both], [(a[n:], b[n:]) for a, b in both]

    def contrast(self, pairs: Pairs) -> Tensor:
        """Return L_PatchNCE (eq. 3), averaged over the maps."""
        return torch.stack([patch_nce(q, z, self.nce_T) for q, z in pairs]).mean()

    def players(self) -> dict[str, Player]:
        generator = nn.ModuleList([self.G, self.H])
        return {
            "D": Player(self.D, self.discriminator_loss, lr=self.lr, after=self.gan.after(self.D)),
            "G": Player(generator, self.generator_loss, lr=self.lr),
        }

    def exports(self) -> dict[str, nn.Module]:
        return {"a2b": self.G}

    def critics(self) -> dict[str, nn.Module]:
        return {"a2b": self.D}


def columns(features: Tensor, s: Tensor) -> Tensor:
    """Return the columns [n, patches, c] of a map [n, c, h, w] at the places s (row * w + column)."""
    w = features.shape[3]
    return features[:, :, s // w, s % w].transpose(1, 2)


def recoloured(images: Tensor, channels: int) -> Tensor:
    """Convert images in [-1, 1] to 1, 3 or 4 channels: grey is repeated, colours averaged, alpha left out or opaque."""
    if images.shape[1] == channels:
        return images
    colour = images[:, :3] if images.shape[1] >= 3 else images[:, :1]
    if channels == 1:
        return colour.mean(1, keepdim=True)
    colour = colour.expand(-1, 3, -1, -1)
    return colour if channels == 3 else cat([colour, torch.ones_like(colour[:, :1])], 1)


def with_defaults(function: Any, **defaults: Any) -> Any:
    """Return the function with other defaults for some of its keywords."""
    copied = FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    copied.__kwdefaults__ = {**function.__kwdefaults__, **defaults}
    copied.__annotations__ = function.__annotations__
    return copied


class FastCUT(CUT):
    """CUT with a larger weight on x and no look at G(y), for about half of its cost; only these defaults differ.

    The authors' 200 epochs lower the learning rate in the last 50, ours in the last 100.
    """

    authors: ClassVar = {"epochs": 200}
    __init__ = with_defaults(CUT.__init__, lambda_nce=10.0, nce_idt=False, flip_equivariance=True)
