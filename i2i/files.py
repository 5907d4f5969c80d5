"""Files that are whole or not there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

TEMPORARY_PREFIX, TEMPORARY_SUFFIX = ".i2i-", ".part"  # of a file that is being written, before it is renamed


def atomically(path: Path, write: Callable[[Path], object], durable: bool = True) -> None:
    """Has ``write`` make a file under a temporary name beside ``path``, and renames it into place.

    When anything fails, ``path`` is as it was and the temporary file is gone. What is ``durable`` is on the disk before
    it has its name, so that a power failure too leaves the old file or the new one.
    """
    # Not with the target's name in it: a long one must not make the temporary one too long.
    handle, name = tempfile.mkstemp(TEMPORARY_SUFFIX, TEMPORARY_PREFIX, path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        if durable:
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_UMASK)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    if durable:
        with suppress(OSError):  # not every system can open a folder
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


def clear_temporaries(folder: Path) -> None:
    """Removes what a killed process left half-written; for whoever is alone at work in the folder."""
    for left in folder.glob(f"{TEMPORARY_PREFIX}*{TEMPORARY_SUFFIX}"):
        left.unlink(missing_ok=True)


def lock(file: IO[str]) -> None:
    """Takes an open file for this process alone, until it is closed. Raises OSError when another process has it."""
    try:
        import fcntl
    except ImportError:  # not every system has such locks
        return
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


# Read once, at import: reading it changes it for a moment, which other threads must not see.
_UMASK = os.umask(0)
os.umask(_UMASK)
