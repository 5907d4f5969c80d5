"""Translate the videos of a folder: plan, skip finished ones, count every file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from i2i.images import ImageError
from i2i.runtime.errors import ProviderError
from i2i.runtime.jobs import gpus, image_file
from i2i.runtime.jobs.folder import (
    Report,
    Summary,
    facts,
    job_key,
    journals,
    open_journals,
    portable,
    refuse_other_files,
    shard_of,
    sharing,
)
from i2i.runtime.jobs.image_file import StoppedError
from i2i.runtime.jobs.journal import Journal
from i2i.runtime.jobs.options import Options
from i2i.runtime.jobs.places import LocalResults, State
from i2i.runtime.jobs.planning import FolderTarget, plan
from i2i.runtime.jobs.sharding import Shard
from i2i.runtime.jobs.workers import Outcome
from i2i.runtime.model.model import Model
from i2i.runtime.video.detect import WRITTEN, name_videos
from i2i.runtime.video.options import OF_IMAGES, VideoOptions, changed
from i2i.runtime.video.translate import VideoSummary, translate_video
from i2i.text import os_error, printable

KIND = "videos"
"""Of the journal, so that images of the same folder may be translated to the same place."""


def translate_videos(
    model: Model,
    source: Path,
    target: Path,
    options: Options | None = None,
    video: VideoOptions | None = None,
    report: Report | None = None,
    frames: Callable[[VideoSummary], None] | None = None,
) -> Summary:
    """Translate every video under ``source`` into the same tree under ``target``, one after another.

    A video that fails is reported and counted, and the others go on; of a damaged one nothing is written. A video that
    an earlier job finished with the same model and settings is skipped, unless it has changed. ``report`` is called
    after each video, and ``frames`` after each frame unless several cards share the job, in this thread.

    Raises ValueError before any work for options of images, and as ``translate_folder`` does.
    """
    options, video, summary = options or Options(), video or VideoOptions(), Summary()
    if idle := changed(options, ("format", *OF_IMAGES)):
        raise ValueError(f"{', '.join(idle)}: for images, and this is a folder of videos; leave it out")
    model = model.toward(None)
    shard, cards = shard_of(options), gpus.chosen(options.gpus, [model])
    unreadable: list[ImageError] = []
    names = [name for name in plan(source, [target], result_name, unreadable.append, name_videos) if shard.holds(name)]
    journaled = _target(model, source, target, options, video, shard)
    if not options.overwrite:
        refuse_other_files(journaled, names, result_name, lambda name: State.of(os.stat(source / name)))
    summary.total = len(unreadable) + len(names)

    def count(outcome: Outcome) -> None:
        summary.count(outcome)
        if report is not None:
            report(outcome, summary)

    for error in unreadable:
        count(Outcome(error.path, "failed", str(error)))
    if names and cards:
        with sharing([journaled], shard, len(cards)) as since:
            part = partial(_translate_part, portable(model), source, target, options, video, len(cards), since[0])
            gpus.run(cards, names, part, count)
    elif names:
        job = _VideoJob(model, source, target, options, video, journaled.journal, frames)
        with journals([journaled]):
            for outcome in job.outcomes(names):
                count(outcome)
    return summary


def _translate_part(
    model: Model,
    source: Path,
    target: Path,
    options: Options,
    video: VideoOptions,
    parts: int,
    since: float,
    number: int,
    names: Iterable[str],
    count: Callable[[Outcome], None],
) -> None:
    """Translate what the process of that number takes; it has a journal of its own, as a shard has."""
    journaled = _target(model, source, target, options, video, shard_of(options).divided(number, parts), since)
    with open_journals([journaled]):
        for outcome in _VideoJob(model, source, target, options, video, journaled.journal, None).outcomes(names):
            count(outcome)


def _target(
    model: Model,
    source: Path,
    target: Path,
    options: Options,
    video: VideoOptions,
    shard: Shard,
    since: float | None = None,
) -> FolderTarget:
    """Return the folder of results with the journal of a shard; results count from ``since`` on, if it is given."""
    key, about = _job(model, options, video)
    results = LocalResults(target)
    journal = Journal(results, key, about, shard, options.overwrite, KIND, os.path.abspath(source), since)
    return FolderTarget(model, results, journal)


def result_name(source: str) -> str:
    """Return the name of a video's result: its own, with ".mkv" behind it if its container is not written."""
    return source if Path(source).suffix.lower() in WRITTEN else f"{source}.mkv"


@dataclass
class _VideoJob:
    """The videos of one process."""

    model: Model
    source: Path
    target: Path
    options: Options
    video: VideoOptions
    journal: Journal
    frames: Callable[[VideoSummary], None] | None

    def outcomes(self, names: Iterable[str]) -> Iterator[Outcome]:
        """Translate the videos of these names in turn, and yield the outcome of each."""
        for name in names:
            try:
                yield self._translate(name)
            except StoppedError:
                raise
            except (ValueError, OSError, MemoryError) as error:
                image_file.stop_if_full(error, self.target)
                image_file.stop_if_full(error.__cause__, self.target)
                if isinstance(error, ProviderError):
                    raise
                yield Outcome(self.source / name, "failed", _reason(self.source / name, error))

    def _translate(self, name: str) -> Outcome:
        source, output = self.source / name, result_name(name)
        status = State.of(source.stat())
        if self.journal.is_done(output, status):
            return Outcome(source, "skipped")
        # What is there may be replaced: it is that of an earlier job, or the user allows it.
        options = replace(self.options, overwrite=True)
        (self.target / output).parent.mkdir(parents=True, exist_ok=True)
        self.journal.begin(output, status)
        done = translate_video(self.model, source, self.target / output, options, self.video, self.frames, whole=True)
        if done.damage is not None:
            rest = "nothing of it is written; translated by its own command, it gives the frames that it has"
            return Outcome(source, "failed", f"{printable(source)}: {done.damage}; {rest}")
        self.journal.done(output, status)
        return Outcome(source, "done", "; ".join(f"{printable(source)}: {note}" for note in done.notes))


def _reason(source: Path, error: BaseException) -> str:
    """Return why a video failed, in a line that names it."""
    text = os_error(error) if isinstance(error, OSError) else str(error) or image_file.NO_MEMORY
    return text if str(source) in text else f"{printable(source)}: {text}"


def _job(model: Model, options: Options, video: VideoOptions) -> tuple[str, dict[str, Any]]:
    """Return the digest of all that decides the bytes of a result, and the same in words for the journal."""
    words = {name: None if value is None else str(value) for name, value in vars(video).items()}
    key = hashlib.sha256((job_key(model, options) + repr(sorted(words.items()))).encode()).hexdigest()[:16]
    left_out = ("format", "metadata")  # of images
    return key, {name: value for name, value in facts(model, options).items() if name not in left_out} | words
