"""Files that are written completely or not at all, what they may replace, and their digests."""

from __future__ import annotations

import errno
import hashlib
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import IO

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # not every system has such locks
    fcntl = None

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # numbers of errors that mean a full disk
TEMPORARY_PREFIX, TEMPORARY_SUFFIX = ".i2i-", ".part"  # of a file that is being written, before it is renamed


def atomically(path: Path, write: Callable[[Path], object], durable: bool = True) -> None:
    """Call ``write`` with a temporary file beside ``path``, and rename it to ``path``.

    If anything fails, ``path`` is unchanged and the temporary file is deleted; an OSError names ``path``. A ``durable``
    file is on the disk before it is renamed, so that a power failure also leaves the old file or the new one.
    """
    handle, name = _claimed(path.parent, path.name)
    temporary = Path(name)
    try:
        write(temporary)
        if durable:
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_UMASK)
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and error.errno is not None and error.filename is None:
            error.filename = str(path)  # a failed write does not know its file
        raise
    finally:
        if handle is not None:
            os.close(handle)
    if durable:
        with suppress(OSError):  # not every system can open a folder
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


@contextmanager
def scratch(folder: Path, name: str = "") -> Iterator[Path]:
    """Yield a temporary file in a folder, deleted at the end; ``name`` is that of the file for which it is made."""
    handle, temporary = _claimed(folder, name)
    try:
        yield Path(temporary)
    finally:
        with suppress(OSError):
            os.unlink(temporary)
        if handle is not None:
            os.close(handle)


def _claimed(folder: Path, name: str) -> tuple[int | None, str]:
    """Return a new temporary file and the handle that holds its lock; None where the system has no locks."""
    prefix = os.path.join(folder, _prefix(name))
    while True:
        handle, name = _new(prefix)
        if fcntl is None:
            os.close(handle)
            return None, name
        with suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return handle, name
        os.close(handle)  # cleared away by another process before it was locked


def _prefix(name: str) -> str:
    """Return the prefix of a file's temporaries: a digest, as a long name would make theirs too long."""
    return f"{TEMPORARY_PREFIX}{zlib.crc32(os.fsencode(name)):08x}-"


def _new(prefix: str) -> tuple[int, str]:
    """Create a file that only this user can open, as ``tempfile.mkstemp`` does, whose module is slow to import."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    while True:
        name = f"{prefix}{os.urandom(8).hex()}{TEMPORARY_SUFFIX}"
        with suppress(FileExistsError):
            return os.open(name, flags, 0o600), name


def clear_temporaries(folder: Path, name: str | None = None) -> None:
    """Delete the temporary files of killed processes, for the file called ``name`` or for all in the folder.

    Files that other processes are writing stay, since these hold their locks.
    """
    prefix = TEMPORARY_PREFIX if name is None else _prefix(name)
    for left in folder.glob(f"{prefix}*{TEMPORARY_SUFFIX}"):
        with suppress(OSError), open(left, "rb") as file:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()


def lock(file: IO[str], *, shared: bool = False, wait: bool = False) -> None:
    """Lock an open file until it is closed; ``shared`` locks exclude only those that are not.

    With ``wait`` wait for the locks of other processes; else raise OSError for them.
    """
    if fcntl is not None:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))


def check_kind(path: Path, *suffixes: str) -> None:
    """Raise ValueError for an existing file that is none of those to write, by its suffix: it may be a photograph."""
    if path.is_file() and path.suffix and path.suffix.lower() not in suffixes:
        raise ValueError(f"{path} exists, and is no {' or '.join(suffixes)} file to replace; give another name")


def digest(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# Read once, at import: reading it changes it for a moment, which other threads must not see.
_UMASK = os.umask(0)
os.umask(_UMASK)
