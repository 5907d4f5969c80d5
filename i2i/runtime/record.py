"""What a folder job has done, so that the same command run again does only the rest.

One file in the output folder, one JSON object on a line, only ever appended to: a process that is killed leaves at most
half a line, which is passed over.
"""

from __future__ import annotations

import json
import os
import threading
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any

from i2i.files import clear_temporaries

RECORD = ".i2i-job.jsonl"


class Record:
    """The record in ``folder`` as seen by one job; ``job`` names the model and the settings that make the pixels."""

    def __init__(self, folder: Path, job: str) -> None:
        self.folder = folder
        self.job = job
        self._lock = threading.Lock()
        self._entries: dict[str, dict[str, Any]] = {}
        self._file: FileIO | None = None
        with suppress(FileNotFoundError):
            for line in (folder / RECORD).read_bytes().splitlines():
                with suppress(ValueError):  # the end of a process that was killed
                    entry = json.loads(line)
                    if isinstance(entry, dict) and isinstance(entry.get("name"), str):
                        self._entries[entry["name"]] = entry

    def __enter__(self) -> Record:
        """Opens the record to be written, and clears away what a killed process left half-written."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._file = open(self.folder / RECORD, "ab+", buffering=0)
        if _lock(self._file.fileno()):  # no other process is at work here
            for folder in {self.folder, *(self.folder / os.path.dirname(name) for name in self._entries)}:
                clear_temporaries(folder)
        if self._file.seek(0, os.SEEK_END):
            self._file.seek(-1, os.SEEK_END)
            if self._file.read(1) != b"\n":
                self._file.write(b"\n")
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def owns(self, name: str) -> bool:
        """Whether a job wrote the output of that name, or was about to: then it may be replaced."""
        return name in self._entries

    def is_done(self, name: str, source: os.stat_result) -> bool:
        """Whether the output is there as this job would write it: same source, same model, same settings."""
        entry = self._entries.get(name, {})
        if entry.get("job") != self.job or entry.get("source") != [source.st_size, source.st_mtime_ns]:
            return False
        try:
            return (self.folder / name).stat().st_size == entry.get("size")
        except OSError:
            return False

    def begin(self, name: str) -> None:
        self._append({"name": name})

    def done(self, name: str, source: os.stat_result) -> None:
        """Notes that ``name`` is in place, made of a source that was as ``source`` says when it was opened."""
        size = (self.folder / name).stat().st_size
        self._append({"name": name, "job": self.job, "source": [source.st_size, source.st_mtime_ns], "size": size})

    def _append(self, entry: dict[str, Any]) -> None:
        assert self._file is not None, "the record is not open"
        with self._lock:
            self._file.write(json.dumps(entry).encode() + b"\n")


def _lock(file: int) -> bool:
    """Whether this process alone holds the file; held until it is closed. True where there are no such locks."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
