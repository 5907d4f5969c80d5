"""Symptoms of a failing generator that a few of its images show, by simple statistics."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from i2i.translators import Views

# Each limit is far from what healthy runs reach; a symptom must also last, see watch.py.
FLAT = 0.03
"""Contrast of a generated image relative to real ones."""
COPY = 0.05
"""Mean absolute change of an image, relative to its mean absolute deviation from its mean colour."""
ALIKE = 0.02
"""Difference between generated images of different inputs, relative to that between real images."""
INVERTED = -0.5
"""Correlation between the grey values of an image and of its translation."""
GREY = 0.2
"""Spread of a generated image's colours around grey relative to real images and to its sources."""
GRID = 0.06
"""Standard deviation of the mean tile of 4 x 4 pixels, in a range of 2."""


class Made(NamedTuple):
    """Generated images of one kind."""

    view: str
    images: Tensor
    """[k, n, c, h, w]: of k domains, styles or seeds, for each of n rows."""
    source: Tensor | None
    """The images that they were made of, [n, c, h, w]; None for images from noise."""
    real: Tensor
    """Real images to compare with, [n, c, h, w]: of the target domain where there are some."""


@torch.no_grad()
def symptoms(views: Views, exports: Collection[str], pairs: bool = False) -> dict[str, str]:
    """Return the symptoms by name, with the first view that has each: "flat", "copy", "alike", "collapse", "inverted",
    "grey", "grid".

    Args:
        views: images [n, c, h, w] in [-1, 1] of a translator in evaluation mode.
        exports: directions in which the translator generates, as ``Translator.exports`` names them.
        pairs: True if x and y show the same scenes, so that y shows which changes are right.
    """
    found: dict[str, str] = {}
    for made in generated(views, exports):
        for name in _symptoms(made, pairs):
            found.setdefault(name, made.view)
    return found


def generated(views: Views, exports: Collection[str]) -> Iterator[Made]:
    """Yield the translations of x and of y, or the images from noise, among the views of a translator.

    A translation follows its source, and those to other domains or in other styles differ from it in a number.
    Reconstructions are left out, which should show their input.
    """
    names, found = list(views), False
    for source, target, directions in (("x", "y", {"a2b", "any"}), ("y", "x", {"b2a"})):
        if directions & set(exports) and source in names[:-1]:
            first = names[names.index(source) + 1]
            alike = [name for name in names if re.sub(r"\d+", "#", name) == re.sub(r"\d+", "#", first)]
            found = True
            images = torch.stack([views[name] for name in alike])
            yield Made(first, images, views[source], views.get(target, views["x"]))
    drawn = [name for name in names if not re.search(r"\b[xy]\b(?!~)", name)]
    if drawn and not found:
        yield Made(drawn[0], torch.stack([views[name] for name in drawn]), None, views["x"])


def _symptoms(made: Made, pairs: bool) -> Iterator[str]:
    images, source, real = made.images, made.source, made.real
    if contrast(images).amax() < FLAT * contrast(real).mean():
        yield "flat"
        return  # which explains all others
    if source is not None and images.shape[2] == source.shape[1]:
        allowed = min(COPY, float(change(source, real).mean()) / 4) if pairs else COPY
        if change(source, images).amax() < allowed:
            yield "copy"
    inputs = real if source is None else source
    if images.shape[1] > 1 and spread(images) < ALIKE * spread(inputs):
        yield "collapse" if source is None else "alike"
    if source is not None and inverted(made, pairs):
        yield "inverted"
    if (
        source is not None
        and images.shape[2] >= 3
        and source.shape[1] >= 3
        and colours(images) < GREY * min(float(colours(source)), float(colours(real)))
    ):
        yield "grey"
    if grid(images).mean() > max(GRID, 3 * float(grid(inputs).mean()), 3 * float(grid(real).mean())):
        yield "grid"


def contrast(images: Tensor) -> Tensor:
    """Return the standard deviation of each image [..., c, h, w] around its mean colour, [...]."""
    return images.var((-2, -1), unbiased=False).mean(-1).sqrt()


def change(source: Tensor, images: Tensor) -> Tensor:
    """Return how far images [..., c, h, w] are from their source, relative to the source's own contrast, [...]."""
    own = (source - source.mean((-2, -1), keepdim=True)).abs().mean((-3, -2, -1))
    return (images - source).abs().mean((-3, -2, -1)) / own.clamp_min(1e-3)


def spread(images: Tensor) -> Tensor:
    """Return the difference between the rows of images [..., n, c, h, w]: the pixels' mean standard deviation."""
    return images.std(-4, unbiased=False).mean()


def colours(images: Tensor) -> Tensor:
    """Return the spread of the colours of images [..., c, h, w] around their mean, their brightness apart."""
    tint = images[..., :3, :, :] - _grey(images).unsqueeze(-3)
    return tint.movedim(-3, 0).flatten(1).std(1, unbiased=False).mean()


def inverted(made: Made, pairs: bool) -> bool:
    """True if translations are negatives of their sources, and the target domain's images are not."""
    assert made.source is not None
    if correlation(made.source, made.images).mean() > INVERTED:
        return False
    if pairs:
        return bool(correlation(made.source, made.real).mean() > INVERTED / 2)
    before, after = float(_grey(made.source).mean()), float(_grey(made.real).mean())
    return abs(after - before) < abs(after + before) + 0.3  # else the target is as bright as the negatives


def correlation(a: Tensor, b: Tensor) -> Tensor:
    """Return the correlation of the grey values of images [..., c, h, w], [...]; 0 for images of one value."""
    a, b = (_grey(images) - _grey(images).mean((-2, -1), keepdim=True) for images in (a, b))
    sizes = a.square().sum((-2, -1)).sqrt() * b.square().sum((-2, -1)).sqrt()
    return (a * b).sum((-2, -1)) / sizes.clamp_min(1e-6)


def grid(images: Tensor) -> Tensor:
    """Return the energy of patterns that repeat every 2 or 4 pixels, as transposed convolutions leave them.

    It is the standard deviation of the mean tile of 4 x 4 pixels, for images [..., c, h, w] averaged over c, [...];
    natural details have no fixed place in a tile and cancel. It is 0 for images below 4 x 4 pixels.
    """
    h, w = (side // 4 for side in images.shape[-2:])
    tiles = images[..., : 4 * h, : 4 * w].unflatten(-2, (h, 4)).unflatten(-1, (w, 4)).mean((-4, -2))
    return tiles.var((-2, -1), unbiased=False).mean(-1).sqrt().nan_to_num(0.0)


def _grey(images: Tensor) -> Tensor:
    return images[..., :3, :, :].mean(-3)
