"""GAN: Goodfellow et al., Generative Adversarial Nets, NeurIPS 2014 (arXiv:1406.2661)."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

from torch import Tensor, nn

from i2i.gan import Adversarial, Critic
from i2i.networks.mlp import MLPDiscriminator, MLPGenerator
from i2i.spec import Prior
from i2i.translators.aids import Aids
from i2i.translators.base import Player, Translator, Views
from i2i.translators.latent import draw, of_seeds, others

COLUMNS = 8  # drawn images in a row of a sample sheet


class GAN(Translator):
    """min_G max_D E log D(x) + E log(1 - D(G(z)))   (eq. 1), with fully connected networks.

    With labelled images it is conditional: G(z, c) and D(x, c) (Mirza & Osindero 2014, arXiv:1411.1784).

    Args:
        in_channels, out_channels: of the images, which are [n, c, h, w] in [-1, 1]; equal.
        domains, attributes: length of a label c, 0 for none, and whether labels can be combined; the data decides.
        height, width: of the images; the size of the training crops.
        latent: numbers of the noise z.
        distribution: of z: normal | uniform.
        hidden: units of a hidden layer.
        objective, constraint: of the game; see i2i.gan.
        mismatched: with labels, D also learns that a real image with a wrong label is false (Reed et al. 2016,
            arXiv:1605.05396, algorithm 1).
        smoothing: label of real images is 1 - smoothing; for the objectives vanilla, minimax and lsgan.
        noise, minibatch, matching, balance: training aids, off at 0; see i2i.translators.aids.
        n_critic: steps of the discriminator for each of the generator.
    """

    data = "images"
    augment = False
    authors: ClassVar = {"size": (28, 28), "batch": 100}

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        *,
        domains: int = 0,
        attributes: bool = False,
        height: int = 28,
        width: int = 28,
        latent: int = 100,
        distribution: str = "uniform",
        hidden: int = 512,
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
        super().__init__()
        gan = Adversarial(objective, constraint, smoothing)
        aids = Aids(gan, noise, minibatch, matching, balance)
        sides: Any = {"height": height, "width": width, "hidden": hidden, "conditions": domains}
        G = MLPGenerator(latent, out_channels, **sides)
        D = MLPDiscriminator(in_channels, minibatch=minibatch, **sides)
        self.begin(
            Prior(latent, (height, width), distribution), G, D, gan, aids, domains=domains, attributes=attributes,
            mismatched=mismatched, n_critic=n_critic, lr=lr,
        )  # fmt: skip

    def begin(
        self, prior: Prior, G: nn.Module, D: nn.Module, gan: Adversarial, aids: Aids, *, domains: int, attributes: bool,
        mismatched: bool, n_critic: int, lr: float,
    ) -> None:  # fmt: skip
        """Take the networks and the settings of the game. Raises ValueError for ``mismatched`` without labels."""
        if mismatched and not domains:
            raise ValueError(
                "mismatched pairs need labelled images; give a folder for each class, or --attributes FILE"
            )
        self._prior, self.gan, self.lr, self.n_critic = prior, gan, lr, n_critic
        self.domains, self.attributes, self.mismatched = domains, attributes, mismatched
        self.aids = aids
        self.G, self.D = G, gan.constrain(D)

    def prior(self) -> Prior:
        return self._prior

    def forward(self, batch: Views) -> Views:
        """Compute G(z), or G(z, c) of the images' own labels c.

        In evaluation mode, compute the images of the first seeds; with labels, that of each seed in each domain.
        """
        x, labels = batch["x"], {"c": batch["c"]} if self.domains else {}
        if self.training:
            z = draw(self._prior, x)
            return {"x": x, **labels, "z": z, "G(z)": self.G(z, *labels.values())}
        if self.domains:
            z = of_seeds(self._prior, x)
            return {"x": x} | {f"G(z,{i})": self.G(z, self.toward(i, x)) for i in range(self.domains)}
        return {"x": x} | {f"G(z,{i})": self.G(of_seeds(self._prior, x, i * len(x))) for i in range(COLUMNS)}

    def toward(self, i: int, x: Tensor) -> Tensor:
        """Return the labels of domain i, or of the attribute i alone, for every image of x."""
        c = x.new_zeros(len(x), self.domains)
        c[:, i] = 1
        return c

    def critic(self, v: Views) -> Critic:
        """Return D as a function of images, with the labels of this step, and with the noise of its input."""
        return self.aids.seen(partial(self.D, c=v["c"]) if self.domains else self.D)

    def features(self, v: Views) -> Critic:
        """Return D's last hidden layer [n, f] as a function of images, like ``critic``."""
        embed: Any = self.D.embed
        return self.aids.seen(partial(embed, c=v["c"]) if self.domains else embed)

    def discriminator_loss(self, v: Views) -> Views:
        D, real, fake = self.critic(v), v["x"], v["G(z)"].detach()
        scores = D(real)
        loss = self.gan.critic_of(scores, D(fake))
        if self.mismatched:
            wrong = self.critic({"c": others(v["c"], self.attributes)})
            loss = (loss + self.gan.critic_of(scores, wrong(real))) / 2
        return {"gan": loss, **self.gan.penalty(D, real, fake)}

    def generator_loss(self, v: Views) -> Views:
        terms = {"gan": self.gan.generator(self.critic(v), v["G(z)"], v["x"])}
        return terms | (self.aids.matched(self.features(v), v["x"], v["G(z)"]) if self.aids.matching else {})

    def players(self) -> dict[str, Player]:
        return {
            "D": Player(
                self.D, self.discriminator_loss, lr=self.lr, after=self.gan.after(self.D), skip=self.aids.skip()
            ),
            "G": Player(self.G, self.generator_loss, lr=self.lr, every=self.n_critic),
        }

    def exports(self) -> dict[str, nn.Module]:
        return {"generate": self.G}
