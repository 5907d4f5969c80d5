"""Write output to a temporary workspace and rename it when complete."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from i2i import atomic
from i2i.runtime.jobs.options import Options
from i2i.runtime.video.errors import VideoError

PREFIX, SUFFIX = ".i2i-", ".video"


def check_target(source: str | Path, target: Path, options: Options) -> None:
    """Raise ValueError for a target that is the source, or exists already."""
    if target.exists() and os.path.exists(source) and os.path.samefile(source, target):
        raise ValueError(f"{target} is the video to translate; originals are never overwritten")
    if options.format:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise ValueError(f"{target}: a folder of frames must be new, and this one exists; choose another")
    elif target.is_dir():
        raise ValueError(f"{target} is a folder")
    elif target.exists() and not options.overwrite:
        raise ValueError(f"{target} is there already; choose another name, or --overwrite")


@contextmanager
def workspace(target: Path) -> Iterator[Path]:
    """Yield a folder beside ``target`` that only this job uses, deleted afterwards.

    Its name follows from the target's: the next job to the same target deletes the files of a killed one, and of two
    jobs to one target at once the second is refused with a VideoError.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]
    place = target.parent / f"{PREFIX}{digest}{SUFFIX}"
    place.mkdir(exist_ok=True)
    with open(place / "lock", "w") as file:
        try:
            atomic.lock(file)
        except OSError as error:
            raise VideoError(target, "another job is writing it") from error
        for left in place.iterdir():
            if left.name != "lock":
                shutil.rmtree(left) if left.is_dir() else left.unlink()
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)


def publish(result: Path, target: Path) -> None:
    """Rename a complete file or folder to its target, after its content is on the disk."""
    for path in [result] if result.is_file() else sorted(result.iterdir()):
        with open(path, "rb") as file:
            os.fsync(file.fileno())
    if result.is_dir() and target.is_dir():
        with suppress(OSError):  # an empty one may be replaced; for another the rename says so
            target.rmdir()
    os.replace(result, target)


def partial_name(target: Path) -> Path:
    """Return the name for the frames of an interrupted job: clip.mp4 -> clip.partial.mp4."""
    return target.with_name(f"{target.stem}.partial{target.suffix}")


def keep(result: Path, target: Path, frames: int) -> Path | None:
    """Rename the frames of an interrupted job to their partial name and return it; None if there are none."""
    if not frames or not result.exists():
        return None
    partial = partial_name(target)
    if partial.is_dir():
        return None  # an earlier one; a folder is not replaced
    os.replace(result, partial)
    return partial
