"""One table of an evaluation: what is measured on its images, and what belongs to the figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from i2i.data.layout import Source
from i2i.errors import DataError
from i2i.evaluation import candidates
from i2i.evaluation.instruments import Instruments
from i2i.evaluation.measure import Candidate, Measured, Progress, estimates, in_order, measure
from i2i.evaluation.networks import Network
from i2i.evaluation.pictures import BACKGROUND, read
from i2i.evaluation.protocol import (
    NOT_ENCODED,
    Facts,
    Protocol,
    content,
    leaks,
    of_files,
    sizing,
    survey,
    warnings_of,
)
from i2i.evaluation.results import RESULT, Table
from i2i.evaluation.sources import Item, Task
from i2i.images import ImageError
from i2i.metrics import METRICS, Estimate, Metric
from i2i.metrics.sets import subset_size
from i2i.text import plural


@dataclass
class Choices:
    """Settings of an evaluation that all of its tables share."""

    metrics: dict[str, Metric]
    instruments: Instruments
    judge: Network | None
    size: tuple[int, int] | None
    options: dict[str, Any]
    baseline: bool
    progress: Progress | None
    notes: dict[str, str]
    """Metric -> why it is left out."""
    digests: dict[Source, str] = field(default_factory=dict)
    """Of the training images that were read for a table before; empty for one that cannot be read."""
    palette: Path | None = None
    """Of label maps."""
    expected: str | None = None
    """The class that a classifier should see, in words."""


def measure_table(
    task: Task, made: Candidate, choices: Choices, title: str, loop: Callable[..., Measured] = measure, scale: int = 1
) -> Table:
    """Measure one task. Raises DataError if nothing could be measured.

    ``loop`` measures the images: :func:`measure`, or a function that shares them out over processes. Results are
    ``scale`` times as large as their sources, unless they are files.
    """
    facts = survey(task.real)
    if task.items and task.items[0].result is None:
        inputs = survey([item.source for item in task.items if item.source])
        sizes = tuple((scale * width, scale * height) for width, height in inputs.sizes)
        ends = replace(inputs, sizes=sizes, formats=(NOT_ENCODED,))
    else:
        ends = inputs = survey([item.result for item in task.items if item.result])
    metrics = {name: metric for name, metric in choices.metrics.items() if name not in choices.notes}
    options, left_out = dict(choices.options), dict(choices.notes)
    if "KID" in metrics and choices.instruments.extractor is not None and min(len(task.items), facts.count) >= 2:
        options["kid_subset"] = subset_size(len(task.items), facts.count, options["kid_subset"])
    trained = _digests(task, choices)
    judged = {RESULT: made}
    if choices.baseline:
        if any(item.source is not None for item in task.items):
            judged[candidates.INPUT] = candidates.the_input
        mean = "the mean training image" if task.targets else "the mean real image"
        judged[mean] = candidates.the_mean(task.targets or task.real, choices.size)
    found = loop(task.items, task.real, judged, metrics, choices.instruments, choices.size, choices.progress)
    figures = estimates(found, metrics, options)
    if choices.judge is not None:
        for name, row in _of_real(task, metrics, choices, options).items():
            figures.setdefault(name, {}).update(row)
    left_out |= found.left_out
    if not figures:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        lacking = "; ".join(f"{name} needs {_needed(metric)}" for name, metric in metrics.items())
        raise DataError(f"nothing could be measured ({reasons or lacking})")
    protocol = _protocol(task, choices, options, facts, ends, inputs, content(found.digests))
    traps = warnings_of(ends, facts, "FD" in figures, choices.size is not None)
    damaged = [source.name for source in task.trained if not choices.digests[source]]
    warnings = _warnings(task, found, trained, damaged, figures, traps)
    by_image = {
        who: {n: dict(zip(found.names, values, strict=True)) for n, values in rows.values.items() if n in figures}
        for who, rows in found.rows.items()
    }
    features = choices.instruments.extractor.name if choices.instruments.extractor else ""
    ordered = {name: figures[name] for name in METRICS if name in figures}
    return Table(title, protocol, ordered, features, by_image, left_out, warnings, task.target)


def _needed(metric: Metric) -> str:
    """Return what a metric compares results with, and how it is given."""
    if metric.needs == "video":
        return "a video, --video FILE"
    return {
        "realism": "real images of the target domain",
        "content": "the source images, with --fake as --source DIR",
        "truth": "pairs: images of equal names in both folders",
        "labels": "a judge, --judge FILE",
    }[metric.section]


def _of_real(
    task: Task, metrics: Mapping[str, Metric], choices: Choices, options: Mapping[str, Any]
) -> dict[str, dict[str, Estimate]]:
    """Return what the judge says of real images: the best that results can reach, and whether it can be trusted."""
    labelled = {name: metric for name, metric in metrics.items() if metric.section == "labels"}
    if task.paired:
        items = [replace(item, source=None, result=item.truth, truth=None) for item in task.items]
    else:
        items = [Item(source.name, result=source) for source in task.real]
    found = measure(items, [], {candidates.REAL: candidates.of_folder}, labelled, choices.instruments, choices.size)
    return estimates(found, labelled, options)


def _digests(task: Task, choices: Choices) -> dict[str, str]:
    """Return the digest of the decoded content of every training image, with its name."""
    unread = [source for source in task.trained if source not in choices.digests]
    choices.digests.update(zip(unread, in_order(_digest, unread), strict=True))
    return {choices.digests[source]: source.name for source in task.trained if choices.digests[source]}


def _digest(source: Source) -> str:
    try:
        return read(source)[1]
    except ImageError:  # nor was it trained on
        return ""


def _warnings(
    task: Task,
    found: Measured,
    trained: dict[str, str],
    damaged: list[str],
    figures: Mapping[str, Any],
    traps: list[str],
) -> list[str]:
    """Return what the figures do not show by themselves, the gravest first."""
    warnings = []
    if same := leaks(found.digests, trained):
        warnings.append(
            f"{len(same)} of {plural(len(found.digests), 'measured image')} were trained on, and figures from them say "
            f"nothing about new images: {', '.join(same[:5])}"
        )
    if damaged:
        warnings.append(
            f"{plural(len(damaged), 'training image')} cannot be read, and no measured one was compared with them: "
            + ", ".join(damaged[:5])
        )
    warnings += task.warnings + traps
    sections = {METRICS[name].section for name in figures}
    if "realism" in sections and not sections & {"content", "truth"}:
        sourceless = all(item.source is None for item in task.items)
        warnings.append(
            "realism alone: results that ignore their source may score as well as translations; "
            + ("--source DIR adds content" if sourceless else "measure content too")
        )
    if task.guessed:
        warnings.append("compared as pairs, since the numbers in their names match; if they are none, give --unpaired")
    return warnings


def _protocol(
    task: Task,
    choices: Choices,
    options: Mapping[str, Any],
    facts: Facts,
    ends: Facts,
    inputs: Facts,
    shown: str,
) -> Protocol:
    extractor = choices.instruments.extractor
    judge = choices.judge
    return Protocol(
        results=len(task.items),
        reference=task.reference,
        content=shown,
        real=facts.count,
        paired=task.paired,
        split=task.split,
        size=sizing(choices.size),
        image_sizes=f"files of {inputs.size} against {facts.size}",
        formats=f"{', '.join(ends.formats)} against {', '.join(facts.formats)}",
        features=extractor.described if extractor else None,
        judge=judge.described if judge else None,
        kid_subset=options["kid_subset"] if extractor and "KID" in choices.metrics else None,
        kid_subsets=options["kid_subsets"],
        seed=options["seed"],
        background=f"grey {BACKGROUND}" if facts.alpha or inputs.alpha else None,
        labels=_labels(task, choices),
        expected=choices.expected,
    )


def _labels(task: Task, choices: Choices) -> str | None:
    if choices.instruments.segmenter is None:
        return None
    maps = of_files(item.labels.path for item in task.items if item.labels is not None)
    return maps if choices.palette is None else f"{maps}, palette {of_files([choices.palette])}"
