"""StarGAN: Choi, Choi, Kim, Ha, Kim & Choo, StarGAN: Unified Generative Adversarial Networks for Multi-Domain
Image-to-Image Translation, CVPR 2018 (arXiv:1711.09020)."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, l1_loss

from i2i import networks
from i2i.gan import Adversarial, Critic, wide
from i2i.translators.aids import Aids
from i2i.translators.base import Player, Translator, Views


class StarGAN(Translator):
    """L_D = -L_adv + lambda_cls L_cls^r   (eq. 5), L_G = L_adv + lambda_cls L_cls^f + lambda_rec L_rec   (eq. 6).

    One generator G(x, c) turns an image x into domain c; D predicts whether an image is real (D_src) and its
    domain (D_cls). L_adv is that of Wasserstein GANs with a gradient penalty (eq. 8).

    Args:
        in_channels, out_channels: of the images, which are [n, c, h, w] in [-1, 1]; equal.
        domains: length of a label c.
        attributes: whether an image may have several of the domains at once, each yes or no; else it is in one.
        generator: stargan_N, of N residual blocks.
        discriminator: stargan_N, of N halvings.
        ngf, ndf: filters of the first layers.
        image_size: pixels across that the discriminator's classifier takes in at once; of a larger image, a mean.
        upsample: deconv, as the authors | resize, free of checkerboards.
        objective, constraint: of the game; see i2i.gan.
        lambda_cls, lambda_rec: weights of classification and reconstruction.
        mismatched: D_src scores an image together with a label, and a real image with the wrong label c' counts as
            false: the pair that G would make if it changed nothing (Reed et al. 2016, arXiv:1605.05396, algorithm 1).
            The score of a pair is D_src(x) + c . D_cls(x) (Miyato & Koyama 2018, arXiv:1802.05637).
        smoothing: label of real images is 1 - smoothing; for the objectives vanilla, minimax and lsgan.
        noise, balance: training aids, off at 0; see i2i.translators.aids.
        n_critic: steps of the discriminator for each of the generator.
    """

    data = "domains"
    authors: ClassVar = {"size": (128, 128), "batch": 16, "steps": 200_000}

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        *,
        domains: int = 5,
        attributes: bool = False,
        generator: str = "stargan_6",
        discriminator: str = "stargan_6",
        ngf: int = 64,
        ndf: int = 64,
        image_size: int = 128,
        upsample: str = "deconv",
        objective: str = "wgan",
        constraint: str = "gp",
        lambda_cls: float = 1.0,
        lambda_rec: float = 10.0,
        mismatched: bool = False,
        smoothing: float = 0.0,
        noise: float = 0.0,
        balance: float = 0.0,
        n_critic: int = 5,
        lr: float = 1e-4,
    ) -> None:
        super().__init__()
        if in_channels != out_channels:
            raise ValueError(
                f"StarGAN takes its own images back, so both sides have as many channels, not {in_channels} and "
                f"{out_channels}"
            )
        self.gan, self.lr, self.n_critic = Adversarial(objective, constraint, smoothing), lr, n_critic
        self.aids, self.mismatched = Aids(self.gan, noise=noise, balance=balance), mismatched
        self.domains, self.attributes = domains, attributes
        self.lambda_cls, self.lambda_rec = lambda_cls, lambda_rec
        self.G = networks.generator(generator, in_channels, out_channels, domains=domains, ngf=ngf, upsample=upsample)
        D = networks.discriminator(discriminator, in_channels, domains=domains, image_size=image_size, ndf=ndf)
        assert isinstance(D, networks.StarGANDiscriminator)  # no other has domains
        self.gan.constrain(D)
        self.D = D

    def forward(self, batch: Views) -> Views:
        """Compute G(x, c') in training; the reconstruction is computed when G moves, once in n_critic steps.

        In evaluation mode compute every domain: G(x, i) shows the i-th of exclusive domains, or x with the i-th
        attribute turned to its opposite; and the reconstruction from the last.
        """
        x, c = batch["x"], batch["c"]
        if self.training:
            target = permuted(c)
            return {"x": x, "c": c, "c'": target, "G(x,c')": self.G(x, target)}
        v = {"x": x} | {f"G(x,{i})": self.G(x, self.towards(i, c)) for i in range(self.domains)}
        last = f"G(x,{self.domains - 1})"
        return v | {f"G({last},c)": self.G(v[last], c)}

    def towards(self, i: int, c: Tensor) -> Tensor:
        """Return the labels c [n, domains] with the i-th attribute turned to its opposite; or those of domain i."""
        chosen = torch.zeros_like(c)
        chosen[:, i] = 1
        return (c - chosen).abs() if self.attributes else chosen

    def discriminator_loss(self, v: Views) -> Views:
        real, fake, c, target = v["x"], v["G(x,c')"].detach(), v["c"], v["c'"]
        src, cls = self.aids.seen(self.D)(real)
        loss = self.gan.critic_of(self.score(src, cls, c), self.source(target)(fake))
        if self.mismatched and (wrong := (c != target).any(1)).any():
            pairs = (self.score(src, cls, labels)[wrong] for labels in (c, target))
            loss = (loss + self.gan.critic_of(*pairs)) / 2
        return {
            "gan": loss,
            "cls": self.lambda_cls * self.classification(cls, c),
            **self.gan.penalty(self.source(c), real, fake),
        }

    def score(self, src: Tensor, cls: Tensor, c: Tensor) -> Tensor:
        """Return the score of images and labels from D's outputs on the images: D_src, or that of the pairs."""
        return wide(src) + (wide(cls) * c).sum(1)[:, None, None, None] if self.mismatched else src

    def source(self, c: Tensor) -> Critic:
        """Return D_src as a function of images with the labels c, and with the noise of its input."""

        def pairs(x: Tensor) -> Tensor:
            src, cls = self.D(x)
            return self.score(src, cls, c)

        return self.aids.seen(pairs if self.mismatched else self.D.source)

    def generator_loss(self, v: Views) -> Views:
        src, cls = self.aids.seen(self.D)(v["G(x,c')"])
        return {
            "gan": self.gan.generator_of(self.score(src, cls, v["c'"]), partial(self.source(v["c"]), v["x"])),
            "cls": self.lambda_cls * self.classification(cls, v["c'"]),
            "rec": self.lambda_rec * l1_loss(self.G(v["G(x,c')"], v["c"]), v["x"]),
        }

    def classification(self, logits: Tensor, c: Tensor) -> Tensor:
        """Return -log D_cls(c | x), averaged over the images (eqs. 2 and 3) and summed over the attributes of each."""
        if self.attributes:
            return binary_cross_entropy_with_logits(wide(logits), c, reduction="sum") / len(c)
        return cross_entropy(wide(logits), c)

    def players(self) -> dict[str, Player]:
        return {
            "D": Player(
                self.D, self.discriminator_loss, lr=self.lr, after=self.gan.after(self.D), skip=self.aids.skip()
            ),
            "G": Player(self.G, self.generator_loss, lr=self.lr, every=self.n_critic),
        }

    def exports(self) -> dict[str, nn.Module]:
        return {"any": self.G}


def permuted(c: Tensor) -> Tensor:
    """Return target labels: those of the batch in another order, so that they are as frequent as in the data.

    Raises ValueError for a batch of one, which has no other order.
    """
    if len(c) < 2:
        raise ValueError(
            "StarGAN takes its target labels from the other images of the batch, and there are none: give --batch 2 or "
            "more for each process (the authors have 16)"
        )
    return c[torch.randperm(len(c)).to(c.device)]
