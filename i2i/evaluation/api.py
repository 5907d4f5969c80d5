"""``i2i.evaluate``: how good a translator is, by figures that say how they were measured."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from i2i.data.layout import Folder
from i2i.errors import DataError
from i2i.evaluation import candidates, sources
from i2i.evaluation.arguments import find_tasks, open_model, way_back
from i2i.evaluation.clips import of_videos
from i2i.evaluation.instruments import Instruments, add_judge, expected_class, with_features
from i2i.evaluation.measure import Candidate, Progress, estimates, in_order, measure
from i2i.evaluation.networks import Network
from i2i.evaluation.pictures import BACKGROUND, read
from i2i.evaluation.protocol import NOT_ENCODED, Facts, Protocol, leaks, sizing, survey, warnings_of
from i2i.evaluation.results import RESULT, Evaluation, Table
from i2i.evaluation.sources import Item, Task
from i2i.metrics import METRICS, Estimate, Metric, find_metrics
from i2i.metrics.sets import SUBSETS, subset_size
from i2i.runtime.model.model import Model
from i2i.runtime.model.targets import way
from i2i.text import known_keywords, plural

PathLike = str | os.PathLike[str]


@dataclass
class _Choices:
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


@known_keywords
def evaluate(
    model: PathLike | Model | None = None,
    *,
    data: Folder | None = None,
    a: Folder | None = None,
    b: Folder | None = None,
    split: str | None = None,
    direction: str | None = None,
    to: str | None = None,
    paired: bool | None = None,
    real: Folder | None = None,
    fake: PathLike | None = None,
    source: PathLike | None = None,
    train: Folder | None = None,
    video: Sequence[PathLike] = (),
    steady: bool = False,
    metrics: str | Sequence[str] | None = None,
    features: str | None = None,
    judge: PathLike | None = None,
    expect: str | None = None,
    labels: Folder | None = None,
    palette: PathLike | None = None,
    back: PathLike | Model | None = None,
    baseline: bool = False,
    size: int | tuple[int, int] | None = None,
    seed: int = 0,
    kid_subset: int | None = None,
    kid_subsets: int = SUBSETS,
    provider: str = "auto",
    progress: Progress | None = None,
) -> Evaluation:
    """Measure how good a translator is, or a folder of results.

    A model is measured on the test split of its data, else the validation split: as given by ``data``, or ``a`` and
    ``b``; by default as its run recorded it. Results of any other program are measured with ``real`` and ``fake``. What
    is measured follows from the data: truth where there are pairs, content where there are sources, realism always.

    Args:
        model: an ``.onnx`` file, a run's folder, a name that ``i2i models`` lists, or a loaded model.
        data: one folder with both domains, in any layout that training reads; or else
        a, b: a folder of each of two domains.
        split: "test", "val" or "train"; by default the first of test and val that there is, or a folder without splits.
        direction: "a2b" or "b2a", for a file that does not say it; by default the model's own.
        to: the domain to translate to, for a model of several; by default each of them in turn, a table each.
        paired: True for pairs by name, False for none; by default found from the names.
        real: folder of real images of the target domain.
        fake: folder of results; or a video.
        source: folder of the sources of the results, by name; or the source of the video.
        train: folder of the training images, of which none may be among the measured ones, and whose targets give the
            mean image; by default the training split of ``data``.
        video: videos to translate and to measure flicker in.
        steady: translate them with ``--steady``.
        metrics: names in ``i2i.metrics.METRICS``; by default all that the data allows.
        features: "lite0" (the default; needs the extra ``evaluate``), "onnx:FILE" or "inception:FILE".
        judge: an ONNX classifier or segmenter that was trained on real images.
        expect: the class that a classifier should see in every result; by default the target domain, or the name of
            the folder of each source.
        labels: folder of the label maps that a segmenter should see, by name; by default the sources.
        palette: file with a line "R G B NAME" for each class, for label maps in colours.
        back: the model that translates results back; by default the run's other direction, if it has one.
        baseline: True also measures the input itself, and the mean of the target images.
        size: side, or (height, width), to which images are resized and cropped at the centre; by default their own.
        seed: of subsets, projections and intervals.
        kid_subset: images of a subset of KID; by default 1,000, or half of a smaller set.
        kid_subsets: number of subsets.
        provider: execution provider of the model and of the networks that look at its results.
        progress: called with (images done, all images).

    Returns the figures with their protocol: ``print`` shows them, and :meth:`Evaluation.save` writes them as JSON.

    Raises DataError for folders that cannot be measured, ModelError for networks, ImageError for a damaged image,
    VideoError for a video, and ValueError for wrong arguments.
    """
    chosen = find_metrics(list(metrics) if metrics is not None and not isinstance(metrics, str) else metrics)
    if kid_subsets < 2:
        raise ValueError(f"kid_subsets is {kid_subsets}; expected at least 2")
    loaded = model if model is None or isinstance(model, Model) else open_model(model, to, direction, provider)
    explicit = metrics is not None
    if video or (fake is not None and Path(fake).is_file()):
        tables = of_videos(loaded, chosen, video, fake, source, steady, _title(loaded, None, fake))
        return Evaluation(tables, _about(loaded))
    tasks = find_tasks(model, loaded, data, a, b, split, direction, to, paired, real, fake, source)
    pixels = None if size is None else (size, size) if isinstance(size, int) else size
    if pixels is not None and min(pixels) < 1:
        raise ValueError(f"size is {size}; expected at least 1 pixel")
    instruments, notes = with_features(chosen, features, provider, explicit)
    seen = add_judge(instruments, judge, palette, provider)
    options = {"seed": seed, "kid_subset": kid_subset, "kid_subsets": kid_subsets}
    choices = _Choices(chosen, instruments, seen, pixels, options, baseline, progress, notes)
    other = back if isinstance(back, Model) else way_back(model, loaded, back, provider, chosen)
    tables = []
    for task, aim in tasks:
        if train is not None:
            task = sources.with_training(task, train)
        if instruments.segmenter is not None:
            task = sources.with_labels(task, labels)
        instruments.expected = expected_class(instruments.classifier, expect, task)
        made = candidates.of_folder if loaded is None else candidates.of_model(loaded.toward(aim), other)
        tables.append(_table(task, made, choices, _title(loaded, aim, fake)))
    return Evaluation(tables, _about(loaded))


def _table(task: Task, made: Candidate, choices: _Choices, title: str) -> Table:
    """Measure one task. Raises DataError if nothing could be measured."""
    facts = survey(task.real)
    ends = None if task.items and task.items[0].result is None else survey([i.result for i in task.items if i.result])
    inputs = survey([item.source for item in task.items if item.source]) if ends is None else ends
    metrics = {name: metric for name, metric in choices.metrics.items() if name not in choices.notes}
    options, left_out = dict(choices.options), dict(choices.notes)
    if "KID" in metrics and choices.instruments.extractor is not None and min(len(task.items), facts.count) >= 2:
        options["kid_subset"] = subset_size(len(task.items), facts.count, options["kid_subset"])
    trained = _digests(task)
    judged = {RESULT: made}
    if choices.baseline:
        if any(item.source is not None for item in task.items):
            judged[candidates.INPUT] = candidates.the_input
        mean = "the mean training image" if task.targets else "the mean real image"
        judged[mean] = candidates.the_mean(task.targets or task.real, choices.size)
    found = measure(task.items, task.real, judged, metrics, choices.instruments, choices.size, choices.progress)
    figures = estimates(found, metrics, options)
    if choices.judge is not None:
        for name, row in _of_real(task, metrics, choices, options).items():
            figures.setdefault(name, {}).update(row)
    left_out |= found.left_out
    if not figures:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise DataError(f"nothing could be measured ({reasons or 'the chosen metrics need other data'})")
    protocol = _protocol(task, choices, options, facts, ends, inputs)
    warnings = task.warnings + warnings_of(ends, facts, "FD" in figures, choices.size is not None)
    sections = {METRICS[name].section for name in figures}
    if "realism" in sections and not sections & {"content", "truth"}:
        sourceless = all(item.source is None for item in task.items)
        warnings.append(
            "realism alone: results that ignore their source may score as well as translations; "
            + ("--source DIR adds content" if sourceless else "measure content too")
        )
    if same := leaks(found.digests, trained):
        warnings.insert(
            0,
            f"{len(same)} of {plural(len(found.digests), 'measured image')} were trained on, and figures from them say "
            f"nothing about new images: {', '.join(same[:5])}",
        )
    by_image = {
        who: {n: dict(zip(found.names, values, strict=True)) for n, values in rows.values.items() if n in figures}
        for who, rows in found.rows.items()
    }
    features = choices.instruments.extractor.name if choices.instruments.extractor else ""
    ordered = {name: figures[name] for name in METRICS if name in figures}
    return Table(title, protocol, ordered, features, by_image, left_out, warnings)


def _of_real(
    task: Task, metrics: Mapping[str, Metric], choices: _Choices, options: Mapping[str, Any]
) -> dict[str, dict[str, Estimate]]:
    """Return what the judge says of real images: the best that results can reach, and whether it can be trusted."""
    labelled = {name: metric for name, metric in metrics.items() if metric.section == "labels"}
    if task.paired:
        items = [replace(item, source=None, result=item.truth, truth=None) for item in task.items]
    else:
        items = [Item(source.name, result=source) for source in task.real]
    found = measure(items, [], {candidates.REAL: candidates.of_folder}, labelled, choices.instruments, choices.size)
    return estimates(found, labelled, options)


def _digests(task: Task) -> dict[str, str]:
    """Return the digest of the decoded content of every training image, with its name."""
    pairs = in_order(lambda source: (read(source)[1], source.name), task.trained)
    return dict(pairs)


def _protocol(
    task: Task, choices: _Choices, options: Mapping[str, Any], facts: Facts, ends: Facts | None, inputs: Facts
) -> Protocol:
    made = NOT_ENCODED if ends is None else ", ".join(ends.formats)
    extractor = choices.instruments.extractor
    judge = choices.judge
    return Protocol(
        results=len(task.items),
        reference=task.reference,
        real=facts.count,
        paired=task.paired,
        split=task.split,
        size=sizing(choices.size),
        image_sizes=f"files of {inputs.size} against {facts.size}",
        formats=f"{made} against {', '.join(facts.formats)}",
        features=extractor.described if extractor else None,
        judge=judge.described if judge else None,
        kid_subset=options["kid_subset"] if extractor and "KID" in choices.metrics else None,
        kid_subsets=options["kid_subsets"],
        seed=options["seed"],
        background=f"grey {BACKGROUND}" if facts.alpha or inputs.alpha else None,
    )


def _title(model: Model | None, aim: str | None, fake: PathLike | None) -> str:
    if model is None:
        return f"results in {fake}"
    bound = model if aim is None else model.toward(aim)
    return f"{model.path}: {way(bound.spec, bound.to)}"


def _about(model: Model | None) -> dict[str, Any]:
    from i2i import __version__

    about: dict[str, Any] = {"i2i": __version__}
    if model is not None:
        about |= {"model": str(model.path), "provider": model.provider, "recipe": model.spec.recipe}
    return about
