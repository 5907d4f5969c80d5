"""Translate a folder of images with models: plan, skip finished images, count every file."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence, Sized
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from i2i.errors import I2IError
from i2i.images import ImageError
from i2i.lost import Losses
from i2i.runtime.jobs import gpus, masks, sharding
from i2i.runtime.jobs.image_file import StoppedError, stop_if_full
from i2i.runtime.jobs.journal import Journal
from i2i.runtime.jobs.opening import AHEAD, JobPlaces, opened
from i2i.runtime.jobs.options import Options
from i2i.runtime.jobs.places import State
from i2i.runtime.jobs.planning import FolderTarget, refuse_unknown_files
from i2i.runtime.jobs.watcher import FolderWatcher, Watch
from i2i.runtime.jobs.workers import Outcome, WorkerPool
from i2i.runtime.model.model import Model
from i2i.spec import Background

__all__ = ["MixedError", "Options", "Outcome", "StoppedError", "Summary", "translate_folder", "translate_folders"]


class MixedError(I2IError):
    """The output folder has results of another model, of other settings or of another source folder."""


@dataclass
class Summary:
    """Counts of a folder job: of results, so each image counts once for every model."""

    total: int = 0
    done: int = 0
    skipped: int = 0
    failed: int = 0
    losses: Losses = field(default_factory=Losses, compare=False)

    def count(self, outcome: Outcome) -> None:
        """Add an outcome; ``retracted`` takes an earlier failure back."""
        self.losses.add(outcome.source, outcome.lost)
        if outcome.status == "retracted":
            self.failed -= 1
        else:
            setattr(self, outcome.status, getattr(self, outcome.status) + 1)


Report = Callable[[Outcome, Summary], None]
Engine = Callable[[JobPlaces, Sequence[str], Sequence[FolderTarget], Options], Generator[Outcome, None, None]]
"""Yields the outcomes of a job: of the images of these names with each target."""


def translate_folder(
    model: Model, source: Path | str, target: Path | str, options: Options | None = None, report: Report | None = None
) -> Summary:
    """Translate every image under ``source`` into the same tree under ``target``. Each may be a URL.

    A file that fails is reported and counted, and the others go on. A file that an earlier job finished with the same
    model and settings is skipped, unless it has changed. ``report`` is called after each file, in this thread.

    Raises ValueError before any work if names clash, if originals would be replaced or if the domain to translate to
    is missing, MixedError if the folder has results of another model or other settings or if those of another source
    folder would be replaced, and StoppedError if nothing more can be written.
    """
    return translate_folders([(model, target)], source, options, report)


def translate_folders(
    pairs: Sequence[tuple[Model, Path | str]],
    source: Path | str,
    options: Options | None = None,
    report: Report | None = None,
    watch: Watch | None = None,
    summary: Summary | None = None,
    engine: Engine | None = None,
) -> Summary:
    """Translate a folder as :func:`translate_folder` does, with several models that each have a target folder.

    Each image is decoded once. With ``watch`` the job continues with files as they arrive or change, until it is
    interrupted. The counts are kept in ``summary``, which a caller can read after an interrupt. ``engine`` translates
    the images elsewhere than in this process.
    """
    options, summary = options or Options(), summary or Summary()
    shard = shard_of(options)

    def count(outcome: Outcome) -> None:
        summary.count(outcome)
        if watch is not None:  # the images are not known in advance
            summary.total = summary.done + summary.skipped + summary.failed
        if report is not None:
            report(outcome, summary)

    bound = [(model.toward(None), folder) for model, folder in pairs]
    cards = gpus.chosen(options.gpus, [model for model, _ in bound])
    with opened(source, [folder for _, folder in bound]) as job:
        unreadable: list[ImageError] = []
        names = [name for name in job.plan(options.output_name, unreadable.append) if shard.holds(name)]
        targets = _job_targets(job, [model for model, _ in bound], options, shard)
        if not options.overwrite:
            _refuse_other_files(job, names, targets, options)
        summary.total = (len(unreadable) + len(names)) * len(targets)
        for error in unreadable:
            for _ in targets:
                count(Outcome(error.args[0], "failed", str(error)))
        if watch is not None:
            if not isinstance(job.source, Path):
                raise ValueError(f"--watch is for folders of this machine, and {source} is a URL")
            paths = [error.path for error in unreadable]
            watcher = FolderWatcher(job.source, targets, options, shard.holds, watch, names, paths)
            with journals(targets, watcher), WorkerPool(targets, options) as pool:
                _watch(pool, watcher, count)
        elif names and cards:
            pairs = [(portable(model), folder) for model, folder in bound]
            ahead = max(1, min(AHEAD, len(names) // (8 * len(cards))))
            with sharing(targets, shard, len(cards)) as since:
                part = partial(_translate_part, pairs, source, options, len(cards), ahead, since)
                gpus.run(cards, names, part, count)
        elif names:
            with journals(targets), closing((engine or _here)(job, names, targets, options)) as outcomes:
                for outcome in outcomes:
                    count(outcome)
    return summary


def _here(
    job: JobPlaces, names: Iterable[str], targets: Sequence[FolderTarget], options: Options, ahead: int | None = None
) -> Generator[Outcome, None, None]:
    """Yield the outcomes of threads of this process, for names which may only be known in the course of it."""
    most = len(names) if isinstance(names, Sized) else sys.maxsize
    to_name = [target.journal for target in targets if target.results.ahead]
    with WorkerPool(targets, options, job.transfers) as pool:
        yield from pool.outcomes(job.images(names, to_name, options.output_name, ahead or AHEAD), most)


def _translate_part(
    pairs: Sequence[tuple[Model, Path | str]],
    source: Path | str,
    options: Options,
    parts: int,
    ahead: int,
    since: Sequence[float],
    number: int,
    names: Iterable[str],
    count: Callable[[Outcome], None],
) -> None:
    """Translate what the process of that number takes; it has a journal of its own, as a shard has."""
    shard = shard_of(options).divided(number, parts)
    with opened(source, [folder for _, folder in pairs]) as job:
        if not isinstance(job.source, Path):
            job.source.names(lambda _: None)  # lists the states of all images
        targets = _job_targets(job, [model for model, _ in pairs], options, shard, since)
        with open_journals(targets), closing(_here(job, names, targets, options, ahead)) as outcomes:
            for outcome in outcomes:
                count(outcome)


def shard_of(options: Options) -> sharding.Shard:
    """Return the part of a folder that the options state."""
    return sharding.WHOLE if options.shard is None else sharding.parse(options.shard)


def portable(model: Model) -> Model:
    """Return the model as another process can open it: without the functions that tell of its tiles."""
    return model.tiled(model.tile.how)


def _watch(pool: WorkerPool, watcher: FolderWatcher, count: Callable[[Outcome], None]) -> None:
    """Count the outcomes of a watched folder until an interrupt; then also those of the images in work, and those that
    are still in doubt.
    """
    try:
        for outcome in pool.outcomes(watcher.images(pool.stopped), sys.maxsize):
            for settled in watcher.settle(outcome):
                count(settled)
    finally:
        for outcome in pool.rest():
            for settled in watcher.settle(outcome):
                count(settled)
        for outcome in watcher.unsettled():
            count(outcome)


def _job_targets(
    job: JobPlaces,
    models: Sequence[Model],
    options: Options,
    shard: sharding.Shard,
    since: Sequence[float] | None = None,
) -> list[FolderTarget]:
    """Return the targets with their journals; ``since`` states when results of each count, if a parent has found it."""
    targets = []
    for number, (model, results) in enumerate(zip(models, job.results, strict=True)):
        journal = Journal(
            results,
            job_key(model, options),
            facts(model, options),
            shard,
            options.overwrite,
            folder=job.folder,
            since=None if since is None else since[number],
        )
        targets.append(FolderTarget(model, results, journal))
    return targets


@contextmanager
def sharing(targets: Sequence[FolderTarget], shard: sharding.Shard, parts: int) -> Iterator[list[float]]:
    """Yield since when results of each target count in a job of so many processes; at the end note that it has
    finished.
    """
    shards = [shard.divided(number, parts) for number in range(1, parts + 1)]
    yield [target.journal.since(shards) for target in targets]
    for target in targets:
        with _stopping(target.folder):
            target.journal.finish_parts(shards)


@contextmanager
def open_journals(targets: Sequence[FolderTarget]) -> Iterator[None]:
    """Open all journals."""
    with ExitStack() as stack:
        for target in targets:
            with _stopping(target.folder):
                stack.enter_context(target.journal)
        yield


@contextmanager
def journals(targets: Sequence[FolderTarget], watcher: FolderWatcher | None = None) -> Iterator[None]:
    """Open all journals, and note in them that the job has finished.

    A job that watches has, if it is interrupted after it has translated what was there when it began.
    """
    with open_journals(targets):
        try:
            yield
        except KeyboardInterrupt:
            if watcher is not None and watcher.caught_up():
                _finish(targets)
            raise
        _finish(targets)


def _finish(targets: Sequence[FolderTarget]) -> None:
    for target in targets:
        with _stopping(target.folder):
            target.journal.finish()


@contextmanager
def _stopping(target: Path) -> Iterator[None]:
    """Raise StoppedError if the disk is full."""
    try:
        yield
    except OSError as error:
        stop_if_full(error, target)
        raise


def _refuse_other_files(
    job: JobPlaces, names: Sequence[str], targets: Sequence[FolderTarget], options: Options
) -> None:
    for target in targets:
        refuse_other_files(
            target, names, options.output_name, lambda name: job.image(name, options.output_name).state()
        )


def refuse_other_files(
    target: FolderTarget, names: Iterable[str], result_name: Callable[[str], str], state: Callable[[str], State]
) -> None:
    """Raise ValueError if results of the sources of these names would replace what this job may not replace.

    ``state`` returns that of a source. Raises MixedError if the folder has results of another model or other settings,
    or if results of sources of the same names in another folder would be replaced.
    """
    _refuse_mixed_results(target)
    outputs = {result_name(name): name for name in names}
    refuse_unknown_files(outputs, target.results, target.journal)
    for output, name in outputs.items():
        other = target.journal.other_folder(output, partial(state, name))
        if other is not None:
            raise MixedError(
                f"{target.results} has a result {output} of an image in {other}, and that of {target.journal.folder} "
                "would replace it. Choose another output folder, or --overwrite to replace the results"
            )


def _refuse_mixed_results(target: FolderTarget) -> None:
    difference = target.journal.difference()
    if difference is not None:
        raise MixedError(
            f"{target.results} has results of a job that differs from this one: {difference}. Choose another folder, "
            "or --overwrite to replace them"
        )


def job_key(model: Model, options: Options) -> str:
    """Return a digest of all that decides the bytes of a result, except its source."""
    digest = hashlib.sha256(model.executor.file.unchanged().read_bytes())
    digest.update(repr((options.format, options.quality, background(model, options))).encode())
    if options.keep_metadata:
        digest.update(b"metadata")
    if options.mask is not None:
        digest.update(masks.digest(options.mask).encode())
    if model.to is not None:
        digest.update(repr(sorted(model.to)).encode())
    if model.style is not None:
        digest.update(model.style.array.tobytes())
    if model.spec.form is not None:  # a third-party model: its description decides the pixels
        digest.update(model.spec.to_json().encode())
    if model.tile.how != "auto":
        digest.update(repr(("tile", model.tile.how)).encode())
    return digest.hexdigest()[:16]


def background(model: Model, options: Options) -> Background:
    """Return what the model sees under transparent pixels: as the options say, else as it was trained."""
    return model.spec.background if options.background is None else options.background


def facts(model: Model, options: Options) -> dict[str, Any]:
    """Return the same in words, for readers of the journal."""
    return {
        "model": model.path.name,
        "to": None if model.to is None else sorted(model.to),
        **({} if model.style is None else {"style": model.style.origin}),
        **model.options.given(),
        "format": options.format,
        "quality": options.quality,
        "background": background(model, options),
        "tile": model.tile.how,
        "metadata": options.keep_metadata,
        **({} if options.mask is None else {"mask": options.mask.name}),
    }
