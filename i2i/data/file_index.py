"""An index of files in the user's cache folder: what was found in each, while its size and time stay the same.

It has one file for each folder of images, so that all datasets, splits and runs share it, and a new image adds a line.
It is not beside a run: ``i2i check``, other runs and every process of a run read the same images.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, TypeVar

from i2i.atomic import atomically, lock

Stamp = tuple[int, int]
"""Size in bytes, and time of the last change in nanoseconds."""
Found = TypeVar("Found")


def stamp(path: str | os.PathLike[str]) -> Stamp | None:
    """Return the stamp of a file; None if there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


class FileIndex:
    """Values of JSON about files, kept from one process to the next.

    A file of the index that is damaged or of another ``form`` is ignored, and replaced by the next ``write``.

    Args:
        root: folder of the index.
        paths: files that are asked for; their stamps are taken here, before they are read.
        form: names the kind of the values and the programs that find them.
    """

    def __init__(self, root: Path, paths: Sequence[Path], form: str) -> None:
        self._root, self._form = root, form
        self._asked: dict[str, dict[str, tuple[Path, Stamp | None]]] = {}  # by folder and name
        for path in paths:
            folder, name = os.path.split(path)
            self._asked.setdefault(folder, {})[name] = path, stamp(path)
        self._files = {folder: root / f"{_digest(os.path.realpath(folder))}.jsonl" for folder in self._asked}
        self._new: dict[str, dict[str, tuple[Stamp, Any]]] = {}  # by folder and name

    def known(self, read: Callable[[Any], Found]) -> dict[Path, Found]:
        """Return ``read`` of the value of each file that has not changed since its value was written."""
        found = {}
        for folder, asked in self._asked.items():
            rows = self._rows(folder)
            for name in rows.keys() & asked.keys():
                (path, now), (then, value) = asked[name], rows[name]
                if now == then:
                    found[path] = read(value)
        return found

    def add(self, path: Path, value: Any) -> None:
        """Add the value of a file, to be written by the next ``write``."""
        folder, name = os.path.split(path)
        if mark := self._asked[folder][name][1]:
            self._new.setdefault(folder, {})[name] = mark, value

    def write(self) -> None:
        """Write the values that were added; forget those of files that no longer exist. Raises OSError."""
        while self._new:
            folder, new = self._new.popitem()
            there = set(os.listdir(folder or "."))
            rows = {name: row for name, row in (self._rows(folder) | new).items() if name in there}
            body = "\n".join(json.dumps((name, *mark, value)) for name, (mark, value) in rows.items())
            head = json.dumps({"form": self._form, "digest": _digest(body)})
            self._root.mkdir(parents=True, exist_ok=True)
            text = f"{head}\n{body}"
            atomically(self._files[folder], lambda file, text=text: file.write_text(text), durable=False)  # type: ignore[misc]

    @contextmanager
    def turn(self, waiting: Callable[[], object]) -> Iterator[None]:
        """Exclude other processes that look into these folders for the index, so that only the first one must.

        Calls ``waiting`` now and then until they are done. Excludes nobody where the file system has no locks.
        """
        place = self._root / f"{_digest(repr(sorted(map(str, self._files.values()))))}.lock"
        with ExitStack() as stack:
            with suppress(OSError):
                self._root.mkdir(parents=True, exist_ok=True)
                file = stack.enter_context(open(place, "w"))
                while not _locked(file):
                    waiting()
                    time.sleep(0.2)
                stack.callback(place.unlink, missing_ok=True)
            yield

    def _rows(self, folder: str) -> dict[str, tuple[Stamp, Any]]:
        try:
            head, _, body = self._files[folder].read_text().partition("\n")
            if json.loads(head) != {"form": self._form, "digest": _digest(body)}:
                return {}
        except (OSError, ValueError):
            return {}
        rows = map(json.loads, body.split("\n"))
        return {name: ((size, time), value) for name, size, time, value in rows}


def _locked(file: IO[str]) -> bool:
    try:
        lock(file)
    except BlockingIOError:
        return False
    return True


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
