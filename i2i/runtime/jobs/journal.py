"""Journal of a folder job, from which the same command continues where it stopped.

The journal is one file in the output folder for a whole job, or one for each shard; all of them are read together. Each
line is a JSON object, and lines are only appended: a process that is killed leaves at most half a line, which is
ignored. A job begins with a line of its model, source and settings; each output has a line before it is written and
another one afterwards. If a process is killed between the output and its second line, the output still counts: the
first line states which file existed before.

Where it cannot be appended to, as in a bucket, a file is in parts, and the lines before results are written for many of
them at once, well before the results.

The first line of a job with ``overwrite`` states since when results count, and its last line that it finished. If the
last line is missing, the job was killed, and the next one with ``overwrite`` continues from that time, unless a job of
another number of shards has begun since. Processes that share a job have a file each, and one time for all, which their
parent determines; it also writes their last lines.
"""

from __future__ import annotations

import errno
import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from i2i.images import ImageError
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
    folder: str | None = None  # of the sources of its job; None if the journal does not state it


@dataclass
class _File:
    """The last job of one file of the journal."""

    at: float = 0.0  # when it began
    since: float | None = None  # results of jobs before do not count, if it had ``overwrite`` and did not finish
    folder: str | None = None  # of its sources


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
    ``folder`` is that of its sources, an absolute path or a URL.
    """

    def __init__(
        self,
        place: Results,
        job: str,
        facts: Mapping[str, Any] | None = None,
        shard: Shard = WHOLE,
        again: bool = False,
        kind: str = "job",
        folder: str | None = None,
        since: float | None = None,
    ) -> None:
        """Read the journal of jobs of that ``kind``.

        With ``again`` only results since this job began count, or since the killed job began that this one continues;
        ``since`` is that time where it is known.
        """
        self.place, self.job, self.facts, self._again = place, job, dict(facts or {}), again
        self.folder = None if folder is None else re.sub("(?<=://)[^/]*@", "", folder)  # without a password
        self._shard, self._name, self._kind = shard, journal_name(shard, kind), kind
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] = {}
        self._last: dict[str, Any] = {}  # the first line of the job that began last
        self._lines: Lines | None = None
        self._kept: set[str] = set()  # names whose lines of this job are kept in memory
        self._at = 0.0  # when this job began
        self._given, self._since = since, 0.0  # results of jobs that began before do not count
        self._files: dict[str, _File] = {}
        self.refresh()

    def refresh(self) -> None:
        """Read also the lines that other processes have appended since."""
        self._files.clear()
        for name, lines in self.place.journals(self._kind):
            self._read(self._files.setdefault(name, _File()), lines)

    def _read(self, file: _File, lines: Iterable[bytes]) -> None:
        """Read the lines of a file, or of its next part."""
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
                file.at = max(file.at, float(entry.get("at", file.at)))  # a clock may go back, lines do not
                file.since = float(entry["since"]) if "since" in entry else None
                if job is not None:
                    file.folder = entry.get("source")
                    if file.at >= self._last.get("at", 0.0):
                        self._last = {**entry, "at": file.at}
                continue
            if file.at < self._entries.get(name, _NEVER).at:
                continue  # a later job, in the file of another shard, has had it since
            known = None if job is None else jobs.setdefault(job, job)
            self._entries[name] = _entry(file.at, known, entry, file.folder)

    def __enter__(self) -> Journal:
        """Open the journal for writing, and delete the temporary files of killed processes."""
        self._lines = self.place.open_journal(self._name, set(map(os.path.dirname, self._entries)))
        self._at = self._now()
        first: dict[str, Any] = {"job": self.job, "at": self._at}
        if self.folder is not None:
            first["source"] = self.folder
        if self._again:
            first["since"] = self._since = self.since([self._shard]) if self._given is None else self._given
        self._append({**first, **self.facts})
        return self

    def _now(self) -> float:
        """Return the time, which is later than the beginning of every other job."""
        return round(max(time.time(), self._last.get("at", 0.0) + 0.001, self._given or 0.0), 3)

    def since(self, shards: Sequence[Shard]) -> float:
        """Return since when results count in a job of these shards, which continues a killed one or begins now."""
        names = {journal_name(shard, self._kind) for shard in shards}
        ours = [file for name, file in self._files.items() if name in names]
        counts = set(map(_count, names))
        others = [file.at for name, file in self._files.items() if _count(name) not in counts]
        killed = [file.since for file in ours if file.since is not None]
        # A job of another number of shards may have done everything that was left.
        if not killed or max(file.at for file in ours) < max(others, default=0.0):
            return self._at or self._now()
        return min(killed)

    def finish(self) -> None:
        """Record that this job has finished."""
        self._append(self._finished)
        self.sync()

    def finish_parts(self, shards: Sequence[Shard]) -> None:
        """Record in the files of these shards that the job which their processes shared has finished."""
        for shard in shards:
            lines = self.place.open_journal(journal_name(shard, self._kind), ())
            lines.write(_line(self._finished))
            lines.close()

    @property
    def _finished(self) -> dict[str, Any]:
        return {"finished": self.job}

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

    def other_folder(self, name: str, source: Callable[[], State]) -> str | None:
        """Return the source folder of the result of that name, if this job would replace it by that of another folder.

        A folder that was moved is the same: ``source`` returns the state of the file, whose size and time have stayed.
        """
        folder = self._entries.get(name, _NEVER).folder
        if folder is None or self.folder in (None, folder) or not self.place.exists(name):
            return None
        with suppress(OSError, ImageError):  # the thread that translates it meets the error again
            return None if self.is_done(name, source()) else folder
        return None

    def keep(self, name: str) -> None:
        """Keep in memory what this job does with an output, until it is forgotten."""
        if name not in self._entries:
            self._kept.add(name)

    def forget(self, name: str) -> None:
        """Free the memory of an output that was kept."""
        if name in self._kept:
            self._kept.discard(name)
            self._entries.pop(name, None)

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
            self._lines.write(_line(entry))
        name = entry.get("name")
        if name in self._entries or name in self._kept:  # a folder may contain many new names
            self._entries[entry["name"]] = _entry(self._at, self.job, entry, self.folder)


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


def _line(entry: dict[str, Any]) -> bytes:
    return json.dumps(entry).encode() + b"\n"


def _entry(at: float, job: str | None, line: Mapping[str, Any], folder: str | None) -> _Entry:
    """Return the entry of an output from its line."""
    size, when = line.get("source", (0, 0))
    before = line.get("before")
    known = None if before is None else (before[0], before[1])
    return _Entry(at, job, size, when, line.get("size", _BEGUN), known, folder)


_NEVER = _Entry(-1.0, None, -1, -1, -2, None)
