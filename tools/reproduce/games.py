"""The networks and translators of digits.py: small, for grey images of 28 x 28 pixels, [n, 1, 28, 28] in [-1, 1]."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, cat, nn
from torch.nn.functional import cross_entropy

from i2i.translators import Player, Translator, Views, translator_class
from i2i.translators.unit import UNIT

SIDE = 28


def block(i: int, o: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """[n, i, h, w] to [n, o, h / stride, w / stride], normalised over the batch, as the authors do for digits."""
    conv = nn.Conv2d(i, o, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(o), nn.LeakyReLU(0.1))


def doubled(i: int, o: int) -> nn.Sequential:
    """[n, i, h, w] to [n, o, 2h, 2w]."""
    conv = nn.Conv2d(i, 4 * o, 3, padding=1, bias=False)
    return nn.Sequential(conv, nn.PixelShuffle(2), nn.BatchNorm2d(o), nn.LeakyReLU(0.1))


def low_encoder(w: int) -> nn.Sequential:
    """E_L: [n, 1, 28, 28] to [n, w, 14, 14]."""
    return block(1, w, 5, stride=2)


def high_encoder(w: int) -> nn.Sequential:
    """E_H: [n, w, 14, 14] to the latent [n, 4w, 7, 7]."""
    return nn.Sequential(block(w, 2 * w, 3, stride=2), block(2 * w, 4 * w, 3), nn.Conv2d(4 * w, 4 * w, 1))


def high_decoder(w: int) -> nn.Sequential:
    """G_H: [n, 4w, 7, 7] to [n, 2w, 14, 14]."""
    return nn.Sequential(block(4 * w, 4 * w, 3), doubled(4 * w, 2 * w))


class LowDecoder(nn.Module):
    """G_L: [n, 2w, 14, 14] to [n, 1, 28, 28]."""

    def __init__(self, w: int) -> None:
        super().__init__()
        last = nn.Conv2d(2 * w, 4, 5, padding=2)
        self.layers = nn.Sequential(block(2 * w, 2 * w, 3), last, nn.PixelShuffle(2), nn.Tanh())

    def forward(self, g: Tensor, size: tuple[int, int] = (SIDE, SIDE)) -> Tensor:
        assert tuple(size) == (SIDE, SIDE), size
        return self.layers(g)


def generator(w: int) -> nn.Sequential:
    """The same layers as one generator, for translators without a latent space."""
    return nn.Sequential(low_encoder(w), high_encoder(w), high_decoder(w), LowDecoder(w))


class Classifier(nn.Sequential):
    """Classifier of the ten digits: [n, 1, 28, 28] to logits [n, 10].

    Args:
        w: filters of the first layer.
    """

    def __init__(self, w: int) -> None:
        layers: list[nn.Module] = [nn.Conv2d(1, w, 5, 2, 2), nn.BatchNorm2d(w), nn.ReLU()]
        for i in (w, 2 * w):
            layers += [nn.Conv2d(i, 2 * i, 3, padding=1), nn.BatchNorm2d(2 * i), nn.ReLU(), nn.MaxPool2d(2)]
        super().__init__(*layers, nn.Flatten(), nn.Dropout(0.3), nn.Linear(36 * w, 10))


class Learner(Translator):
    """TrainState of one player: a classifier of the source's images, half of them translated by the current translator.

    A batch holds "labelled", images of the source, and "labels", their digits. Without a translator the classifier
    learns the images as they are.
    """

    data = "images"

    def __init__(self, translator: Translator | None, w: int, lr: float) -> None:
        super().__init__()
        self.translate = translator and translator.exports()["a2b"]
        self.C, self.lr = Classifier(w), lr

    @torch.no_grad()  # the labels teach the classifier alone
    def forward(self, batch: Views) -> Views:
        if self.translate is None:
            return batch
        translated, as_they_are = batch["labelled"].chunk(2)
        return batch | {"labelled": cat([self.translate(translated), as_they_are])}

    def classifier_loss(self, v: Views) -> Views:
        return {"label": cross_entropy(self.C(v["labelled"]), v["labels"])}

    def players(self) -> dict[str, Player]:
        return {"C": Player(self.C, self.classifier_loss, lr=self.lr)}


def unit(**options: Any) -> Translator:
    """UNIT whose encoders and generators are the layers above."""
    w = options["ngf"]
    made = UNIT(1, 1, blocks=0, shared=0, **options)
    made.E_1, made.E_2, made.E_H = low_encoder(w), low_encoder(w), high_encoder(w)  # type: ignore[assignment]
    made.G_1, made.G_2, made.G_H = LowDecoder(w), LowDecoder(w), high_decoder(w)  # type: ignore[assignment]
    return made


def with_generators(method: str, *names: str) -> Callable[..., Translator]:
    """Makes a translator of the package, whose generators ``names`` are UNIT's layers."""

    def make(**options: Any) -> Translator:
        made = translator_class(method)(1, 1, **options)
        for name in names:
            setattr(made, name, generator(options["ngf"]))
        return made

    return make


METHODS: dict[str, Callable[..., Translator | None]] = {
    "source": lambda **options: None,
    "direct": with_generators("direct", "G"),
    "cut": with_generators("cut"),  # it looks into its generator, and so keeps its own
    "cyclegan": with_generators("cyclegan", "G", "F"),
    "unit": unit,
}
"""Makes the translator of a method from its hyper-parameters: ngf, ndf, lr and its own."""
