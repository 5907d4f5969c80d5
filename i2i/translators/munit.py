"""MUNIT: Huang, Liu, Belongie & Kautz, Multimodal Unsupervised Image-to-Image Translation, ECCV 2018
(arXiv:1804.04732)."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

from torch import cat, nn
from torch.nn.functional import l1_loss

from i2i.gan import Adversarial
from i2i.networks.multiscale import MultiScale
from i2i.networks.munit import ContentEncoder, Decoder, Restyle, StyleEncoder, strided
from i2i.spec import Prior
from i2i.translators.base import Player, Translator, Views
from i2i.translators.latent import draw, of_seeds

COLUMNS = 3  # random styles of a direction in a sample sheet


class MUNIT(Translator):
    """min_{E, G} max_D L_GAN + lambda_x L_recon^x + lambda_c L_recon^c + lambda_s L_recon^s   (eq. 5), where

        L_recon^x = |G_x(c(x), s(x)) - x|   (eq. 1)
        L_recon^c = |c(x->y) - c(x)|   (eq. 2)
        L_recon^s = |s(x->y) - s_y|   (eq. 3)
        L_GAN = L(D_y, y, x->y)   (eq. 4)

    with x and y for the paper's x_1 and x_2, and x->y = G_y(c(x), s_y) for s_y ~ N(0, I); and the same with x and y
    exchanged. The optional cycle is style-augmented: |G_x(c(x->y), s(x)) - x|. Norms are means over elements.

    An image has a content, a map, which the translation keeps, and a style, a few numbers, of which the translation
    takes those of the other domain: drawn from N(0, I), or the style of an example image.

    Args:
        in_channels, out_channels: of x and y, which are [n, c, h, w] in [-1, 1].
        ngf, ndf: filters of the first layers.
        style: numbers of a style.
        blocks: residual blocks of each content encoder and decoder.
        hidden: units of a layer of the network from a style to the decoder's AdaIN.
        upsample: resize, as the authors | deconv | blur.
        scales, layers: discriminators at halved scales, and halvings of each.
        objective, constraint: of the game; see i2i.gan.
        lambda_x, lambda_c, lambda_s, lambda_cyc: the weights of the terms above; 0 for no cycle.
        weight_decay: of all networks, added to the gradient.
    """

    data = "unpaired"
    authors: ClassVar = {"steps": 1_000_000, "batch": 1}

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        *,
        ngf: int = 64,
        ndf: int = 64,
        style: int = 8,
        blocks: int = 4,
        hidden: int = 256,
        upsample: str = "resize",
        scales: int = 3,
        layers: int = 4,
        objective: str = "lsgan",
        constraint: str = "none",
        lambda_x: float = 10.0,
        lambda_c: float = 1.0,
        lambda_s: float = 1.0,
        lambda_cyc: float = 0.0,
        weight_decay: float = 1e-4,
        lr: float = 1e-4,
    ) -> None:
        super().__init__()
        self.gan, self.lr, self.weight_decay = Adversarial(objective, constraint), lr, weight_decay
        self.lambda_x, self.lambda_c, self.lambda_s, self.lambda_cyc = lambda_x, lambda_c, lambda_s, lambda_cyc
        self._prior = Prior(style, (0, 0))
        sides: Any = {"ngf": ngf, "style": style, "blocks": blocks, "upsample": upsample, "hidden": hidden}
        self.C_x, self.C_y = (ContentEncoder(channels, ngf, blocks) for channels in (in_channels, out_channels))
        self.S_x, self.S_y = (StyleEncoder(channels, ngf, style) for channels in (in_channels, out_channels))
        self.G_x, self.G_y = (Decoder(channels, **sides) for channels in (in_channels, out_channels))
        self.D_x, self.D_y = (
            MultiScale(strided(channels, layers, ndf) for _ in range(scales))
            for channels in (in_channels, out_channels)
        )
        self.gan.constrain(nn.ModuleList([self.D_x, self.D_y]))

    def prior(self) -> Prior:
        """Return the prior of the styles."""
        return self._prior

    def forward(self, batch: Views) -> Views:
        """Compute the translations in random styles; in evaluation mode those in the styles of the first seeds, and
        that in the style of the batch's own image of the other domain.
        """
        x, y = batch["x"], batch["y"]
        n, size = len(x), x.shape[-2:]
        c_x, c_y, of_x, of_y = self.C_x(x), self.C_y(y), self.S_x(x), self.S_y(y)
        if not self.training:
            styles = of_seeds(self._prior, x.new_zeros(COLUMNS))
            return {
                "x": x,
                **{f"x->y({i})": self.G_y(c_x, styles[i].expand(n, -1), size) for i in range(COLUMNS)},
                "x->y(y)": self.G_y(c_x, of_y, size),
                "y": y,
                **{f"y->x({i})": self.G_x(c_y, styles[i].expand(n, -1), size) for i in range(COLUMNS)},
                "y->x(x)": self.G_x(c_y, of_x, size),
            }
        s_x, s_y = draw(self._prior, x), draw(self._prior, x)
        to_x = self.G_x(cat([c_x, c_y]), cat([of_x, s_x]), size)
        to_y = self.G_y(cat([c_y, c_x]), cat([of_y, s_y]), size)
        x_y, y_x = to_y[n:], to_x[n:]
        c_x_y, c_y_x = self.C_y(x_y), self.C_x(y_x)
        views = {"x": x, "x->y": x_y, "y": y, "y->x": y_x, "x->x": to_x[:n], "y->y": to_y[:n]}
        if self.lambda_cyc:
            views |= {"x->y->x": self.G_x(c_x_y, of_x, size), "y->x->y": self.G_y(c_y_x, of_y, size)}
        contents = {"c(x)": c_x, "c(y)": c_y, "c(x->y)": c_x_y, "c(y->x)": c_y_x}
        found = {"s_x": s_x, "s_y": s_y, "s(y->x)": self.S_x(y_x), "s(x->y)": self.S_y(x_y)}
        return views | {name: content.flatten(1) for name, content in contents.items()} | found

    def discriminator_loss(self, v: Views) -> Views:
        terms: Views = {}
        for side, D, fake in (("x", self.D_x, "y->x"), ("y", self.D_y, "x->y")):
            terms[f"gan_{side}"] = self.gan.critic(D, v[side], v[fake])
            terms |= self.gan.penalty(D, v[side], v[fake], f"penalty_{side}")
        return terms

    def generator_loss(self, v: Views) -> Views:
        terms = {
            "gan_x": self.gan.generator(self.D_x, v["y->x"], v["x"]),
            "gan_y": self.gan.generator(self.D_y, v["x->y"], v["y"]),
            "recon_x": self.lambda_x * l1_loss(v["x->x"], v["x"]),
            "recon_y": self.lambda_x * l1_loss(v["y->y"], v["y"]),
            "content_x": self.lambda_c * l1_loss(v["c(x->y)"], v["c(x)"]),
            "content_y": self.lambda_c * l1_loss(v["c(y->x)"], v["c(y)"]),
            "style_x": self.lambda_s * l1_loss(v["s(y->x)"], v["s_x"]),
            "style_y": self.lambda_s * l1_loss(v["s(x->y)"], v["s_y"]),
        }
        if self.lambda_cyc:
            terms["cycle_x"] = self.lambda_cyc * l1_loss(v["x->y->x"], v["x"])
            terms["cycle_y"] = self.lambda_cyc * l1_loss(v["y->x->y"], v["y"])
        return terms

    def players(self) -> dict[str, Player]:
        critics = nn.ModuleList([self.D_x, self.D_y])
        generators = nn.ModuleList([self.C_x, self.C_y, self.S_x, self.S_y, self.G_x, self.G_y])
        made = partial(Player, lr=self.lr, weight_decay=self.weight_decay)
        return {
            "D": made(critics, self.discriminator_loss, after=self.gan.after(self.D_x, self.D_y)),
            "G": made(generators, self.generator_loss),
        }

    def exports(self) -> dict[str, nn.Module]:
        return {"a2b": Restyle(self.C_x, self.S_y, self.G_y), "b2a": Restyle(self.C_y, self.S_x, self.G_x)}
