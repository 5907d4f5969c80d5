"""The folder that a job writes to, as the job sees it: which files are there, where a result is written, the journal.

A local folder is one kind; ``remote/`` has the other.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from i2i.atomic import clear_temporaries

JOURNAL = ".i2i-job.jsonl"
"""Name of the journal of images; that of another kind of job has another word in it."""
_SUFFIX = ".jsonl"


class State(NamedTuple):
    """Facts that identify one version of a file."""

    size: int
    time: int  # when it was written, in ns; of a remote file any number that changes with that time
    id: int = 0  # its inode; of a remote file a digest of its tag

    @classmethod
    def of(cls, status: os.stat_result) -> State:
        """Return the state of a local file."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ino)


class Lines(Protocol):
    """A file of the journal, open for appending."""

    def write(self, line: bytes, /) -> object:
        """Append a line."""

    def sync(self) -> None:
        """Make the lines visible to other processes."""

    def close(self) -> None:
        """Make the lines visible, and close the file."""


class Results(Protocol):
    """The folder of a job's results."""

    path: Path
    """Local folder in which results are written."""
    ahead: bool
    """True if the journal names results in advance, since each append to it takes long."""

    def state(self, name: str) -> State | None:
        """Return the state of the result of that name; None if there is none."""

    def exists(self, name: str) -> bool:
        """True if anything has that name, even a broken link."""

    def latest(self, name: str) -> State | None:
        """Return the state of a result as it is now, where ``state`` may be that of a listing."""

    def put(self, name: str) -> None:
        """Move a result that is complete in ``path`` to its place.

        Raises ImageError if it cannot be moved, and StoppedError if no result can.
        """

    def journals(self, kind: str) -> Iterator[tuple[str, Iterable[bytes]]]:
        """Yield the name and the lines of each file of the journal of that kind."""

    def open_journal(self, name: str, folders: Iterable[str]) -> Lines:
        """Open a file of the journal; also delete what killed jobs left in the folder and its ``folders``."""


def in_order(names: Iterable[str], kind: str) -> list[str]:
    """Return those of the names that belong to a journal, the parts of a file one after another."""
    found = [name for name in names if name.startswith(f".i2i-{kind}") and name.endswith(_SUFFIX)]
    return sorted(found, key=lambda name: (journal_of(name), name))


def journal_of(part: str) -> str:
    """Return the name of the file that a part belongs to, which a remote folder has in its place."""
    return re.sub(r"\+\d+(?=\.jsonl$)", "", part)


def part_of(journal: str, number: int) -> str:
    """Return the name of a part of a file; larger numbers come later."""
    return f"{journal.removesuffix(_SUFFIX)}+{number:020}{_SUFFIX}"


class LocalResults:
    """A folder of this machine, or one that it has mounted."""

    ahead = False

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    def state(self, name: str) -> State | None:
        try:
            return State.of(os.stat(self.path / name))
        except OSError:
            return None

    def exists(self, name: str) -> bool:
        return os.path.lexists(os.path.join(self.path, name))

    latest = state

    def put(self, name: str) -> None:
        """Do nothing: results are written in place."""

    def journals(self, kind: str) -> Iterator[tuple[str, Iterable[bytes]]]:
        try:
            names = in_order(os.listdir(self.path), kind)
        except OSError:
            return
        for name in names:
            with open(self.path / name, "rb") as file:
                yield journal_of(name), file

    def open_journal(self, name: str, folders: Iterable[str]) -> Lines:
        self.path.mkdir(parents=True, exist_ok=True)
        for folder in {self.path, *(self.path / each for each in folders)}:
            clear_temporaries(folder)
        return _LocalLines(self.path / name)


class _LocalLines:
    def __init__(self, path: Path) -> None:
        self._file = open(path, "ab+", buffering=0)  # noqa: SIM115  (open until the job ends)
        self.write = self._file.write
        if self._file.seek(0, os.SEEK_END):
            self._file.seek(-1, os.SEEK_END)
            if self._file.read(1) != b"\n":  # the end of a process that was killed
                self._file.write(b"\n")

    def sync(self) -> None:
        """Do nothing: lines are not buffered."""

    def close(self) -> None:
        self._file.close()
