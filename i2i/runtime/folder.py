"""A folder of images through a model: what is to be done, what was done, and every file accounted for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from i2i.images import ImageError
from i2i.runtime.files import Options, StoppedError
from i2i.runtime.job import Job, Outcome
from i2i.runtime.plan import plan, refuse_strangers
from i2i.runtime.record import Record
from i2i.runtime.session import Model

__all__ = ["Options", "Outcome", "StoppedError", "Summary", "translate_folder"]


@dataclass
class Summary:
    """Counts of a folder job."""

    total: int = 0
    done: int = 0
    skipped: int = 0
    failed: int = 0


def translate_folder(
    model: Model,
    source: Path,
    target: Path,
    options: Options | None = None,
    report: Callable[[Outcome, Summary], None] | None = None,
) -> Summary:
    """Translates every image under ``source`` into the same tree under ``target``.

    A file that fails is reported and counted, and the others go on. What an earlier job did with the same model and
    settings, from a source that is as it was, is skipped. ``report`` is called after each file, in this thread.

    Raises ValueError before any work if names clash, originals would be replaced or the model is not told which of its
    domains to translate to, and StoppedError if nothing more can be written.
    """
    model, options = model.toward(None), options or Options()
    summary = Summary()

    def tell(outcome: Outcome) -> None:
        setattr(summary, outcome.status, getattr(summary, outcome.status) + 1)
        if report is not None:
            report(outcome, summary)

    unreadable: list[ImageError] = []
    items = plan(source, target, options.format, unreadable.append)
    summary.total = len(items) + len(unreadable)
    record = Record(target, job_key(model, options))
    if not options.overwrite:
        refuse_strangers(items, target, record)
    for error in unreadable:
        tell(Outcome(error.path, "failed", str(error)))
    if items:
        with record, Job(model, target, options, record) as job:
            for outcome in job.outcomes(items):
                tell(outcome)
    return summary


def job_key(model: Model, options: Options) -> str:
    """Names all that decides the pixels and bytes of an output, apart from its source."""
    digest = hashlib.sha256(model.path.read_bytes())
    digest.update(repr((options.format, options.quality, options.background)).encode())
    if model.to is not None:
        digest.update(repr(sorted(model.to)).encode())
    return digest.hexdigest()[:16]
