"""``i2i.report``: one file that says what runs did and how good they are."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from i2i.atomic import atomically, check_kind
from i2i.errors import I2IError
from i2i.evaluation import evaluate as measure
from i2i.evaluation.arguments import find_tasks, open_model
from i2i.evaluation.networks import Extractor, has_lite0, open_features
from i2i.reporting import gallery, neighbours
from i2i.reporting.card import render_card
from i2i.reporting.figures import Figures, of_evaluation, of_test, read_metrics
from i2i.reporting.page import Contents, render
from i2i.reporting.records import Record, read_records
from i2i.runtime.model.catalog import read_run
from i2i.runtime.model.targets import way
from i2i.text import known_keywords, not_found

PathLike = str | os.PathLike[str]
Progress = Callable[[int, int], None]
FORMATS = {"html": ".html", "md": ".md"}
IMAGES, NEAREST = 24, 6  # results in a gallery, and of those with a training image beside them
METRICS_FILE = "metrics.json"  # in a run's folder, it is read without being named


@known_keywords
def report(
    runs: PathLike | Sequence[PathLike],
    *,
    out: PathLike | None = None,
    format: str | None = None,
    metrics: PathLike | Sequence[PathLike] = (),
    evaluate: bool = False,
    data: PathLike | None = None,
    a: PathLike | None = None,
    b: PathLike | None = None,
    images: int = IMAGES,
    features: str | None = None,
    license: str | None = None,
    provider: str = "auto",
    progress: Progress | None = None,
) -> Path:
    """Write a report of one or more runs: an HTML page that needs no network, or a model card. Return its path.

    A page contains the runs' facts, settings and their differences, curves, metrics with their protocol, results from
    the worst to the best, sample sheets, the training images nearest to results, and the commands that train them
    again. What cannot be shown, such as a gallery where the data is gone, is named on the page.

    Args:
        runs: folders of runs, or names of runs under ``runs/``.
        out: the file to write; by default ``report.html`` (or ``.md``) in the run's folder, or for several runs in the
            current one.
        format: "html" or "md", a model card without pictures; by default the suffix of ``out``, else "html".
        metrics: files that ``i2i evaluate -o`` wrote; ``metrics.json`` in a run's folder is read as well.
        evaluate: True measures the runs first, as :func:`i2i.evaluate` does by default.
        data: folder of both domains, for the gallery; or else
        a, b: a folder of each of two domains. By default the data that each run recorded.
        images: results in a gallery, from 0 (no gallery, and nothing is translated); each has at most 256 pixels a
            side.
        features: of the nearest training images and of ``evaluate``: "lite0", "onnx:FILE" or "inception:FILE"; by
            default lite0 if it is installed, else pixels.
        license: for the header of a model card, such as "apache-2.0".
        provider: execution provider of the models.
        progress: called with (images done, all images).

    Raises DataError for a folder that is no run or a file without metrics, ValueError for wrong arguments, and OSError
    if the file cannot be written; then an earlier file stays as it was.
    """
    some = [runs] if isinstance(runs, str | os.PathLike) else list(runs)
    if not some:
        raise ValueError("no runs to report on; give the folder of at least one")
    if images < 0:
        raise ValueError(f"images is {images}; it cannot be negative")
    records = read_records(some)
    kind, target = _target(records, out, format)
    files = [metrics] if isinstance(metrics, str | os.PathLike) else list(metrics)
    contents = Contents(records)
    earlier, fresh = _figures(records, [Path(file) for file in files]), []
    where = {"data": data, "a": a, "b": b}
    if evaluate:
        for number, record in enumerate(records):
            for direction in _directions(record):
                options: dict[str, Any] = {**where, "direction": direction, "features": features, "provider": provider}
                found = measure(record.path, **options, progress=progress)
                fresh += of_evaluation(found.to_dict(), number, "measured for this report")
    contents.figures = sorted([*fresh, *earlier], key=lambda table: table.run)  # the first ones of a run count
    if kind == "html" and images:
        extractor = _extractor(features, provider)
        for number in range(len(records)):
            _add_pictures(contents, number, where, images, extractor, provider, progress)
    text = render(contents) if kind == "html" else render_card(contents, license)
    atomically(target, lambda temporary: temporary.write_text(text, encoding="utf-8", errors="replace"))
    return target


def _target(records: list[Record], out: PathLike | None, format: str | None) -> tuple[str, Path]:
    """Return the format and the file to write. Raises ValueError for an unknown format or a missing folder."""
    if format is not None and format not in FORMATS:
        raise ValueError(f"format is {format!r}; choose one of {', '.join(FORMATS)}")
    if out is None:
        kind = format or "html"
        return kind, (records[0].path if len(records) == 1 else Path()) / f"report{FORMATS[kind]}"
    path = Path(out)
    suffixes = {suffix: kind for kind, suffix in FORMATS.items()}
    kind = format or suffixes.get(path.suffix.lower(), "html")
    if path.is_dir():
        path /= f"report{FORMATS[kind]}"
    if not path.parent.is_dir():
        raise ValueError(f"{not_found(path.parent, 'folder')} to write {path.name} to")
    check_kind(path, *FORMATS.values(), ".htm")
    return kind, path


def _figures(records: list[Record], files: list[Path]) -> list[Figures]:
    own = [record.path / METRICS_FILE for record in records]
    named = {file.resolve() for file in files}
    wanted = files + [file for file in own if file.is_file() and file.resolve() not in named]
    found = [table for file in wanted for table in read_metrics(file, records)]
    for number, record in enumerate(records):
        found += of_test(record.facts.get("test"), number, record.notes)
    return found


def _extractor(features: str | None, provider: str) -> Extractor | None:
    if features is None and not has_lite0():
        return None
    return open_features(features or "lite0", provider)


def _add_pictures(
    contents: Contents,
    number: int,
    where: dict[str, Any],
    images: int,
    extractor: Extractor | None,
    provider: str,
    progress: Progress | None,
) -> None:
    """Add the galleries and the nearest training images of a run, or why there are none."""
    record = contents.records[number]
    own = [table for table in contents.figures if table.run == number]
    images_of = next((table.protocol for table in own if table.protocol.real), None)  # not of a video
    named = images_of.split if images_of else None
    split = named if named in ("test", "val", "train") else None  # else found as an evaluation finds it
    paired = images_of.paired if images_of else None
    others = dict.fromkeys(("to", "real", "fake", "source"))
    try:
        tasks = []
        for direction in _directions(record):
            model = open_model(record.path, None, direction, provider)
            found = find_tasks(record.path, model, **where, split=split, direction=direction, paired=paired, **others)
            tasks += [(task, model.toward(aim)) for task, aim in found]
        count = -(-images // len(tasks))
        for task, bound in tasks:
            title = way(bound.spec, bound.to)
            contents.galleries.append((number, gallery.build(task, bound, title, own, count, progress)))
            near = neighbours.nearest_training(task, bound, title, extractor, min(NEAREST, count), progress)
            if near is None:
                contents.omissions.append((number, "no nearest training images: there is no training split at hand"))
            else:
                contents.neighbours.append((number, near))
    except (I2IError, OSError, ImportError) as error:
        contents.omissions.append((number, f"no gallery: {error}"))


def _directions(record: Record) -> list[str | None]:
    """Return the directions in which a run translates between two domains; [None] for a model of several."""
    run = read_run(record.path)
    ways = {} if run is None else run.directions
    between = [name for name, spec in ways.items() if not spec.domains and spec.direction[0] != spec.direction[-1]]
    return list(between) or [None]
