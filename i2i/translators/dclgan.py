"""DCLGAN: Han, Shoeiby, Petersson & Armin, Dual Contrastive Learning for Unsupervised Image-to-Image Translation, CVPR
Workshops 2021 (arXiv:2104.07689)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss

from i2i import networks
from i2i.gan import Adversarial
from i2i.image_pool import ImagePool
from i2i.losses import patch_nce
from i2i.networks.blocks import initialise
from i2i.networks.projection import PatchProjection
from i2i.translators.base import Player, Translator, Views
from i2i.translators.cut import columns


class DCLGAN(Translator):
    """lambda_gan (L_GAN(G, D_Y) + L_GAN(F, D_X)) + lambda_nce (L_PatchNCE_X + L_PatchNCE_Y) + lambda_idt L_identity
    (eq. 6).

    CUT in both directions, with an encoder and a projection for each domain: the patches of x are the maps of the first
    half of G behind H_X, and those of G(x) the maps of the first half of F behind H_Y. The first of CUT's maps, the
    pixels, is not compared. Identity is |F(x) - x| + |G(y) - y|. The authors' projections have an Adam of their own
    (lr 1e-3, betas 0.9 and 0.999); ours share that of G and F.

    Args:
        in_channels, out_channels: of X and Y, whose images are [n, c, h, w] in [-1, 1].
        generator: resnet_9 at 256 pixels; another resnet_N or mobile_resnet_N, whose maps are compared as in
            ``ResNet.encode``.
        discriminator: patch_3 sees 70x70 pixels; patch_N.
        ngf, ndf: filters of the first layers.
        norm: instance | batch | group | layer | none; group and layer keep the colour of flat images.
        upsample: blur, as CUT's authors | deconv | resize.
        residual: G and F add to their inputs, which they return at first; where X and Y have equal channels.
        antialias: blur before halving, in all networks, as CUT's authors.
        init: of all but the projections: xavier, as the authors, or normal; see CUT.
        objective, constraint: of the game: hinge and none, as the authors; see i2i.gan.
        lambda_gan, lambda_nce, lambda_idt: weights of the terms; no identity where X and Y differ in channels.
        nce_T: temperature tau of the comparison.
        patches: how many are compared in each map; all of them where it has fewer.
        pool: past images of each generator that its discriminator also sees; the authors use none.
    """

    data = "unpaired"
    authors: ClassVar = {"epochs": 400}
    good: ClassVar = {"residual": True, "objective": "lsgan", "pool": 50}

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
        residual: bool = False,
        antialias: bool = True,
        init: str = "xavier",
        objective: str = "hinge",
        constraint: str = "none",
        lambda_gan: float = 1.0,
        lambda_nce: float = 2.0,
        lambda_idt: float = 1.0,
        nce_T: float = 0.07,
        patches: int = 256,
        pool: int = 0,
        lr: float = 1e-4,
    ) -> None:
        super().__init__()
        if patches < 2:
            raise ValueError(f"patches is {patches}; expected at least 2: each patch is compared with others")
        self.gan, self.lr, self.nce_T, self.patches = Adversarial(objective, constraint, weight=0.5), lr, nce_T, patches
        self.lambda_gan, self.lambda_nce = lambda_gan, lambda_nce
        self.lambda_idt = lambda_idt if in_channels == out_channels else 0.0
        options = {"ngf": ngf, "norm": norm, "dropout": dropout, "upsample": upsample, "residual": residual}

        def made(source: int, target: int) -> networks.ResNet:
            net = networks.generator(generator, source, target, antialias=antialias, **options)
            assert isinstance(net, networks.ResNet)
            initialise(net, weights=init)
            return net

        self.G, self.F = made(in_channels, out_channels), made(out_channels, in_channels)
        self.H_X, self.H_Y = (PatchProjection(net.tapped[1:]) for net in (self.G, self.F))
        self.D_X, self.D_Y = (
            self.gan.constrain(
                initialise(
                    networks.discriminator(discriminator, c, ndf=ndf, norm=norm, antialias=antialias), weights=init
                )
            )
            for c in (in_channels, out_channels)
        )
        self.past_x, self.past_y = ImagePool(pool), ImagePool(pool)

    def forward(self, batch: Views) -> Views:
        x, y = batch["x"], batch["y"]
        of_x: list[Tensor] = []  # the maps of G on the way to G(x)
        of_y: list[Tensor] = []
        v = {"x": x, "G(x)": self.G(x, of_x), "y": y, "F(y)": self.F(y, of_y)}
        if self.lambda_idt:
            v |= {"G(y)": self.G(y), "F(x)": self.F(x)}
        if not self.training:
            return v
        for side, H, maps in (("x", self.H_X, of_x), ("y", self.H_Y, of_y)):
            maps = [map.detach() for map in maps[1:]]
            places = [torch.randperm(m.shape[2] * m.shape[3], device=m.device)[: self.patches] for m in maps]
            v[f"s({side})"] = torch.cat(places)
            with torch.no_grad():
                v[f"z({side})"] = torch.cat(H([columns(m, s) for m, s in zip(maps, places, strict=True)]), 1)
        return v

    def contrast(self, encoder: networks.ResNet, H: PatchProjection, made: Tensor, places: Tensor, z: Tensor) -> Tensor:
        """Return L_PatchNCE of a made image against the patches z of its source, averaged over the maps."""
        maps = encoder.encode(made)[1:]
        counts = [min(self.patches, m.shape[2] * m.shape[3]) for m in maps]
        q = H([columns(m, s) for m, s in zip(maps, places.split(counts), strict=True)])
        losses = [patch_nce(a, b, self.nce_T) for a, b in zip(q, z.split(counts, 1), strict=True)]
        return torch.stack(losses).mean()

    def generator_loss(self, v: Views) -> Views:
        terms = {
            "gan_G": self.lambda_gan * self.gan.generator(self.D_Y, v["G(x)"], v["y"]),
            "gan_F": self.lambda_gan * self.gan.generator(self.D_X, v["F(y)"], v["x"]),
            "nce_x": self.lambda_nce * self.contrast(self.F, self.H_Y, v["G(x)"], v["s(x)"], v["z(x)"]),
            "nce_y": self.lambda_nce * self.contrast(self.G, self.H_X, v["F(y)"], v["s(y)"], v["z(y)"]),
        }
        if self.lambda_idt:
            terms["idt_y"] = self.lambda_idt * l1_loss(v["G(y)"], v["y"])
            terms["idt_x"] = self.lambda_idt * l1_loss(v["F(x)"], v["x"])
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
        generators = nn.ModuleList([self.G, self.F, self.H_X, self.H_Y])
        critics, after = nn.ModuleList([self.D_X, self.D_Y]), self.gan.after(self.D_X, self.D_Y)
        return {
            "D": Player(critics, self.discriminator_loss, lr=self.lr, after=after),
            "G": Player(generators, self.generator_loss, lr=self.lr),
        }

    def exports(self) -> dict[str, nn.Module]:
        return {"a2b": self.G, "b2a": self.F}

    def critics(self) -> dict[str, nn.Module]:
        return {"a2b": self.D_Y, "b2a": self.D_X}
