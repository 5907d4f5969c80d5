"""The networks and the games of digits.py: translators one of whose players also learns what the source's labels say.

All networks are small and take grey images of 28 x 28 pixels, [n, 1, 28, 28] in [-1, 1].

A batch holds "x", images of the source with their digits "c"; "y", images of the target without; and "labelled",
further images of the source, with their digits "labels": telling digits apart costs little beside translating them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, cat, nn
from torch.nn.functional import cross_entropy, l1_loss

from i2i.translators import Player, Translator, Views, translator_class
from i2i.translators.unit import UNIT

SIDE = 28
SOURCE, TARGET = 0, 1
LABELS = ("c", "labelled", "labels")


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


class Judge(nn.Module):
    """A classifier of digits and the discriminators of both domains in one: only their low layers are apart.

    Args:
        w: filters of the first layer.
    """

    def __init__(self, w: int) -> None:
        super().__init__()
        self.low = nn.ModuleList(
            nn.Sequential(nn.Conv2d(1, w, 5, 2, 2), nn.InstanceNorm2d(w, affine=True), nn.ReLU())
            for _ in (SOURCE, TARGET)
        )
        self.low[TARGET].load_state_dict(self.low[SOURCE].state_dict())
        layers: list[nn.Module] = []
        for i in (w, 2 * w):
            norm = nn.InstanceNorm2d(2 * i, affine=True)
            layers += [nn.Conv2d(i, 2 * i, 3, padding=1), norm, nn.ReLU(), nn.MaxPool2d(2)]
        self.high = nn.Sequential(*layers, nn.Flatten())
        self.dropout = nn.Dropout(0.3)  # on the way to the verdicts, not between features, as the authors
        self.real, self.digit = nn.Linear(36 * w, 1), nn.Linear(36 * w, 10)

    def features(self, x: Tensor, y: Tensor) -> Tensor:
        """What the highest layers make of images of the source and then of the target: [n + m, d]."""
        return self.high(cat([self.low[SOURCE](x), self.low[TARGET](y)]))

    def forward(self, images: Tensor, domain: int) -> Tensor:
        """[n, 1, 28, 28] to the logits of the ten digits."""
        return self.digit(self.dropout(self.high(self.low[domain](images))))


class Side(nn.Module):
    """The discriminator of one domain: images [n, 1, 28, 28] to logits [n, 1]."""

    def __init__(self, judge: Judge, domain: int) -> None:
        super().__init__()
        self.judge, self.domain = judge, domain

    def forward(self, images: Tensor) -> Tensor:
        judge = self.judge
        return judge.real(judge.dropout(judge.high(judge.low[self.domain](images))))


def label_terms(judge: Judge, f: Views, v: Views, weights: dict[str, float]) -> Views:
    """What the source's labels say of the features of its images, and of their translations'."""
    logits = judge.digit(judge.dropout(cat([f["labelled"], f["x"], f["x->y"]])))
    n = len(v["c"])
    return {
        "label": weights["label"] * cross_entropy(logits[:-n], cat([v["labels"], v["c"]])),
        "label_translated": weights["label_translated"] * cross_entropy(logits[-n:], v["c"]),
    }


class DigitsUNIT(UNIT):
    """UNIT's game with its "domain adaptation" (section 4): the discriminators share high layers, which classify too.

    They keep the features of an image and of its translation close, and, beyond the paper, learn the labels of
    translated images of the source as well.
    """

    def __init__(self, *, w: int, ndf: int, weights: dict[str, float], **options: Any) -> None:
        super().__init__(1, 1, ngf=1, ndf=1, blocks=0, shared=0, discriminator="pixel", **options)
        self.E_1, self.E_2, self.E_H = low_encoder(w), low_encoder(w), high_encoder(w)  # type: ignore[assignment]
        self.G_1, self.G_2, self.G_H = LowDecoder(w), LowDecoder(w), high_decoder(w)  # type: ignore[assignment]
        self.judge, self.weights = Judge(ndf), weights
        self.D_1, self.D_2 = Side(self.judge, SOURCE), Side(self.judge, TARGET)

    def forward(self, batch: Views) -> Views:
        return super().forward(batch) | {name: batch[name] for name in LABELS}

    def discriminator_loss(self, v: Views) -> Views:
        """UNIT's terms and the labels', from one look at each image."""
        judge, n = self.judge, len(v["x"])
        of_source = cat([v["labelled"], v["x"], v["y->x"].detach()])
        found = judge.features(of_source, cat([v["y"], v["x->y"].detach()]))
        parts = found.split([len(v["labelled"]), n, n, n, n])
        f = dict(zip(("labelled", "x", "y->x", "y", "x->y"), parts, strict=True))
        x, y_, y, x_ = judge.real(judge.dropout(found[-4 * n :])).split(n)
        return {
            "gan_1": self.lambda_0 * self.gan.critic_of(x, y_),
            "gan_2": self.lambda_0 * self.gan.critic_of(y, x_),
            "feature": self.weights["feature"] * (l1_loss(f["x"], f["x->y"]) + l1_loss(f["y"], f["y->x"])),
            **label_terms(judge, f, v, self.weights),
        }


class Classified(Translator):
    """A classifier beside a translator's game: it learns the source's images, and their translations "G(x)".

    Without a translator it learns the source's images alone.
    """

    data = "unpaired"

    def __init__(self, translator: Translator | None, *, ndf: int, weights: dict[str, float], lr: float) -> None:
        super().__init__()
        self.translator, self.judge, self.weights, self.lr = translator, Judge(ndf), weights, lr

    def forward(self, batch: Views) -> Views:
        v = self.translator(batch) if self.translator else {"x": batch["x"]}
        return v | {name: batch[name] for name in LABELS}

    def classifier_loss(self, v: Views) -> Views:
        judge, n = self.judge, len(v["x"])
        of_source = cat([v["labelled"], v["x"]])
        if self.translator is None:
            return {
                "label": self.weights["label"] * cross_entropy(judge(of_source, SOURCE), cat([v["labels"], v["c"]]))
            }
        labelled, x, x_ = judge.features(of_source, v["G(x)"].detach()).split([len(v["labelled"]), n, n])
        return label_terms(judge, {"labelled": labelled, "x": x, "x->y": x_}, v, self.weights)

    def players(self) -> dict[str, Player]:
        players = self.translator.players() if self.translator else {}
        return players | {"C": Player(self.judge, self.classifier_loss, lr=self.lr)}


def unit(*, w: int, ndf: int, weights: dict[str, float], lr: float, **options: Any) -> Translator:
    return DigitsUNIT(w=w, ndf=ndf, weights=weights, lr=lr, **options)


def with_small_generators(method: str, *generators: str) -> Callable[..., Translator]:
    """Makes a translator of the package whose ``generators`` are UNIT's layers, with a classifier beside it."""

    def make(*, w: int, ndf: int, weights: dict[str, float], lr: float, **options: Any) -> Translator:
        translator = translator_class(method)(1, 1, ngf=w, ndf=ndf, lr=lr, **options)
        for name in generators:
            setattr(translator, name, generator(w))
        return Classified(translator, ndf=ndf, weights=weights, lr=lr)

    return make


def source_alone(*, w: int, ndf: int, weights: dict[str, float], lr: float) -> Translator:
    return Classified(None, ndf=ndf, weights=weights, lr=lr)


METHODS: dict[str, Callable[..., Translator]] = {
    "source": source_alone,
    "direct": with_small_generators("direct", "G"),
    "cut": with_small_generators("cut"),  # it looks into its generator, and so keeps its own
    "cyclegan": with_small_generators("cyclegan", "G", "F"),
    "unit": unit,
}
"""Makes the game of a method from the networks' widths ``w`` and ``ndf``, weights, a learning rate and options."""
