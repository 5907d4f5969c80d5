"""Nearest training images of results: has the network memorised what it was trained on?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from i2i.evaluation.candidates import of_model
from i2i.evaluation.measure import Progress, in_order
from i2i.evaluation.networks import Extractor
from i2i.evaluation.pictures import Picture, read, resize
from i2i.evaluation.sources import Item, Task
from i2i.reporting.embed import Embedded, embed
from i2i.reporting.gallery import SIDE, spread
from i2i.runtime.model.model import Model

_T = TypeVar("_T")
RESULTS, REAL, TRAINED = 32, 64, 2000  # images that are compared at most
PIXELS = 16  # side of the reduced images, where no features are installed


@dataclass
class Pair:
    """A result, the training image of the target domain that is nearest to it, and their distance."""

    name: str
    trained: str
    distance: float
    pictures: dict[str, Embedded]


@dataclass
class Neighbours:
    """The results that are nearest to a training image, and how near held-out real images are.

    Attributes:
        title: what is translated to what.
        measure: the distance in words.
        pairs: the nearest first.
        results: median distance of the results.
        real: median distance of held-out real images, the distance to expect; None where there are none.
        counts: results, held-out real images and training images compared.
    """

    title: str
    measure: str
    pairs: list[Pair]
    results: float
    real: float | None
    counts: tuple[int, int, int]


def nearest_training(
    task: Task, model: Model, title: str, extractor: Extractor | None, count: int, progress: Progress | None = None
) -> Neighbours | None:
    """Find the ``count`` results that are nearest to a training image of the target domain.

    The distance is Euclidean, of features, or else of the pixels of images reduced to 16 x 16. None without training
    images. Raises ImageError for a file that cannot be read.
    """
    trained = spread(task.targets, TRAINED)
    items, real = spread(task.items, RESULTS), spread(task.real, REAL)
    if not trained or not items:
        return None
    done, total = 0, len(trained) + len(items) + len(real)

    def look(picture: Picture) -> np.ndarray:
        return _reduced(picture) if extractor is None else extractor(picture)[0]

    def vectors(function: Callable[[_T], np.ndarray], of: Sequence[_T]) -> np.ndarray:
        nonlocal done
        found = []
        for vector in in_order(function, of):
            found.append(vector)
            done += 1
            if progress is not None:
                progress(done, total)
        return np.stack(found)

    def translated(item: Item) -> Picture:
        assert item.source is not None
        source, _ = read(item.source)
        return of_model(model)(item, {"source": source})["result"]

    known = vectors(lambda source: look(read(source)[0]), trained)
    distances, places = _nearest(vectors(lambda item: look(translated(item)), items), known)
    held_out = _nearest(vectors(lambda source: look(read(source)[0]), real), known)[0] if real else None
    pairs = []
    for n in np.argsort(distances, kind="stable")[:count]:
        other = trained[places[n]]
        pictures = {"result": translated(items[n]), "trained": read(other)[0]}
        shown = {role: embed(picture.rgb, SIDE) for role, picture in pictures.items()}
        pairs.append(Pair(items[n].name, other.name, float(distances[n]), shown))
    measure = f"features {extractor.name}" if extractor else f"pixels, reduced to {PIXELS} x {PIXELS}"
    typical = None if held_out is None else float(np.median(held_out))
    counts = len(items), len(real), len(trained)
    return Neighbours(title, measure, pairs, float(np.median(distances)), typical, counts)


def _reduced(picture: Picture) -> np.ndarray:
    return resize(picture.rgb, PIXELS, PIXELS).ravel() / np.float32(255)


def _nearest(ones: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for each row of ``ones`` [n, d] the distance to the nearest row of ``others`` [m, d], and its index."""
    squares = (ones**2).sum(1)[:, None] + (others**2).sum(1) - 2 * ones @ others.T
    places = squares.argmin(1)
    return np.linalg.norm(ones - others[places], axis=1), places
