"""A folder of images through models: what is to be done, what was done, and every file accounted for."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from i2i.errors import I2IError
from i2i.images import ImageError
from i2i.runtime.jobs import sharding
from i2i.runtime.jobs.image_file import StoppedError, stop_if_full
from i2i.runtime.jobs.journal import Record
from i2i.runtime.jobs.options import Options
from i2i.runtime.jobs.planning import Item, plan, refuse_strangers
from i2i.runtime.jobs.watcher import Arrivals
from i2i.runtime.jobs.workers import Job, Outcome, Way
from i2i.runtime.model.model import Model
from i2i.spec import Background

__all__ = ["MixedError", "Options", "Outcome", "StoppedError", "Summary", "translate_folder", "translate_folders"]


class MixedError(I2IError):
    """The output folder holds results of another model or of other settings."""


@dataclass
class Summary:
    """Counts of a folder job: of results, so each image counts once for every model."""

    total: int = 0
    done: int = 0
    skipped: int = 0
    failed: int = 0


Report = Callable[[Outcome, Summary], None]


def translate_folder(
    model: Model, source: Path, target: Path, options: Options | None = None, report: Report | None = None
) -> Summary:
    """Translates every image under ``source`` into the same tree under ``target``.

    A file that fails is reported and counted, and the others go on. What an earlier job did with the same model and
    settings, from a source that is as it was, is skipped. ``report`` is called after each file, in this thread.

    Raises ValueError before any work if names clash, originals would be replaced or the model is not told which of its
    domains to translate to, MixedError if the folder holds results of another model or other settings, and StoppedError
    if nothing more can be written.
    """
    return translate_folders([(model, target)], source, options, report)


def translate_folders(
    pairs: Sequence[tuple[Model, Path]],
    source: Path,
    options: Options | None = None,
    report: Report | None = None,
    watch: bool = False,
    summary: Summary | None = None,
) -> Summary:
    """:func:`translate_folder` with several models, each with a folder of its own; an image is decoded once for all.

    With ``watch`` it goes on with files as they come, or change, until it is interrupted; ``summary`` is what it counts
    in, for whoever needs it then.
    """
    options, summary = options or Options(), summary or Summary()
    shard = sharding.WHOLE if options.shard is None else sharding.parse(options.shard)

    def tell(outcome: Outcome) -> None:
        setattr(summary, outcome.status, getattr(summary, outcome.status) + 1)
        if report is not None:
            report(outcome, summary)

    bound = [(model.toward(None), target) for model, target in pairs]
    unreadable: list[ImageError] = []
    names = plan(source, [target for _, target in bound], options.output_name, unreadable.append)
    names = [name for name in names if shard.holds(name)]
    ways = [
        Way(model, target, Record(target, job_key(model, options), facts(model, options), shard, options.overwrite))
        for model, target in bound
    ]
    if not options.overwrite:
        for way in ways:
            refuse_mixture(way.target, way.record)
            refuse_strangers(map(options.output_name, names), way.target, way.record)
    summary.total = (len(unreadable) + (0 if watch else len(names))) * len(ways)
    for error in unreadable:
        for _ in ways:
            tell(Outcome(error.path, "failed", str(error)))
    if watch:
        arrivals = Arrivals(source, ways, options, shard.holds, names, [error.path for error in unreadable])
        with _records(ways, arrivals), Job(ways, options) as job:
            for outcome in job.outcomes(arrivals.follow(job.stopped), sys.maxsize):
                arrivals.finished(outcome.source)
                summary.total += 1
                tell(outcome)
    elif names:
        items = (Item(source / name, options.output_name(name)) for name in names)
        with _records(ways), Job(ways, options) as job:
            for outcome in job.outcomes(items, len(names)):
                tell(outcome)
    return summary


@contextmanager
def _records(ways: Sequence[Way], arrivals: Arrivals | None = None) -> Iterator[None]:
    """All records open to be written, and told when the job comes to its end: for one that watches Ctrl-C, once it has
    done what was there when it began."""
    with ExitStack() as stack:
        for way in ways:
            with _stopping(way.target):
                stack.enter_context(way.record)
        try:
            yield
        except KeyboardInterrupt:
            if arrivals is not None and arrivals.caught_up():
                _finish(ways)
            raise
        _finish(ways)


def _finish(ways: Sequence[Way]) -> None:
    for way in ways:
        with _stopping(way.target):
            way.record.finish()


@contextmanager
def _stopping(target: Path) -> Iterator[None]:
    """A StoppedError if the disk is full."""
    try:
        yield
    except OSError as error:
        stop_if_full(error, target)
        raise


def refuse_mixture(target: Path, record: Record) -> None:
    """MixedError if what an earlier job left in the folder was made otherwise."""
    difference = record.difference()
    if difference is not None:
        raise MixedError(
            f"{target} holds results of a job that differs from this one: {difference}. Choose another folder, or "
            "--overwrite to replace them"
        )


def job_key(model: Model, options: Options) -> str:
    """Names all that decides the pixels and bytes of an output, apart from its source."""
    digest = hashlib.sha256(model.path.read_bytes())
    digest.update(repr((options.format, options.quality, background(model, options))).encode())
    if options.keep_metadata:
        digest.update(b"metadata")
    if model.to is not None:
        digest.update(repr(sorted(model.to)).encode())
    if model.spec.form is not None:  # what was told of a model that others made
        digest.update(model.spec.to_json().encode())
    if model.tile.how != "auto":
        digest.update(repr(("tile", model.tile.how)).encode())
    return digest.hexdigest()[:16]


def background(model: Model, options: Options) -> Background:
    """Return what the model sees under transparent pixels: as the options say, else as it was trained."""
    return model.spec.background if options.background is None else options.background


def facts(model: Model, options: Options) -> dict[str, Any]:
    """The same in words, for whoever reads the record."""
    return {
        "model": model.path.name,
        "to": None if model.to is None else sorted(model.to),
        **model.told.said(),
        "format": options.format,
        "quality": options.quality,
        "background": background(model, options),
        "tile": model.tile.how,
        "metadata": options.keep_metadata,
    }
