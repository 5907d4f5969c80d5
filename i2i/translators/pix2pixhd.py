"""pix2pixHD: Wang, Liu, Zhu, Tao, Kautz & Catanzaro, High-Resolution Image Synthesis and Semantic Manipulation with
Conditional GANs, CVPR 2018 (arXiv:1711.11585)."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, cat, nn
from torch.nn.functional import l1_loss

from i2i import networks
from i2i.gan import Adversarial, wide
from i2i.translators.base import Player, Translator, Views


class Pix2PixHD(Translator):
    """min_G (max_{D_1, D_2, D_3} sum_k L_GAN(G, D_k) + lambda_fm sum_k L_FM(G, D_k))   (eqs. 3 to 5), where

        L_FM(G, D_k) = E sum_i |D_k^i(x, y) - D_k^i(x, G(x))| / N_i   (eq. 4)

    and D_k sees the pair at the k-th scale, D_k^i being its i-th map. As in the authors' code the terms of L_FM are
    averaged over scales and multiplied by 4 / hidden maps, which is 1 for three layers.

    G is the global generator in stage 1. Stage 2 puts the local enhancer around a finished one and trains both on
    images of twice the size; it starts with ``--from`` and the run of stage 1. Instances, their boundaries and features
    are not used.

    Args:
        in_channels, out_channels: of x and y, which are [n, c, h, w] in [-1, 1].
        generator: global_N: N blocks at 1 / 2^downs of the size.
        downs: how often the global generator halves the image.
        stage: 1 | 2.
        enhancer: residual blocks of the local enhancer.
        discriminator: patch_3x3: three layers, three scales; patch_NxK or patch_N.
        ngf, ndf: filters of the first layers of the global generator and of each discriminator.
        norm: instance, as the authors | batch | group | layer | none; group and layer keep the colour of flat images.
        residual: G adds to its input, which it returns at first; from grey or equal channels.
        objective, constraint: of the game; see i2i.gan.
        lambda_fm: weight of feature matching.
    """

    data = "pairs"
    authors: ClassVar = {"epochs": 200}

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        *,
        generator: str = "global_9",
        downs: int = 4,
        stage: int = 1,
        enhancer: int = 3,
        discriminator: str = "patch_3x3",
        ngf: int = 64,
        ndf: int = 64,
        norm: str = "instance",
        residual: bool = False,
        objective: str = "lsgan",
        constraint: str = "none",
        lambda_fm: float = 10.0,
        lr: float = 2e-4,
    ) -> None:
        super().__init__()
        if stage not in (1, 2):
            raise ValueError(f"stage is {stage}; expected 1, the global generator, or 2, with the local enhancer")
        self.gan, self.lambda_fm, self.lr = Adversarial(objective, constraint, weight=0.5), lambda_fm, lr
        options: Any = {"ngf": ngf, "norm": norm, "residual": residual}
        globe = networks.generator(generator, in_channels, out_channels, downs=downs, **options)
        assert isinstance(globe, networks.GlobalGenerator)
        self.G: networks.GlobalGenerator | networks.LocalEnhancer = globe
        if stage == 2:
            self.G = networks.LocalEnhancer(globe, in_channels, out_channels, blocks=enhancer, **options)
        D = networks.discriminator(discriminator, in_channels + out_channels, ndf=ndf, norm=norm)
        if not all(hasattr(each, "features") for each in (D if isinstance(D, networks.MultiScale) else [D])):
            raise ValueError(f"discriminator is {discriminator!r}, which has no maps to match; expected patch_NxK")
        self.D, self.parts = self.gan.constrain(D), (in_channels, out_channels)

    def forward(self, batch: Views) -> Views:
        return {"x": batch["x"], "G(x)": self.G(batch["x"]), "y": batch["y"]}

    def discriminator_loss(self, v: Views) -> Views:
        real, fake = cat([v["x"], v["y"]], 1), cat([v["x"], v["G(x)"]], 1).detach()
        D = self.gan.seen(self.D, self.parts)
        return {"gan": self.gan.critic(D, real, fake), **self.gan.penalty(D, real, fake)}

    def generator_loss(self, v: Views) -> Views:
        x, y, made = self.gan.augment(v["x"], v["y"], v["G(x)"])
        real, fake = (self.maps(cat([x, image], 1)) for image in (y, made))
        logits = [each[-1] for each in real]
        terms = {"gan": self.gan.generator_of([each[-1] for each in fake], lambda: logits)}
        pairs = zip(real, fake, strict=True)
        matching = [
            4 / (len(r) - 1) * l1_loss(wide(b), wide(a).detach())
            for r, f in pairs
            for a, b in zip(r[:-1], f, strict=False)
        ]
        return terms | {"fm": self.lambda_fm / len(real) * sum(matching[1:], matching[0])}

    def maps(self, pair: Tensor) -> list[list[Tensor]]:
        """Return the hidden maps and the logits of each scale."""
        D: Any = self.D
        found: Any = D.features(pair)
        return found if isinstance(self.D, networks.MultiScale) else [found]

    def players(self) -> dict[str, Player]:
        return {
            "G": Player(self.G, self.generator_loss, lr=self.lr),
            "D": Player(self.D, self.discriminator_loss, lr=self.lr, after=self.gan.after(self.D)),
        }

    def exports(self) -> dict[str, nn.Module]:
        return {"a2b": self.G}

    def critics(self) -> dict[str, nn.Module]:
        return {"a2b": self.D}

    def foundations(self) -> dict[str, nn.Module]:
        return {"a2b": self.G.globe} if isinstance(self.G, networks.LocalEnhancer) else {}
