"""Sources made of finished images, as the training made them: the picture before a translation."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from i2i.images import ImageError, read_image, write_image
from i2i.images.derive import derive_image
from i2i.runtime.jobs import image_file
from i2i.runtime.jobs.folder import Report, Summary, journals, refuse_other_files, shard_of
from i2i.runtime.jobs.journal import Journal
from i2i.runtime.jobs.options import Options
from i2i.runtime.jobs.places import LocalResults, State
from i2i.runtime.jobs.planning import FolderTarget, plan
from i2i.runtime.jobs.workers import Outcome
from i2i.runtime.model.model import Model

KIND = "derived"
"""Of the journal: a record of its own."""


def derive_file(model: Model, source: Path, folder: Path, options: Options) -> Path:
    """Write the source that ``model`` was trained on, made of an image, as a PNG file to ``folder``; return its path.

    Raises ImageError for an image that cannot be read, and ValueError if it would be replaced itself, or without
    ``overwrite`` another file.
    """
    target = folder / result_name(source.name)
    if target.resolve() == source.resolve():
        raise ValueError(f"{target}: the made source would replace the image; originals are never overwritten")
    if target.exists() and not options.overwrite:
        raise ValueError(f"{target} is there already; choose another folder, or --overwrite")
    _write(source, target, model, source.name, options)
    return target


def derive_folder(
    model: Model, source: Path, folder: Path, options: Options | None = None, report: Report | None = None
) -> Summary:
    """Write the source that ``model`` was trained on of every image under ``source`` to the same tree in ``folder``.

    The sources are PNG files; the same name gives the same values. A file that fails is reported and counted, and the
    others go on. One that an earlier job wrote in the same way is kept, unless its image has changed.

    Raises ValueError before any work if names clash or files would be replaced that no such job wrote, and MixedError
    if the folder has sources made in another way.
    """
    options, summary = options or Options(), Summary()
    shard, unreadable, way = shard_of(options), list[ImageError](), model.spec.derive
    names = [name for name in plan(source, [folder], result_name, unreadable.append) if shard.holds(result_name(name))]
    facts = {"derive": way, "metadata": options.keep_metadata}
    key = hashlib.sha256(repr(sorted(facts.items())).encode()).hexdigest()[:16]
    results = LocalResults(folder)
    journal = Journal(results, key, facts, shard, options.overwrite, KIND, os.path.abspath(source))
    target = FolderTarget(model, results, journal)
    if not options.overwrite:
        refuse_other_files(target, names, result_name, lambda name: State.of(os.stat(source / name)))
    summary.total = len(unreadable) + len(names)

    def outcomes() -> Iterator[Outcome]:
        for error in unreadable:
            yield Outcome(error.path, "failed", str(error))
        with journals([target]):
            for name in names:
                yield _outcome(target, source / name, name, options)

    for outcome in outcomes():
        summary.count(outcome)
        if report is not None:
            report(outcome, summary)
    return summary


def result_name(source: str) -> str:
    """Return the name of the source that is made of an image: its own, with ".png" behind it if it has another one."""
    return source if source.lower().endswith(".png") else f"{source}.png"


def _outcome(target: FolderTarget, path: Path, name: str, options: Options) -> Outcome:
    made, journal = result_name(name), target.journal
    try:
        state = State.of(path.stat())
        if journal.is_done(made, state):
            return Outcome(path, "skipped")
        (target.folder / made).parent.mkdir(parents=True, exist_ok=True)
        journal.begin(made, state)
        _write(path, target.folder / made, target.model, name, options)
        journal.done(made, state)
    except (ImageError, OSError) as error:
        image_file.stop_if_full(error, target.folder)
        image_file.stop_if_full(error.__cause__, target.folder)
        return Outcome(path, "failed", str(error if isinstance(error, ImageError) else ImageError(path, str(error))))
    return Outcome(path, "done")


def _write(source: Path, target: Path, model: Model, name: str, options: Options) -> None:
    image = read_image(source, options.max_pixels, options.keep_metadata)
    if image.bands:
        raise ImageError(source, f"it has {image.kind}, and sources are made of pictures, grey or RGB")
    made = derive_image(replace(image, format="PNG", coding=""), model.spec.derive, name)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_image(target, made, "PNG")
