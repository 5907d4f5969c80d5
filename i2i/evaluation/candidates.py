"""Candidates of an evaluation: the results of a model or of a folder, and the baselines beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np

from i2i.data.layout import Source
from i2i.errors import DataError
from i2i.evaluation.measure import Candidate, Views, in_order
from i2i.evaluation.pictures import Picture, read, resize, rounded
from i2i.evaluation.sources import Item
from i2i.images import Image
from i2i.runtime.errors import ModelError
from i2i.runtime.model.model import Model

INPUT, REAL = "the input itself", "real images"


def of_folder(item: Item, views: Views) -> dict[str, Picture]:
    """Return the finished result as it is."""
    return {"result": views["result"]}


def of_model(model: Model, back: Model | None = None) -> Candidate:
    """Return the candidate that translates the source; with ``back`` its result is translated back as well.

    A model of several domains is its own way back, to the domain whose folder the source is in.
    """

    def make(item: Item, views: Views) -> dict[str, Picture]:
        source = views["source"]
        made = {"result": _translated(model, source)}
        if back is not None:
            way = back.toward(item.name.split("/")[0]) if back.spec.domains else back
            made["cycle"] = _translated(way, made["result"])
        return made

    return make


def _translated(model: Model, source: Picture) -> Picture:
    try:
        (result,) = model.translate([source.image])
    except ModelError as error:
        raise type(error)(f"{source.name}: {error}") from error
    return Picture(replace(result, format="not encoded"), source.name)


def the_input(item: Item, views: Views) -> dict[str, Picture]:
    """Return the source as the result: it knows the image but not the task."""
    return {"result": _fitted(views["source"], views)}


def the_mean(targets: Sequence[Source], size: tuple[int, int] | None) -> Candidate:
    """Return the candidate that answers with the mean of the target images: it knows the set but not the image.

    The mean is taken at the size of the first image. Reads all images once.
    """
    if not targets:
        raise DataError("there are no target images to take the mean of")
    total: np.ndarray | None = None
    for picture, _ in in_order(lambda source: read(source, size), targets):
        pixels = picture.rgb.astype(np.float64)
        total = pixels if total is None else total + resize(pixels, *total.shape[:2])
    assert total is not None
    whole = Picture(Image(rounded(total / len(targets), np.zeros(1, np.uint8))), "the mean image")

    @lru_cache(maxsize=64)
    def at(height: int, width: int) -> Picture:
        return _at(whole, height, width)

    def make(item: Item, views: Views) -> dict[str, Picture]:
        like = views.get("truth", views.get("source", whole))
        return {"result": at(*like.size)}

    return make


def _fitted(picture: Picture, views: Views) -> Picture:
    truth = views.get("truth", picture)
    return picture if truth.size == picture.size else _at(picture, *truth.size)


def _at(picture: Picture, height: int, width: int) -> Picture:
    if picture.size == (height, width):
        return picture
    return Picture(Image(rounded(resize(picture.pixels, height, width), picture.pixels)), picture.name)
