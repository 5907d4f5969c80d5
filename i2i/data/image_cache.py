"""A bounded cache of images on disk, shared by processes and runs.

An image is one file, written as a whole or not at all and checked when it is read. The images that one run uses are a
set: a folder, locked while a process uses it. A new set takes the place of those that nobody uses. A set is not thinned
out for its own new images: each is read once an epoch, so that the images that stay are as good as those that come.

Files are read and not mapped: the pages are shared in either case, and where a mapped file is on a network drive and
is deleted by another machine, the process dies.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import threading
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from i2i.atomic import atomically, clear_temporaries, lock
from i2i.data.file_index import Stamp
from i2i.text import os_error

_HEAD = struct.Struct(
    "<8sqq3I4s"
)  # signature; size and time of the source; height, width, channels, type of the values
_SIGNATURE = b"i2i pix2"
_LOCK = "in-use"
_SHARE = 16
"""A process takes at most this part of the free room before it looks again how much is left: as many processes may
write at a time without exceeding the limit."""


class ImageCache:
    """Arrays [h, w, c] of uint8, uint16, int16 or float32 under names, in a set of their own.

    Args:
        root: folder of all sets.
        name: of the set.
        limit: bytes of all sets together. Half of the free disk space is left in any case.
        say: called with a line of text when no more images are kept.

    Raises OSError if the folder cannot be used.
    """

    def __init__(self, root: Path, name: str, limit: int, say: Callable[[str], None]) -> None:
        self._root, self._folder, self._limit, self._say = root, root / _digest(name), limit, say
        self._folder.mkdir(parents=True, exist_ok=True)
        os.utime(self._folder)  # the last to be deleted
        while _size(root) > limit and self._delete_one():
            pass
        self._used = open(self._folder / _LOCK, "a")  # noqa: SIM115 (locked until it is closed)
        with suppress(OSError):  # a file system without locks
            lock(self._used, shared=True, wait=True)
        clear_temporaries(self._folder)
        self._turn, self._room, self._full = threading.Lock(), 0, False

    def close(self) -> None:
        """Allow other processes to delete the set."""
        self._used.close()

    def read(self, name: str, stamp: Stamp) -> np.ndarray | None:
        """Return an array; None if it is not there, damaged or of another ``stamp``."""
        try:
            with open(self._path(name), "rb", buffering=0) as file:
                data = file.readall()
        except OSError:
            return None
        if len(data) < _HEAD.size + 4 or zlib.crc32(memoryview(data)[4:]) != int.from_bytes(data[:4], "little"):
            return None
        signature, size, time, height, width, channels, dtype = _HEAD.unpack_from(data, 4)
        if signature != _SIGNATURE or (size, time) != stamp:
            return None
        pixels = np.frombuffer(data, dtype.rstrip(b"\0").decode(), offset=4 + _HEAD.size)
        return pixels.reshape(height, width, channels)

    def write(self, name: str, stamp: Stamp, pixels: np.ndarray) -> None:
        """Keep an array, if there is room for it and the disk takes it."""
        data = _HEAD.pack(_SIGNATURE, *stamp, *pixels.shape, pixels.dtype.str.encode()) + pixels.tobytes()
        whole = zlib.crc32(data).to_bytes(4, "little") + data
        try:
            if self._claim(len(whole)):
                atomically(self._path(name), lambda file: file.write_bytes(whole), durable=False)
        except OSError as error:
            self._end(os_error(error))

    def _path(self, name: str) -> Path:
        return self._folder / _digest(name)

    def _claim(self, size: int) -> bool:
        """Take room for a file of ``size`` bytes, and return True; False once there is none."""
        with self._turn:
            while self._room < size and not self._full:
                free = shutil.disk_usage(self._root).free // 2
                self._room = min(self._limit - _size(self._root), free) // _SHARE
                if self._room < size and not self._delete_one(self._folder):
                    self._end(f"{self._root} is full; a larger --cache has room for more")
            self._room -= size
            return not self._full

    def _end(self, reason: str) -> None:
        if not self._full:
            self._full = True
            self._say(f"note: the other images are decoded each time, since no more can be cached: {reason}")

    def _delete_one(self, spared: Path | None = None) -> bool:
        """Delete the images of a set that is not in use, the one that was opened or written longest ago.

        Return False if there is none but the one to be ``spared``.
        """
        for folder in sorted(self._root.iterdir(), key=_time):
            if folder == spared:
                continue
            with suppress(OSError), open(folder / _LOCK, "a") as file:
                lock(file)
                images = [path for path in folder.iterdir() if path.name != _LOCK]
                for path in images:
                    path.unlink()
                if images:
                    return True
        return False


def _size(root: Path) -> int:
    """Return the bytes of all files in the folders of a folder, which other processes may be deleting."""
    total = 0
    for folder in root.iterdir():
        with suppress(OSError), os.scandir(folder) as files:
            for file in files:
                with suppress(OSError):
                    total += file.stat().st_size
    return total


def _time(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0


def _digest(name: str) -> str:
    return hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
