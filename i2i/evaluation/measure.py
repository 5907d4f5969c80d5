"""The measuring loop: images stream through, and only figures and features stay."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeVar

import numpy as np

from i2i.data.layout import Source
from i2i.errors import DataError
from i2i.evaluation.instruments import Instruments
from i2i.evaluation.pictures import Picture, nearest, read
from i2i.evaluation.sources import Item
from i2i.metrics import Estimate, Metric, NotMeasurableError
from i2i.metrics.estimate import mean
from i2i.metrics.labels import confusion
from i2i.metrics.pairs import Similarity
from i2i.runtime.system.host import cores

Views = Mapping[str, Picture]
Candidate = Callable[[Item, Views], Mapping[str, Picture]]
"""Makes its own pictures, "result", and "cycle" if there is a way back, from those of an item: "source", "truth" and a
finished "result"."""
Progress = Callable[[int, int], None]
Digest = tuple[str, str, str]
_ADAPTS = 32 * 1024**2 - 8192
_T = TypeVar("_T")
_R = TypeVar("_R")


@dataclass
class Rows:
    """Values and features of each image of a candidate, in the order of the items."""

    values: dict[str, list[float]] = field(default_factory=dict)
    features: list[np.ndarray] = field(default_factory=list)
    confusions: list[np.ndarray] = field(default_factory=list)


@dataclass
class Measured:
    """Findings of the loop.

    Attributes:
        rows: candidate -> what is kept.
        names: of the items.
        real: the features of the real images [m, d], if they are needed.
        digests: of the content of every source ("source") and real image ("truth"): role, name and digest.
        left_out: metric -> why.
    """

    rows: dict[str, Rows]
    names: list[str]
    real: np.ndarray | None
    digests: list[Digest]
    left_out: dict[str, str]


def measure(
    items: list[Item],
    real: list[Source],
    candidates: Mapping[str, Candidate],
    metrics: Mapping[str, Metric],
    instruments: Instruments,
    size: tuple[int, int] | None = None,
    progress: Progress | None = None,
) -> Measured:
    """Measure all items. Raises ImageError for a file that cannot be read, and DataError for sizes that do not fit.

    Images are read, translated and looked at on all cores, an image at a time on each.
    """
    _keep_freed_memory()
    found = Measured({name: Rows() for name in candidates}, [item.name for item in items], None, [], {})
    wants_features = any(metric.of == "features" for metric in metrics.values())
    seen = {item.truth for item in items}  # with their items
    apart = [source for source in real if source not in seen]
    total, done = len(items) + len(apart) * wants_features, 0
    truths: list[np.ndarray] = []

    def look(item: Item) -> Any:
        return _look(item, candidates, metrics, instruments, size)

    for rows, digests, truth in in_order(look, items):
        found.digests += digests
        for name, one in rows.items():
            _keep(found, name, one)
        if truth is not None:
            truths.append(truth)
        done += 1
        if progress is not None:
            progress(done, total)
    if apart:

        def look_at(source: Source) -> Any:
            picture, digest = read(source, size)
            return ("truth", source.name, digest), instruments.features(picture) if wants_features else None

        for digest, features in in_order(look_at, apart):
            found.digests.append(digest)
            if features is not None:
                truths.append(features)
            done += wants_features
            if progress is not None:
                progress(done, total)
    found.real = np.stack(truths) if truths else None
    return found


def _keep_freed_memory() -> None:
    """Make the allocator keep the memory of freed arrays, as the next image needs arrays of the same sizes.

    glibc gives memory back to the system at each release, and zeroing it for the next array costs as much time as SSIM
    itself. It adapts once it has released a block as large as this one, the largest for which it does (mallopt(3),
    M_MMAP_THRESHOLD). Elsewhere this does nothing.
    """
    np.empty(_ADAPTS, np.uint8)


def _keep(found: Measured, name: str, one: dict[str, Any]) -> None:
    rows = found.rows[name]
    for metric, value in one["values"].items():
        if isinstance(value, NotMeasurableError):
            found.left_out.setdefault(metric, str(value))
        else:
            rows.values.setdefault(metric, []).append(value)
    if one["features"] is not None:
        rows.features.append(one["features"])
    if one["confusion"] is not None:
        rows.confusions.append(one["confusion"])


def _look(
    item: Item,
    candidates: Mapping[str, Candidate],
    metrics: Mapping[str, Metric],
    instruments: Instruments,
    size: tuple[int, int] | None,
) -> tuple[dict[str, dict[str, Any]], list[Digest], np.ndarray | None]:
    """Return what is kept of one item for each candidate, the digests of its files and the features of its truth."""
    views: dict[str, Picture] = {}
    digests = []
    opened: dict[Source, Picture] = {}
    for role in ("source", "truth", "result", "labels"):
        source: Source | None = getattr(item, role)
        if source is None or (role == "labels" and instruments.labels_of is None):
            continue
        if role == "labels":
            views[role], _ = read(source, size, unmixed=True)
            continue
        if source not in opened:
            opened[source], digest = read(source, size)
            if role != "result":
                digests.append((role, source.name, digest))
        views[role] = opened[source]
    rows = {name: _row(item, {**views, **make(item, views)}, metrics, instruments) for name, make in candidates.items()}
    features = any(metric.of == "features" for metric in metrics.values())
    return rows, digests, instruments.features(views["truth"]) if "truth" in views and features else None


def _row(item: Item, views: Views, metrics: Mapping[str, Metric], instruments: Instruments) -> dict[str, Any]:
    values: dict[str, float | NotMeasurableError] = {}
    shared: dict[tuple[str, str], Similarity] = {}
    for name, metric in metrics.items():
        if metric.needs != "pair" or any(role not in views for role in metric.between if role != "class"):
            continue
        try:
            arguments = _views(item, views, metric, instruments, shared)
            if arguments is not None:
                values[name] = metric.function(*arguments)
        except NotMeasurableError as error:
            values[name] = NotMeasurableError(f"{item.name}: {error}")
    wants = {metric.of for metric in metrics.values() if metric.needs == "set"}
    judged = "confusion" in wants and "labels" in views and instruments.segmenter is not None
    return {
        "values": values,
        "features": instruments.features(views["result"]) if "features" in wants else None,
        "confusion": _confusion(views, instruments) if judged else None,
    }


def _views(
    item: Item, views: Views, metric: Metric, instruments: Instruments, shared: dict[tuple[str, str], Similarity]
) -> tuple[Any, ...] | None:
    """Return the arguments of a metric of pairs; None where there is nothing to compare.

    ``shared`` has what metrics of the same two roles compute once.
    """
    one = views[metric.between[0]]
    if metric.of == "label":
        expected = instruments.expected(item)
        return None if expected is None else (one.view(instruments.classifier), expected)  # type: ignore[arg-type]
    other = views[metric.between[1]]
    if metric.of == "maps":
        return instruments.maps(one), instruments.maps(other)
    if metric.between[1] == "truth" and one.size != other.size:
        raise DataError(
            f"{one.name} is {one.size[1]}x{one.size[0]} and its truth {other.name} {other.size[1]}x{other.size[0]}; "
            "pairs are compared at one size: --size HEIGHTxWIDTH brings both to it"
        )
    if metric.of == "similarity":
        if metric.between not in shared:
            shared[metric.between] = Similarity(*one.beside(other))
        return (shared[metric.between],)
    return one.beside(other)


def _confusion(views: Views, instruments: Instruments) -> np.ndarray:
    """Return the confusion [classes, classes] of what the segmenter sees and the label map, at the label map's size."""
    assert instruments.segmenter is not None
    assert instruments.labels_of is not None
    seen: np.ndarray = views["result"].view(instruments.segmenter)
    truth: np.ndarray = views["labels"].view(instruments.labels_of)
    rows, columns = (nearest(truth.shape[n], seen.shape[n]) for n in (0, 1))
    return confusion(seen[rows[:, None], columns], truth, instruments.classes)


def estimates(
    found: Measured, metrics: Mapping[str, Metric], options: Mapping[str, Any]
) -> dict[str, dict[str, Estimate]]:
    """Return metric -> candidate -> figure, of all metrics that could be measured; adds to ``found.left_out``."""
    figures: dict[str, dict[str, Estimate]] = {}
    for name, metric in metrics.items():
        given = {option: options[option] for option in metric.options}
        for candidate, rows in found.rows.items():
            try:
                if metric.needs == "pair" and name in rows.values and name not in found.left_out:
                    estimate = mean(np.array(rows.values[name]), options["seed"])
                elif metric.of == "features" and rows.features and found.real is not None:
                    estimate = metric.function(np.stack(rows.features), found.real, **given)
                elif metric.of == "confusion" and rows.confusions:
                    estimate = metric.function(np.stack(rows.confusions), **given)
                else:
                    continue
            except NotMeasurableError as error:
                found.left_out.setdefault(name, str(error))
                continue
            figures.setdefault(name, {})[candidate] = estimate
    return figures


def in_order(function: Callable[[_T], _R], arguments: Iterable[_T]) -> Iterator[_R]:
    """Yield function(argument) for each, in order, computed on all cores a few ahead, so that memory stays flat."""
    waiting = iter(arguments)
    pool = ThreadPoolExecutor(cores())
    try:
        ahead: list[Future[_R]] = [pool.submit(function, each) for each in islice(waiting, 2 * cores())]
        while ahead:
            result = ahead.pop(0).result()
            ahead += [pool.submit(function, each) for each in islice(waiting, 1)]
            yield result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
