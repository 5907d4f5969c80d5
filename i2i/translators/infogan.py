"""InfoGAN: Chen, Duan, Houthooft, Schulman, Sutskever & Abbeel, InfoGAN: Interpretable Representation Learning by
Information Maximizing Generative Adversarial Nets, NeurIPS 2016 (arXiv:1606.03657)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from i2i.gan import wide
from i2i.networks.blocks import initialise, leaky_relu
from i2i.spec import Code, Prior
from i2i.translators.base import Player, Views
from i2i.translators.dcgan import DCGAN
from i2i.translators.latent import of_seeds

LAMBDA, LAMBDA_CONTINUOUS = 1.0, 0.1  # weights of a categorical and of a continuous code
G_RATE = 5  # learning rate of G over that of D and Q
HIDDEN = 128  # units of Q's hidden layer
COLUMNS = 9  # values of a continuous code in a row of a sample sheet, from -2 to 2


class InfoGAN(DCGAN):
    """min_{G,Q} max_D V(D, G) - lambda L_I(G, Q)   (eq. 6), with the networks of :class:`DCGAN`.

    z is noise and codes. L_I is a lower bound of the information that G(z) contains about the codes (eq. 5): their
    log-likelihood under Q, two layers on the last map of D. Its term is the cross-entropy of a categorical code, and
    (c - Q(x))^2 / 2 of a continuous one: a Gaussian of unit variance, without its constant. Their weights lambda are 1
    and 0.1, where the authors' code has 1 for both. Q moves with D, whose body the term trains as well; G moves by the
    term through both.

    Args:
        codes: names of the codes, separated by commas: NAME=VALUES a categorical one, NAME a continuous one (-1 to 1).
        latent: numbers of the noise, which the codes follow.
        lr: learning rate of D and Q; that of G is five times as large (appendix C.1).
        balance: as in i2i.translators.aids; Q rests with D.

    The others are those of :class:`DCGAN`.
    """

    authors: ClassVar = {"size": (28, 28), "batch": 128}

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        *,
        codes: str = "category=10,first,second",
        domains: int = 0,
        attributes: bool = False,
        height: int = 28,
        width: int = 28,
        latent: int = 62,
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
        prior = Prior(latent, (height, width), distribution, parse_codes(codes))
        super().__init__(
            in_channels, out_channels, domains=domains, attributes=attributes, height=height, width=width,
            latent=prior.length, distribution=distribution, ngf=ngf, ndf=ndf, norm=norm, objective=objective,
            constraint=constraint, mismatched=mismatched, smoothing=smoothing, noise=noise, minibatch=minibatch,
            matching=matching, balance=balance, n_critic=n_critic, lr=lr,
        )  # fmt: skip
        self._prior = prior
        features: Any = self.D.features
        layers = [nn.Linear(features, HIDDEN), leaky_relu(), nn.Linear(HIDDEN, prior.length - prior.noise)]
        self.Q = initialise(nn.Sequential(nn.Flatten(), *layers))

    def forward(self, batch: Views) -> Views:
        """Compute G(z).

        In evaluation mode, compute the images of one seed a row, and in the columns those of every value of the first
        categorical code; without one, the first continuous code from -2 to 2.
        """
        if self.training:
            return super().forward(batch)
        x, labels = batch["x"], [batch["c"]] if self.domains else []
        z = of_seeds(self._prior, x)
        code, place = next((found for found in self.codes() if found[0].values), next(self.codes()))
        values = torch.eye(code.values) if code.values else torch.linspace(-2, 2, COLUMNS)[:, None]
        views = {"x": x}
        for i, value in enumerate(values.to(z)):
            z[:, self._prior.noise :][:, place] = value
            views[f"G(z,{code.name}={i if code.values else f'{float(value):g}'})"] = self.G(z, *labels)
        return views

    def codes(self) -> Iterator[tuple[Code, slice]]:
        """Yield each code and its place among the numbers that follow the noise."""
        start = 0
        for code in self._prior.codes:
            yield code, slice(start, start + code.width)
            start += code.width

    def information(self, x: Tensor, z: Tensor) -> Views:
        """Return the negative log-likelihood under Q of the codes of z [n, length] that made x, a term for each."""
        body: Any = self.D.body
        read = wide(self.aids.seen(lambda seen: self.Q(body(seen)))(x))
        codes, terms = wide(z)[:, self._prior.noise :], {}
        for code, place in self.codes():
            if code.values:
                loss = LAMBDA * cross_entropy(read[:, place], codes[:, place])
            else:
                loss = LAMBDA_CONTINUOUS * (codes[:, place] - read[:, place]).square().mean() / 2
            terms[f"info_{code.name}"] = loss
        return terms

    def discriminator_loss(self, v: Views) -> Views:
        return super().discriminator_loss(v) | self.information(v["G(z)"].detach(), v["z"])

    def generator_loss(self, v: Views) -> Views:
        return super().generator_loss(v) | self.information(v["G(z)"], v["z"])

    def players(self) -> dict[str, Player]:
        players = super().players()
        return {
            "D": replace(players["D"], net=nn.ModuleList([self.D, self.Q])),
            "G": replace(players["G"], lr=G_RATE * self.lr),
        }


def parse_codes(text: str) -> tuple[Code, ...]:
    """Return the codes that ``text`` names, such as "digit=10,width,slant". Raises ValueError for other text."""
    codes = []
    for part in text.split(","):
        name, equals, values = part.strip().partition("=")
        if not re.fullmatch(r"[A-Za-z][\w-]*", name) or (equals and not (values.isdecimal() and int(values) > 1)):
            raise ValueError(
                f"codes is {text!r}, with {part!r}; expected names separated by commas, with the number of values of "
                "those that are categories, from 2: digit=10,width,slant"
            )
        codes.append(Code(name, int(values) if equals else 0))
    if len({code.name for code in codes}) < len(codes):
        raise ValueError(f"codes is {text!r}, where a name comes twice; give each code a name of its own")
    return tuple(codes)
