"""DCGAN: Radford, Metz & Chintala, Unsupervised Representation Learning with Deep Convolutional Generative Adversarial
Networks, ICLR 2016 (arXiv:1511.06434)."""

from __future__ import annotations

from typing import Any, ClassVar

from i2i.gan import Adversarial
from i2i.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from i2i.spec import Prior
from i2i.translators.aids import Aids
from i2i.translators.base import Translator
from i2i.translators.gan import GAN


class DCGAN(GAN):
    """The game of :class:`GAN` with convolutional networks and batch norm.

    With labelled images, c is joined to z, and D has a projection of c (Miyato & Koyama 2018, arXiv:1802.05637).

    Args:
        in_channels, out_channels: of the images, which are [n, c, h, w] in [-1, 1]; equal.
        domains, attributes: length of a label c, 0 for none, and whether labels can be combined; the data decides.
        height, width: of the images, even and at least 8; the size of the training crops.
        latent: numbers of the noise z.
        distribution: of z: normal | uniform.
        ngf, ndf: filters of the largest hidden maps.
        norm: of the discriminator: batch, as the authors | instance | none. A gradient penalty (constraint gp or r1)
            is one of single images, which batch norm mixes: use instance or none.
        objective, constraint: of the game; see i2i.gan.
        mismatched: with labels, D also learns that a real image with a wrong label is false.
        smoothing: label of real images is 1 - smoothing; for the objectives vanilla, minimax and lsgan.
        noise, minibatch, matching, balance: training aids, off at 0; see i2i.translators.aids.
        n_critic: steps of the discriminator for each of the generator.
    """

    authors: ClassVar = {"size": (64, 64), "batch": 128}

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        *,
        domains: int = 0,
        attributes: bool = False,
        height: int = 64,
        width: int = 64,
        latent: int = 100,
        distribution: str = "uniform",
        ngf: int = 64,
        ndf: int = 64,
        norm: str = "batch",
        objective: str = "vanilla",
        constraint: str = "none",
        mismatched: bool = False,
        smoothing: float = 0.0,
        noise: float = 0.0,
        minibatch: int = 0,
        matching: float = 0.0,
        balance: float = 0.0,
        n_critic: int = 1,
        lr: float = 2e-4,
    ) -> None:
        Translator.__init__(self)
        gan = Adversarial(objective, constraint, smoothing)
        aids = Aids(gan, noise, minibatch, matching, balance)
        sides: Any = {"height": height, "width": width, "conditions": domains}
        G = DCGANGenerator(latent, out_channels, ngf=ngf, **sides)
        D = DCGANDiscriminator(in_channels, ndf=ndf, norm=norm, minibatch=minibatch, **sides)
        self.begin(
            Prior(latent, (height, width), distribution), G, D, gan, aids, domains=domains, attributes=attributes,
            mismatched=mismatched, n_critic=n_critic, lr=lr,
        )  # fmt: skip
