"""Flicker of translated videos: frames stream from the translation, or from two files, to the metrics."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest
from pathlib import Path
from queue import Queue

import numpy as np

from i2i.errors import DataError
from i2i.evaluation.candidates import INPUT
from i2i.evaluation.protocol import Protocol
from i2i.evaluation.results import RESULT, Table
from i2i.metrics import Estimate, Metric, NotMeasurableError
from i2i.runtime.model.model import Model
from i2i.runtime.video.frame import colour
from i2i.runtime.video.options import VideoOptions
from i2i.runtime.video.source.camera import Source
from i2i.runtime.video.translate import open_source, translate_video

PathLike = str | os.PathLike[str]
Pair = tuple[np.ndarray, np.ndarray]
_AHEAD = 8  # frames between the producer and a metric


def measure_clip(
    metrics: Mapping[str, Metric], clip: Path, model: Model | None, result: Path | None, steady: bool = False
) -> tuple[dict[str, dict[str, Estimate]], int, str | None]:
    """Return metric -> candidate -> figure for one video, the number of its frames, and what could not be read.

    The results are the translation by ``model``, or the finished video ``result``; the source itself is the yardstick.
    Raises VideoError for a video that cannot be read and NotMeasurableError for one without two frames of a scene.
    """
    queues: dict[tuple[str, str], Queue[Pair | None]] = {
        (name, who): Queue(_AHEAD) for name in metrics for who in (RESULT, INPUT)
    }
    count = 0
    damage: str | None = None

    def show(source: np.ndarray, shown: np.ndarray, _second: float = 0.0) -> None:
        nonlocal count
        count += 1
        for (_, who), queue in queues.items():
            queue.put((source, shown if who == RESULT else source))

    with ThreadPoolExecutor(len(queues)) as pool:
        futures = {key: pool.submit(_drained, metrics[key[0]].function, queue) for key, queue in queues.items()}
        try:
            if model is not None:
                damage = translate_video(model, clip, None, video=VideoOptions(steady=steady), observers=[show]).damage
            else:
                assert result is not None
                for source, shown in _zipped(clip, result):
                    show(source, shown)
        finally:
            for queue in queues.values():
                queue.put(None)
    figures: dict[str, dict[str, Estimate]] = {}
    for (name, who), future in futures.items():
        figures.setdefault(name, {})[who] = future.result()
    return figures, count, damage


def of_videos(
    model: Model | None, chosen: Mapping[str, Metric], video: Sequence[PathLike], fake: PathLike | None,
    source: PathLike | None, steady: bool, title: str,
) -> list[Table]:  # fmt: skip
    """Return a table of flicker for each video. Raises DataError for arguments that do not belong together."""
    if fake is not None:
        if model is not None or source is None:
            raise DataError("a finished video is measured beside its source: give --source VIDEO, and no model")
        clips: list[tuple[Path, Path | None]] = [(Path(source), Path(fake))]
    else:
        if model is None:
            raise DataError("--video needs a model that translates it; a finished video takes --fake and --source")
        clips = [(Path(clip), None) for clip in video]
    metrics = {name: metric for name, metric in chosen.items() if metric.needs == "video"}
    if not metrics:
        raise DataError("the chosen metrics are for images; flicker is for videos")
    tables = []
    for clip, result in clips:
        try:
            figures, count, damage = measure_clip(metrics, clip, model, result, steady)
        except NotMeasurableError as error:
            raise DataError(f"{clip}: {error}") from error
        how = "finished" if result is not None else "translated with --steady" if steady else "translated"
        protocol = Protocol(
            count,
            str(clip),
            None,
            0,
            False,
            None,
            "frames reduced to 240 pixels",
            "",
            how,
            None,
            None,
            None,
            0,
            0,
            None,
        )
        warnings = [] if damage is None else [f"{clip}: {damage}; only what could be read was measured"]
        tables.append(Table(f"{title} on {clip.name}", protocol, figures, "", warnings=warnings))
    return tables


def _drained(function: Callable[[Iterator[Pair]], Estimate], queue: Queue[Pair | None]) -> Estimate:
    """Call the metric on the frames of a queue, and take the rest if it ends early, so that nobody waits."""
    frames = iter(queue.get, None)
    try:
        return function(frames)
    finally:
        for _ in frames:
            pass


def _zipped(clip: Path, result: Path) -> Iterator[Pair]:
    """Yield the frames of two videos side by side. Raises DataError where they do not have the same number."""
    with open_source(clip, VideoOptions()) as one, open_source(result, VideoOptions()) as other:
        for number, (source, shown) in enumerate(zip_longest(_frames(one), _frames(other))):
            if source is None or shown is None:
                short, long = (result, clip) if shown is None else (clip, result)
                raise DataError(
                    f"{short} ends after frame {number} and {long} goes on; expected as many frames in both"
                )
            yield source, shown


def _frames(reader: Source) -> Iterator[np.ndarray]:
    """Yield the frames of a video, RGB [h, w, 3] uint8."""
    for item in reader.items():
        if (frame := item.frame) is not None:
            tags = colour.Colour.of(frame, reader.clip.codec)
            limits = colour.default_range(frame.format.name, reader.clip.codec)
            yield colour.to_rgb(frame, tags.resolved(frame.width, frame.height, limits), False)
