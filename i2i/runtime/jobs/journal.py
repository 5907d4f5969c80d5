"""Journal of a folder job, from which the same command continues where it stopped.

The journal is one file in the output folder for a whole job, or one for each shard; all of them are read together. Each
line is a JSON object, and lines are only appended: a process that is killed leaves at most half a line, which is
ignored. A job begins with a line of its model and settings; each output has a line before it is written and another one
afterwards. If a process is killed between the output and its second line, the output still counts: the first line
states which file existed before.

The first line of a job with ``overwrite`` states since when results count, and its last line that it finished. If the
last line is missing, the job was killed, and the next one with ``overwrite`` continues from that time, unless a job of
another number of shards has begun since.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any, NamedTuple

from i2i.atomic import clear_temporaries
from i2i.runtime.jobs.sharding import WHOLE, Shard

JOURNAL = ".i2i-job.jsonl"
"""Name of the journal of images; that of another kind of job has another word in it."""


State = tuple[int, int]  # identifies a file: its inode, and when it was written
_BEGUN = -1


class _Entry(NamedTuple):
    """The latest entry of one output; small, since a folder may contain many."""

    at: float  # when its job began
    job: str | None
    source_size: int
    source_time: int
    size: int  # _BEGUN: it was about to be written
    before: State | None  # of the file that existed then under the name of the output


def journal_name(shard: Shard, kind: str = "job") -> str:
    """Return the name of a shard's file."""
    part = "" if shard.count == 1 else f".{shard.index}-of-{shard.count}"
    return f".i2i-{kind}{part}.jsonl"


class Journal:
    """The journal in ``folder`` as one job sees it.

    ``job`` is a digest of everything that decides the bytes of its outputs; ``facts`` state the same in words.
    """

    def __init__(
        self,
        folder: Path,
        job: str,
        facts: Mapping[str, Any] | None = None,
        shard: Shard = WHOLE,
        again: bool = False,
        kind: str = "job",
    ) -> None:
        """Read the journal of jobs of that ``kind``.

        With ``again`` only results since this job began count, or since the killed job began that this one continues.
        """
        self.folder, self.job, self.facts, self._again = folder, job, dict(facts or {}), again
        self._name, self._kind = journal_name(shard, kind), kind
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] = {}
        self._last: dict[str, Any] = {}  # the first line of the job that began last
        self._file: FileIO | None = None
        self._at = 0.0  # when this job began
        self._since = 0.0  # results of jobs that began before do not count
        self._killed: float | None = None  # the same for the last job here, if it had ``again`` and did not finish
        self._here_at = self._others_at = 0.0  # when that job began, and the last of another number of shards
        self.refresh()

    def refresh(self) -> None:
        """Read also the lines that other processes have appended since."""
        for path in sorted(self.folder.glob(f".i2i-{self._kind}*.jsonl")):
            self._read(path)

    def _read(self, path: Path) -> None:
        at, jobs = 0.0, {self.job: self.job}
        with suppress(FileNotFoundError), open(path, "rb") as file:
            for line in file:
                try:
                    entry = json.loads(line)
                except ValueError:  # the end of a process that was killed
                    continue
                if not isinstance(entry, dict):
                    continue
                name, job = entry.get("name"), entry.get("job", entry.get("begun"))
                if not isinstance(name, str):
                    at = max(at, float(entry.get("at", at)))  # a clock may go back, the lines of a file do not
                    if path.name == self._name:
                        self._killed = float(entry["since"]) if "since" in entry else None
                    if job is not None and at >= self._last.get("at", 0.0):
                        self._last = {**entry, "at": at}
                    continue
                if at < self._entries.get(name, _NEVER).at:
                    continue  # a later job, in the file of another shard, has had it since
                self._entries[name] = _entry(at, None if job is None else jobs.setdefault(job, job), entry)
        if path.name == self._name:
            self._here_at = at
        elif path.name.rpartition("-of-")[2] != self._name.rpartition("-of-")[2]:
            self._others_at = max(self._others_at, at)

    def __enter__(self) -> Journal:
        """Open the journal for writing, and delete the temporary files of killed processes."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for folder in {self.folder, *(self.folder / parent for parent in set(map(os.path.dirname, self._entries)))}:
            clear_temporaries(folder)
        self._file = open(self.folder / self._name, "ab+", buffering=0)
        self._at = round(max(time.time(), self._last.get("at", 0.0) + 0.001), 3)  # later than every other job
        if self._again:
            if self._here_at < self._others_at:  # the other job may have done everything that was left
                self._killed = None
            self._since = self._at if self._killed is None else self._killed
        if self._file.seek(0, os.SEEK_END):
            self._file.seek(-1, os.SEEK_END)
            if self._file.read(1) != b"\n":
                self._file.write(b"\n")
        self._append({"job": self.job, "at": self._at, **({"since": self._since} if self._again else {}), **self.facts})
        return self

    def finish(self) -> None:
        """Record that this job has finished."""
        self._append({"finished": self.job})

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def owns(self, name: str) -> bool:
        """True if a job wrote the output of that name, or had begun to; it may then be replaced."""
        return name in self._entries

    def is_done(self, name: str, source: os.stat_result) -> bool:
        """True if the output exists and comes from the same source, model and settings."""
        entry = self._entries.get(name, _NEVER)
        if entry.at < self._since:
            return False
        if (entry.job, entry.source_size, entry.source_time) != (self.job, source.st_size, source.st_mtime_ns):
            return False
        try:
            status = os.stat(self.folder / name)
        except OSError:
            return False
        if entry.size != _BEGUN:
            return status.st_size == entry.size
        # A file gets its name only when it is complete; a power failure may leave it empty. A new file has another
        # inode and another time than the one before; a file that was touched, copied or restored shares one of them.
        inode, when = entry.before or (None, None)
        return status.st_size > 0 and status.st_ino != inode and status.st_mtime_ns != when

    def difference(self) -> str | None:
        """Return how this job differs from the last one with results here, or None if it does not.

        A job that was allowed to replace them becomes the last one, and needs no further permission. An output that it
        had only begun counts as its result: the job may have been killed between the file and its second line.
        """
        if self._last.get("job") == self.job:
            return None
        others = (name for name, entry in self._entries.items() if entry.job != self.job)
        if not any((self.folder / name).exists() for name in others):
            return None
        changes = [
            f"{key} was {self._last[key]} and is {now}"
            for key, now in self.facts.items()
            if key in self._last and self._last[key] != now
        ]
        known = self._last.keys() >= self.facts.keys()
        return "; ".join(changes) or ("the model's file has changed" if known else "another model or other settings")

    def begin(self, name: str, source: os.stat_result) -> None:
        """Record that ``name`` is about to be written from a source with that status."""
        before = None
        with suppress(OSError):
            there = os.stat(self.folder / name)
            before = [there.st_ino, there.st_mtime_ns]
        facts = {"source": [source.st_size, source.st_mtime_ns], "before": before}
        self._append({"name": name, "begun": self.job, **facts})

    def done(self, name: str, source: os.stat_result) -> None:
        """Record that ``name`` is complete, from a source that had that status when it was opened."""
        size = os.stat(self.folder / name).st_size
        self._append({"name": name, "job": self.job, "source": [source.st_size, source.st_mtime_ns], "size": size})

    def _append(self, entry: dict[str, Any]) -> None:
        assert self._file is not None, "the journal is not open"
        with self._lock:
            self._file.write(json.dumps(entry).encode() + b"\n")
        if entry.get("name") in self._entries:  # names that are new to the journal are not kept in memory
            self._entries[entry["name"]] = _entry(self._at, self.job, entry)


def _entry(at: float, job: str | None, line: Mapping[str, Any]) -> _Entry:
    """Return the entry of an output from its line."""
    size, when = line.get("source", (0, 0))
    before = line.get("before")
    return _Entry(at, job, size, when, line.get("size", _BEGUN), None if before is None else (before[0], before[1]))


_NEVER = _Entry(-1.0, None, -1, -1, -2, None)
