"""``i2i.evaluate``: how good a translator is, by figures that say how they were measured."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from i2i.data.layout import Folder
from i2i.evaluation import candidates, sources
from i2i.evaluation.arguments import find_tasks, open_model, way_back
from i2i.evaluation.clips import of_videos
from i2i.evaluation.instruments import add_judge, expected_class, with_features
from i2i.evaluation.measure import Progress
from i2i.evaluation.results import Evaluation
from i2i.evaluation.tables import Choices, measure_table
from i2i.metrics import find_metrics
from i2i.metrics.sets import SUBSETS
from i2i.runtime.model.generator import Generator
from i2i.runtime.model.model import Model
from i2i.runtime.model.targets import way
from i2i.text import known_keywords

PathLike = str | os.PathLike[str]


@known_keywords
def evaluate(
    model: PathLike | Model | Generator | None = None,
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
        model: an ``.onnx`` file, a run's folder, a name that ``i2i models`` lists, or a loaded model; a translator.
            Images of a generator are measured as results, with ``real`` and ``fake``.
        data: one folder with both domains, in any layout that training reads; or else
        a, b: a folder of each of two domains.
        split: "test", "val" or "train"; by default the first of test and val that there is, or a folder without splits.
        direction: "a2b" or "b2a", for a file that does not say it; by default the model's own.
        to: the domain to translate to, for a model of several; by default each of them in turn, a table each.
        paired: True for pairs by name, False for none; by default found from the names.
        real: folder of real images of the target domain.
        fake: folder of results; or a video.
        source: folder of the sources of the results, by name; or the source of the video.
        train: folder of more training images, of which none may be among the measured ones, beside the training split
            of ``data`` and what a run recorded. Where these have no targets, the mean image is that of this folder.
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
    tasks = find_tasks(model, loaded, data, a, b, split, direction, to, paired, real, fake, source, train)
    pixels = None if size is None else (size, size) if isinstance(size, int) else size
    if pixels is not None and min(pixels) < 1:
        raise ValueError(f"size is {size}; expected at least 1 pixel")
    instruments, notes = with_features(chosen, features, provider, explicit)
    seen = add_judge(instruments, judge, palette, provider)
    options = {"seed": seed, "kid_subset": kid_subset, "kid_subsets": kid_subsets}
    choices = Choices(chosen, instruments, seen, pixels, options, baseline, progress, notes)
    other = back if isinstance(back, Model) else way_back(model, loaded, back, provider, chosen)
    choices.palette = None if palette is None else Path(palette)
    tables = []
    for task, aim in tasks:
        if train is not None:
            task = sources.with_training(task, train)
        if instruments.segmenter is not None:
            task = sources.with_labels(task, labels)
        instruments.expected, choices.expected = expected_class(instruments.classifier, expect, task, aim is not None)
        if instruments.classifier is not None and choices.expected is None:
            known = ", ".join(instruments.classifier.classes[:20])
            choices.notes = notes | {"accuracy": f"the judge knows the classes {known}, and {aim!r} is none of them"}
        else:
            choices.notes = notes
        made = candidates.of_folder if loaded is None else candidates.of_model(loaded.toward(aim), other)
        scale = 1 if loaded is None else loaded.spec.scale
        tables.append(measure_table(task, made, choices, _title(loaded, aim, fake), scale=scale))
    return Evaluation(tables, _about(loaded))


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
