"""Journal of a folder job, from which the same command continues where it stopped.

The journal is one file in the output folder for a whole job, or one for each shard; all of them are read together. Each
line is a JSON object, and lines are only appended: a process that is killed leaves at most half a line, which is
ignored. A job begins with a line of its model and settings; each output has a line before it is written and another one
afterwards. If a process is killed between the output and its second line, the output still counts: the first line
states which file existed before.

Where it cannot be appended to, as in a bucket, a file is in parts, and the lines before results are written for many of
them at once, well before the results.

The first line of a job with ``overwrite`` states since when results count, and its last line that it finished. If the
last line is missing, the job was killed, and the next one with ``overwrite`` continues from that time, unless a job of
another number of shards has begun since.
"""

from __future__ import annotations

import errno
import json
import os
import re
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from i2i.runtime.jobs.places import JOURNAL, Lines, Results, State
from i2i.runtime.jobs.sharding import WHOLE, Shard

__all__ = ["JOURNAL", "Journal", "journal_name"]

_BEGUN = -1


class _Entry(NamedTuple):
    """The latest entry of one output; small, since a folder may contain many."""

    at: float  # when its job began
    job: str | None
    source_size: int
    source_time: int
    size: int  # _BEGUN: it was about to be written
    before: tuple[int, int] | None  # id and time of the file that existed then under the name of the output


def journal_name(shard: Shard, kind: str = "job") -> str:
    """Return the name of a shard's file."""
    part = "" if shard.count == 1 else f".{shard.index}-of-{shard.count}"
    return f".i2i-{kind}{part}.jsonl"


def _count(name: str) -> str:
    """Return the number of shards of the job that a file belongs to."""
    found = re.search(r"-of-(\d+)\.jsonl$", name)
    return found[1] if found else "1"


class Journal:
    """The journal in the folder ``place`` as one job sees it.

    ``job`` is a digest of everything that decides the bytes of its outputs; ``facts`` state the same in words.
    """

    def __init__(
        self,
        place: Results,
        job: str,
        facts: Mapping[str, Any] | None = None,
        shard: Shard = WHOLE,
        again: bool = False,
        kind: str = "job",
    ) -> None:
        """Read the journal of jobs of that ``kind``.

        With ``again`` only results since this job began count, or since the killed job began that this one continues.
        """
        self.place, self.job, self.facts, self._again = place, job, dict(facts or {}), again
        self._name, self._kind = journal_name(shard, kind), kind
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] = {}
        self._last: dict[str, Any] = {}  # the first line of the job that began last
        self._lines: Lines | None = None
        self._at = 0.0  # when this job began
        self._since = 0.0  # results of jobs that began before do not count
        self._killed: float | None = None  # the same for the last job here, if it had ``again`` and did not finish
        self._here_at = self._others_at = 0.0  # when that job began, and the last of another number of shards
        self.refresh()

    def refresh(self) -> None:
        """Read also the lines that other processes have appended since."""
        begun: dict[str, float] = {}  # file -> when the job of its last line began
        for name, lines in self.place.journals(self._kind):
            at = begun[name] = self._read(name, lines, begun.get(name, 0.0))
            if name == self._name:
                self._here_at = at
            elif _count(name) != _count(self._name):
                self._others_at = max(self._others_at, at)

    def _read(self, file: str, lines: Iterable[bytes], at: float) -> float:
        """Read the lines of a file, or of its next part; return when the job of the last line began."""
        jobs = {self.job: self.job}
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:  # the end of a process that was killed
                continue
            if not isinstance(entry, dict):
                continue
            name, job = entry.get("name"), entry.get("job", entry.get("begun"))
            if not isinstance(name, str):
                at = max(at, float(entry.get("at", at)))  # a clock may go back, the lines of a file do not
                if file == self._name:
                    self._killed = float(entry["since"]) if "since" in entry else None
                if job is not None and at >= self._last.get("at", 0.0):
                    self._last = {**entry, "at": at}
                continue
            if at < self._entries.get(name, _NEVER).at:
                continue  # a later job, in the file of another shard, has had it since
            self._entries[name] = _entry(at, None if job is None else jobs.setdefault(job, job), entry)
        return at

    def __enter__(self) -> Journal:
        """Open the journal for writing, and delete the temporary files of killed processes."""
        self._lines = self.place.open_journal(self._name, set(map(os.path.dirname, self._entries)))
        self._at = round(max(time.time(), self._last.get("at", 0.0) + 0.001), 3)  # later than every other job
        if self._again:
            if self._here_at < self._others_at:  # the other job may have done everything that was left
                self._killed = None
            self._since = self._at if self._killed is None else self._killed
        self._append({"job": self.job, "at": self._at, **({"since": self._since} if self._again else {}), **self.facts})
        return self

    def finish(self) -> None:
        """Record that this job has finished."""
        self._append({"finished": self.job})
        self.sync()

    def __exit__(self, *_: object) -> None:
        if self._lines is not None:
            self._lines.close()
            self._lines = None

    def sync(self) -> None:
        """Make all lines visible to other processes."""
        assert self._lines is not None, "the journal is not open"
        with self._lock:
            self._lines.sync()

    def owns(self, name: str) -> bool:
        """True if a job wrote the output of that name, or had begun to; it may then be replaced."""
        return name in self._entries

    def is_done(self, name: str, source: State) -> bool:
        """True if the output exists and comes from the same source, model and settings."""
        entry = self._entries.get(name, _NEVER)
        if entry.at < self._since:
            return False
        if (entry.job, entry.source_size, entry.source_time) != (self.job, source.size, source.time):
            return False
        result = self.place.state(name)
        if result is None:
            return False
        if entry.size != _BEGUN:
            return result.size == entry.size
        return is_new(result, entry.before)

    def difference(self) -> str | None:
        """Return how this job differs from the last one with results here, or None if it does not.

        A job that was allowed to replace them becomes the last one, and needs no further permission. An output that it
        had only begun counts as its result: the job may have been killed between the file and its second line.
        """
        if self._last.get("job") == self.job:
            return None
        others = (name for name, entry in self._entries.items() if entry.job != self.job)
        if all(self.place.state(name) is None for name in others):
            return None
        changes = [
            f"{key} was {self._last[key]} and is {now}"
            for key, now in self.facts.items()
            if key in self._last and self._last[key] != now
        ]
        known = self._last.keys() >= self.facts.keys()
        return "; ".join(changes) or ("the model's file has changed" if known else "another model or other settings")

    def begin(self, name: str, source: State) -> None:
        """Record that ``name`` is about to be written from a source in that state."""
        before = self.before(name)
        self._append({"name": name, "begun": self.job, "source": [source.size, source.time], "before": before})

    def before(self, name: str) -> tuple[int, int] | None:
        """Return id and time of the file that has the name of an output now; None if there is none."""
        there = self.place.state(name)
        return None if there is None else (there.id, there.time)

    def done(self, name: str, source: State, size: int | None = None) -> None:
        """Record that ``name`` is complete, from a source that had that state when it was opened.

        ``size`` is that of the result in bytes, by default as it is found. Raises FileNotFoundError if it is gone.
        """
        if size is None:
            size = size_of(self.place, name)
        self._append({"name": name, "job": self.job, "source": [source.size, source.time], "size": size})

    def _append(self, entry: dict[str, Any]) -> None:
        assert self._lines is not None, "the journal is not open"
        with self._lock:
            self._lines.write(json.dumps(entry).encode() + b"\n")
        if entry.get("name") in self._entries:  # names that are new to the journal are not kept in memory
            self._entries[entry["name"]] = _entry(self._at, self.job, entry)


def size_of(place: Results, name: str) -> int:
    """Return the size of a result. Raises FileNotFoundError if it is gone."""
    result = place.state(name)
    if result is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(place.path / name))
    return result.size


def is_new(result: State, before: tuple[int, int] | None) -> bool:
    """True if a result is the one that was about to be written when a file of the id and time ``before`` was there.

    A file gets its name only when it is complete; a power failure may leave it empty. A new file has another id and
    another time than the one before; a file that was touched, copied or restored shares one of them.
    """
    id, when = before or (None, None)
    return result.size > 0 and result.id != id and result.time != when


def _entry(at: float, job: str | None, line: Mapping[str, Any]) -> _Entry:
    """Return the entry of an output from its line."""
    size, when = line.get("source", (0, 0))
    before = line.get("before")
    return _Entry(at, job, size, when, line.get("size", _BEGUN), None if before is None else (before[0], before[1]))


_NEVER = _Entry(-1.0, None, -1, -1, -2, None)
