"""The gallery: sources and results beside each other, from the worst to the best by a metric."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from i2i.errors import DataError
from i2i.evaluation.candidates import of_model
from i2i.evaluation.instruments import Instruments
from i2i.evaluation.measure import Candidate, Progress, Views, measure
from i2i.evaluation.pictures import Picture
from i2i.evaluation.protocol import sizing
from i2i.evaluation.results import RESULT
from i2i.evaluation.sources import Item, Task
from i2i.metrics import METRICS
from i2i.reporting.embed import Embedded, embed
from i2i.reporting.figures import Figures
from i2i.runtime.model.model import Model

_T = TypeVar("_T")
SIDE = 256  # pixels of the longest side of a picture
SCANNED = 4  # images that are translated for each one shown, where no evaluation says which are the worst


@dataclass
class Card:
    """One result with its source, and its truth where there are pairs. ``place`` 1 is the worst."""

    name: str
    place: int
    value: float
    text: str
    pictures: dict[str, Embedded]


@dataclass
class Gallery:
    """Results of one run and one target domain, the worst first.

    Attributes:
        title: what is translated to what.
        metric: name of the metric that sorts them.
        better: "lower" or "higher".
        ranked: number of results that were sorted.
        total: number of images of the split.
        split: of the data; None where it has none, so that its images may have been trained on.
        cards: the worst, some from the middle and the best.
    """

    title: str
    metric: str
    better: str
    ranked: int
    total: int
    split: str | None
    cards: list[Card] = field(default_factory=list)


def build(
    task: Task, model: Model, title: str, figures: Sequence[Figures], count: int, progress: Progress | None = None
) -> Gallery:
    """Translate at most ``count`` images to show, those that an evaluation sorted, or a part of the split.

    Raises DataError and ImageError for images that cannot be compared or read.
    """
    if not task.items:
        raise DataError(f"{task.reference}: no images to translate")
    make = _Kept(of_model(model))
    known = _measured(task, figures)
    if known is None:
        name = "SSIM" if task.paired else "edges"
        metric, label = METRICS[name], name
        some = spread(task.items, SCANNED * count)
        found = measure(some, [], {RESULT: make}, {name: metric}, Instruments(), None, progress)
        if name in found.left_out or name not in found.rows[RESULT].values:
            raise DataError(f"results cannot be sorted by {name}: {found.left_out.get(name, 'it was not measured')}")
        values = dict(zip(found.names, found.rows[RESULT].values[name], strict=True))
    else:
        name, label, values = known
        metric = METRICS[name]
    sign = -1 if metric.better == "lower" else 1
    order = sorted(values, key=lambda image: (_key(sign * values[image]), image))
    chosen = worst_to_best(len(order), count)
    if known is not None:
        wanted = {order[place] for place in chosen}
        items = [item for item in task.items if item.name in wanted]
        measure(items, [], {RESULT: make}, {}, Instruments(), None, progress)
    gallery = Gallery(title, label, metric.better, len(order), len(task.items), task.split)
    for place in chosen:
        image = order[place]
        value = 100 * values[image] if metric.percent and known is None else values[image]
        gallery.cards.append(Card(image, place + 1, values[image], f"{value:.4g}", make.pictures[image]))
    return gallery


class _Kept:
    """A candidate that keeps reduced pictures of what passes by."""

    def __init__(self, candidate: Candidate) -> None:
        self.candidate = candidate
        self.pictures: dict[str, dict[str, Embedded]] = {}

    def __call__(self, item: Item, views: Views) -> dict[str, Picture]:
        made = dict(self.candidate(item, views))
        shown = {"source": views.get("source"), "result": made["result"], "truth": views.get("truth")}
        self.pictures[item.name] = {role: embed(each.rgb, SIDE) for role, each in shown.items() if each is not None}
        return made


def _measured(task: Task, figures: Sequence[Figures]) -> tuple[str, str, dict[str, float]] | None:
    """Return name, label and values of the metric by which an evaluation sorts what the gallery shows.

    That is an evaluation of these images at their own size, toward the same domain, and of the weights of now.
    """
    names, shown = {item.name for item in task.items}, (task.reference, task.target, sizing(None))
    for table in figures:
        found = table.by_image()
        of = table.protocol.reference, table.table.get("target"), table.protocol.size
        if found is not None and found[1].keys() <= names and of == shown and not table.stale:
            return found[0], table.label(found[0]), found[1]
    return None


def _key(value: float) -> float:
    """Order values that are not numbers as the worst."""
    return -math.inf if math.isnan(value) else value


def worst_to_best(total: int, count: int) -> list[int]:
    """Return the places to show of ``total`` sorted ones: all, or the worst half, some of the middle, the best."""
    if total <= count:
        return list(range(total))
    worst, best = (count + 1) // 2, count // 4
    middle = range(worst, total - best)
    return [*range(worst), *spread(middle, count - worst - best), *range(total - best, total)]


def spread(items: Sequence[_T], count: int) -> list[_T]:
    """Return ``count`` items at equal distances, or all where there are fewer."""
    if len(items) <= count:
        return list(items)
    return [items[n * len(items) // count] for n in range(count)]
