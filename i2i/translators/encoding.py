"""Generators with an encoder: what VAE-GAN and BiGAN have in common, and translation by latent arithmetic."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from i2i.gan import Adversarial, wide
from i2i.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from i2i.networks.latent import Decoder, LabelMeans, LatentArithmetic
from i2i.spec import Prior
from i2i.translators.base import Player, Translator, Views
from i2i.translators.latent import of_seeds

COLUMNS = 4  # drawn images in a row of a sample sheet
CLASSIFIER_RATE = 1e-2  # soft and hard decisions then move images equally well


class Encoding(Translator):
    """Encoder E, decoder G and a discriminator D of a fixed size of images.

    With labelled images it also translates: x -> G(E(x) + mean(target) - mean(source)), where a mean is that of E(x)
    over the images with a label (Larsen et al. 2016, arXiv:1512.09300, section 4.2; Radford et al. 2016,
    arXiv:1511.06434, section 6.3). The means are learned during the training. The label of the source is no input: a
    linear classifier of E(x), the player C, learns to predict it, and mean(source) is the expectation under its
    probabilities. The nearest mean is a less accurate classifier of a trained encoder, and jumps between classes; while
    E still changes fast, as BiGAN's does at first, C lags behind. E, G and D do not see the labels, so G takes z alone.
    """

    data = "images"
    augment = False
    conditional = False
    authors: ClassVar = {"size": (64, 64), "batch": 64}

    labels: LabelMeans | None

    def begin(
        self, prior: Prior, encoded: int, channels: int, gan: Adversarial, *, domains: int, attributes: bool,
        nef: int, ngf: int, n_critic: int, lr: float,
    ) -> None:  # fmt: skip
        """Make E, with ``encoded`` outputs, and G; take the settings of the game."""
        self._prior, self.gan, self.domains, self.attributes = prior, gan, domains, attributes
        self.player: Any = partial(Player, lr=lr)
        self.n_critic = n_critic
        height, width = prior.size
        sides: Any = {"height": height, "width": width}
        self.E = DCGANDiscriminator(channels, ndf=nef, norm="running", outputs=encoded, **sides)
        self.G = DCGANGenerator(prior.length, channels, ngf=ngf, **sides)
        self.labels = LabelMeans(domains, attributes, prior.length) if domains else None

    def prior(self) -> Prior:
        return self._prior

    def encode(self, x: Tensor) -> Tensor:
        """Return E(x) [n, latent], without noise."""
        return self.E(x)[:, : self._prior.length]

    def labels_of(self, batch: Views) -> Views:
        """Return the labels of a batch as a view, if there are any."""
        return {} if self.labels is None else {"c": batch["c"]}

    def shown(self, x: Tensor) -> Views:
        """Return the images of a sample sheet: reconstructions, translations to each label, and drawn ones.

        For attributes, "G(E(x),i)" has the i-th attribute and no other.
        """
        v = {"x": x, "G(E(x))": self.G(self.encode(x))}
        if self.labels is None:
            return v | {f"G(z,{i})": self.G(of_seeds(self._prior, x, i * len(x))) for i in range(COLUMNS)}
        for i in range(self.domains):
            c = x.new_zeros(len(x), self.domains)
            c[:, i] = 1
            v[f"G(E(x),{i})"] = self.G(self.labels.toward(self.encode(x), c))
        return v | {"G(z)": self.G(of_seeds(self._prior, x))}

    def label_player(self, view: str) -> dict[str, Player]:
        """Return the player C, which predicts labels from the view [n, latent] alone; none without labels."""
        if self.labels is None:
            return {}
        loss = partial(self.label_loss, self.labels, view)
        return {"C": Player(self.labels.classifier, loss, lr=CLASSIFIER_RATE)}

    def label_loss(self, labels: LabelMeans, view: str, v: Views) -> Views:
        """Return -log p(c | E(x)), averaged over the images and summed over the attributes of each.

        Adds E(x) to the means of its labels as well, since each image comes here once a step.
        """
        labels.update(v[view].detach(), v["c"])
        logits, c = wide(labels.logits(v[view].detach())), v["c"]
        if self.attributes:
            return {"cls": binary_cross_entropy_with_logits(logits, c, reduction="sum") / len(c)}
        return {"cls": cross_entropy(logits, c)}

    def exports(self) -> dict[str, nn.Module]:
        found: dict[str, nn.Module] = {"generate": Decoder(self.G, self.labels)}
        if self.labels is not None:
            found["any"] = LatentArithmetic(self.E, self.labels, self.G, *self._prior.size)
        return found
