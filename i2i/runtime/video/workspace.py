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
    """Raise ValueError for a target that is the source, exists already, or would keep first frames as the source."""
    if _is_source(target, source):
        raise ValueError(f"{target} is the video to translate; originals are never overwritten")
    if options.format:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise ValueError(f"{target}: a folder of frames must be new, and this one exists; choose another")
    elif target.is_dir():
        raise ValueError(f"{target} is a folder")
    elif target.exists() and not options.overwrite:
        raise ValueError(f"{target} is there already; choose another name, or --overwrite")
    if _is_source(partial_name(target), source):
        raise ValueError(
            f"{target}: when it is interrupted, its first frames are kept as {partial_name(target).name}, and this is "
            "the video to translate; choose another name"
        )


def _is_source(path: Path, source: str | Path) -> bool:
    return path.exists() and os.path.exists(source) and os.path.samefile(source, path)


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
    """Rename the frames of an interrupted job to their partial name and return it.

    None if there are none, or if that name is taken: by those of an earlier job, or by a file that no job wrote.
    """
    if not frames or not result.exists():
        return None
    partial = partial_name(target)
    if os.path.lexists(partial):
        return None
    os.replace(result, partial)
    return partial
