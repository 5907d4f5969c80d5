"""EnCo: Cai, Zhu, Miao, Fu & Yao, Rethinking the Paradigm of Content Constraints in Unpaired Image-to-Image
Translation, AAAI 2024 (arXiv:2211.10867)."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, l1_loss, normalize

from i2i import networks
from i2i.gan import Adversarial, scales, scored, wide
from i2i.networks.blocks import initialise
from i2i.translators.base import Player, Translator, Views

DIM = 256  # of the projected patches
HIDDEN = 128  # of the predictors
OVERSAMPLED = 4  # random places of which D chooses one patch


class EnCo(Translator):
    """L_GAN(G, D) + (lambda_enco L_EnCo + lambda_idt |G(y) - y|) / 2 in the first half of a run, and without identity
    L_GAN(G, D) + lambda_enco L_EnCo in the second.

    L_EnCo is 2 - 2 cos(P(H(u)), H(d)) between patches of maps of the way down (d) and of the way up (u) of one pass of
    G, at the same stage and place, with a projection H and a predictor P, averaged over the patches and the stages. No
    gradient passes through H(d), and there are no negatives and no second pass through the encoder. Half of the patches
    are those where D's output is smallest, as for a fake, of four times as many at random places; the others are
    random.

    Args:
        in_channels, out_channels: of X and Y, whose images are [n, c, h, w] in [-1, 1].
        generator: resnet_9 at 256 pixels; another resnet_N or mobile_resnet_N, whose maps are compared as in
            ``ResNet.stages``.
        discriminator: patch_3 sees 70x70 pixels and some; patch_N.
        ngf, ndf: filters of the first layers.
        norm: instance | batch | group | layer | none; group and layer keep the colour of flat images.
        upsample: blur, as CUT's authors | deconv | resize.
        residual: G adds to its input, which it returns at first; from grey or equal channels.
        antialias: blur before halving, in G and D, as CUT's authors.
        init: of G and D: xavier, as the authors, or normal; see CUT.
        objective, constraint: of the game; see i2i.gan.
        lambda_gan, lambda_enco, lambda_idt: weights of the terms; no identity where X and Y differ in channels.
        patches: how many are compared in each map; all of them where it has fewer.
        lr, lr_d: learning rates of G, H and P, and of D.
    """

    data = "unpaired"
    authors: ClassVar = {"epochs": 400}

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
        objective: str = "lsgan",
        constraint: str = "none",
        lambda_gan: float = 1.0,
        lambda_enco: float = 2.0,
        lambda_idt: float = 10.0,
        patches: int = 256,
        lr: float = 5e-5,
        lr_d: float = 2e-4,
    ) -> None:
        super().__init__()
        if patches < 2:
            raise ValueError(f"patches is {patches}; expected at least 2: batch norm compares each with others")
        self.gan, self.lr, self.lr_d, self.patches = Adversarial(objective, constraint, weight=0.5), lr, lr_d, patches
        self.lambda_gan, self.lambda_enco = lambda_gan, lambda_enco
        self.lambda_idt = lambda_idt if in_channels == out_channels else 0.0
        options = {"ngf": ngf, "norm": norm, "dropout": dropout, "upsample": upsample, "residual": residual}
        G = networks.generator(generator, in_channels, out_channels, antialias=antialias, **options)
        assert isinstance(G, networks.ResNet)
        initialise(G, weights=init)
        self.G, self.H = G, nn.ModuleList(projection(channels) for channels in G.staged)
        self.P = nn.ModuleList(predictor() for _ in G.staged)
        initialise(nn.ModuleList([self.H, self.P]), weights="xavier")
        D = networks.discriminator(discriminator, out_channels, ndf=ndf, norm=norm, antialias=antialias)
        self.D = self.gan.constrain(initialise(D, weights=init))

    @property
    def identity(self) -> bool:
        """True while G(y) is compared with y."""
        return bool(self.lambda_idt) and self.progress < 0.5

    def forward(self, batch: Views) -> Views:
        x, y = batch["x"], batch["y"]
        if not self.training:
            return {"x": x, "G(x)": self.G(x), "y": y}
        made, down, up = self.G.stages(torch.cat([x, y]) if self.identity else x)
        n = len(x)
        v = {"x": x, "G(x)": made[:n], "y": y} | ({"G(y)": made[n:]} if self.identity else {})
        v |= {f"d({i})": map[:n].detach().flatten(2) for i, map in enumerate(down)}
        return v | {f"u({i})": map[:n].flatten(2) for i, map in enumerate(up)}

    def discriminator_loss(self, v: Views) -> Views:
        real, fake = v["y"], v["G(x)"]
        return {"gan": self.gan.critic(self.D, real, fake), **self.gan.penalty(self.D, real, fake)}

    def generator_loss(self, v: Views) -> Views:
        D = self.gan.seen(self.D)
        scores = scored(D, v["G(x)"], "fake")
        gan = self.gan.generator_of(scores, partial(scored, D, v["y"], "real"))
        terms = {"gan": self.lambda_gan * gan}
        with torch.no_grad():  # what D says of the image itself, at its places
            attention = scores if D is self.D else scored(self.D, v["G(x)"], "fake")
        weight = 0.5 if self.identity else 1.0
        terms["enco"] = weight * self.lambda_enco * self.alike(v, scales(attention)[0].detach())
        if self.identity:
            terms["idt"] = weight * self.lambda_idt * l1_loss(v["G(y)"], v["y"])
        return terms

    def alike(self, v: Views, attention: Tensor) -> Tensor:
        """Return L_EnCo, the patches chosen by D's output [n, c, h', w']."""
        terms = []
        for i, (H, P) in enumerate(zip(self.H, self.P, strict=True)):
            h, w = (-(-side // 2**i) for side in v["x"].shape[-2:])
            where = interpolate(attention.mean(1, keepdim=True), (h, w), mode="bilinear", align_corners=False)
            at = places(where.flatten(1), self.patches)[:, None]
            down, up = (
                map.gather(2, at.expand(-1, map.shape[1], -1)).transpose(1, 2).flatten(0, 1)  # [patches of all, c]
                for map in (v[f"d({i})"], v[f"u({i})"])
            )
            key = normalize(wide(H(down).detach()))
            terms.append((2 - 2 * (normalize(wide(P(H(up)))) * key).sum(1)).mean())
        return torch.stack(terms).mean()

    def players(self) -> dict[str, Player]:
        generator = nn.ModuleList([self.G, self.H, self.P])
        return {
            "D": Player(self.D, self.discriminator_loss, lr=self.lr_d, after=self.gan.after(self.D)),
            "G": Player(generator, self.generator_loss, lr=self.lr),
        }

    def exports(self) -> dict[str, nn.Module]:
        return {"a2b": self.G}

    def critics(self) -> dict[str, nn.Module]:
        return {"a2b": self.D}


def projection(channels: int) -> nn.Module:
    """Return H of a stage, a perceptron of patches [n, channels].

    Its last layer subtracts the mean of all patches: without negatives, a direction that all have in common would be
    the easiest way to agree.
    """
    return nn.Sequential(
        nn.Linear(channels, DIM, bias=False), normalised(DIM), nn.ReLU(),
        nn.Linear(DIM, DIM, bias=False), normalised(DIM, affine=False),
    )  # fmt: skip


def predictor() -> nn.Module:
    """Return P of a stage, a perceptron of what H returns."""
    return nn.Sequential(nn.Linear(DIM, HIDDEN, bias=False), normalised(HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, DIM))


def normalised(width: int, affine: bool = True) -> nn.Module:
    """Return batch normalisation of vectors [n, width]. There is nothing but training, so no averages are kept."""
    return nn.BatchNorm1d(width, affine=affine, track_running_stats=False)


def places(attention: Tensor, patches: int) -> Tensor:
    """Return the places [n, patches] of each image at which its maps are compared; all where there are fewer.

    Half of them are those of the smallest ``attention`` [n, places] among random ones, four for each patch; the others
    are the next of these in random order.
    """
    n, there = attention.shape
    patches, drawn = min(patches, there), min(OVERSAMPLED * patches, there)
    order = torch.rand(n, there, device=attention.device).argsort(1)[:, :drawn]
    half = patches // 2
    least = attention.gather(1, order).topk(half, 1, largest=False).indices
    rest = torch.zeros_like(order).scatter(1, least, 1).argsort(dim=1, stable=True)[:, : patches - half]
    return torch.cat([order.gather(1, least), order.gather(1, rest)], 1)
