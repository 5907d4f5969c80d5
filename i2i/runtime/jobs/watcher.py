"""A folder that is still being filled: its images as they come, none of them half-written."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from i2i.images import ImageError, name_images
from i2i.runtime.jobs.options import Options
from i2i.runtime.jobs.planning import Item, ignores_case, outside
from i2i.runtime.jobs.workers import Way

INTERVAL = 0.25
"""Seconds between two looks. A file is taken at the second look that finds it as it was at the one before."""

State = tuple[int, int]  # of a file: its size, and when it changed


class Arrivals:
    """The images of a folder, each once and again when it has changed, as items of a job."""

    def __init__(
        self,
        source: Path,
        ways: Sequence[Way],
        options: Options,
        belongs: Callable[[str], bool],
        backlog: Iterable[str] = (),
        told: Iterable[Path] = (),
    ) -> None:
        """``belongs`` says of a relative name whether it is one of this job's; ``backlog`` are those that are there
        before it begins; ``told`` are folders that cannot be read of which somebody has been told."""
        self._source, self._ways, self._options, self._belongs = source, ways, options, belongs
        self._before: dict[str, State] = {}  # at the last look
        self._taken: dict[str, State] = {}
        self._busy: dict[Path, int] = {}  # in work, with the number of results that are awaited
        self._backlog = set(backlog)  # what has no result yet
        self._outputs: dict[str, str] = {}  # the name of an output -> that of its source, in other shards too
        self._unreadable = {path: "" for path in told}  # why; empty once it was said
        self._fold = any(ignores_case(way.target) for way in ways)

    def follow(self, stop: threading.Event) -> Iterator[Item]:
        """Waits for images and yields them, until ``stop`` is set. Of a huge folder each look takes a while; at most a
        fifth of a processor goes into looking."""
        while not stop.is_set():
            start = time.monotonic()
            names = self.look()
            for folder, reason in self._unreadable.items():
                if reason:
                    self._unreadable[folder] = ""
                    yield Item(folder, "", reason)
            for name in names:
                self._busy[self._source / name] = len(self._ways)
                yield self._item(name)
            stop.wait(max(INTERVAL, 4 * (time.monotonic() - start)))

    def finished(self, source: Path) -> None:
        """To be told of each result: a file that changes while it is in work is taken again only after that."""
        left = self._busy.pop(source, 0) - 1
        if left > 0:
            self._busy[source] = left
        elif left == 0 and self._backlog:
            self._backlog.discard(source.relative_to(self._source).as_posix())

    def caught_up(self) -> bool:
        """Whether all that was there at the beginning has its results, or is gone."""
        return not any(os.path.lexists(self._source / name) for name in self._backlog)

    def look(self) -> list[str]:
        """The relative names of the images that are new or changed, and whole."""
        names = name_images(self._source, self._cannot_read)
        for way in self._ways:
            names = outside(names, self._source, way.target)
        now: dict[str, State] = {}
        ready = []
        for name in names:
            if not self._belongs(name):
                self._outputs.setdefault(self._key(self._options.output_name(name)), name)
                continue
            path = self._source / name
            try:
                status = os.stat(path)
            except OSError:  # gone again, or a link to nowhere, which is taken and found to be one
                status = None
            now[name] = state = (status.st_size, status.st_mtime_ns) if status is not None else (-1, -1)
            if state == self._taken.get(name) or state != self._before.get(name) or path in self._busy:
                continue
            if not is_being_written(path):
                ready.append(name)
        self._before = now
        self._taken = {name: state for name, state in self._taken.items() if name in now}
        self._taken.update((name, now[name]) for name in ready)
        return ready

    def _cannot_read(self, error: ImageError) -> None:
        self._unreadable.setdefault(error.path, error.reason)

    def _key(self, output: str) -> str:
        return output.casefold() if self._fold else output

    def _item(self, name: str) -> Item:
        output = self._options.output_name(name)
        problem = self._problem(name, output)
        return Item(self._source / name, output, problem)

    def _problem(self, name: str, output: str) -> str:
        """What would cost somebody a file; a job of a full folder refuses the same before it begins."""
        key = self._key(output)
        other = self._outputs.get(key)
        if other == name:
            return ""
        if other is not None:
            return f"it would be written as {output}, as {other} is; rename one of them"
        for way in self._ways:
            target, record = way.target, way.record
            real = (target / output).parent.resolve()
            if real.is_relative_to(self._source.resolve()) and not real.is_relative_to(target.resolve()):
                return f"{target / output} leads back to the images to translate; originals are never overwritten"
            if not self._options.overwrite and not record.owns(output) and os.path.lexists(target / output):
                return f"{target / output} is there already, and no earlier job wrote it"
        self._outputs[key] = name
        return ""


def is_being_written(path: Path) -> bool:
    """Whether some process has the file open to write, as far as the system tells; False where it does not.

    Linux does, of the files of this user: it grants a lease on reading only where nobody writes.
    """
    try:
        import fcntl

        take, release, on_break = fcntl.F_SETLEASE, fcntl.F_UNLCK, fcntl.F_SETSIG
    except (ImportError, AttributeError):
        return False
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        # Whoever opens the file now breaks the lease, of which a signal tells: one that is ignored, unlike the usual.
        fcntl.fcntl(file, on_break, signal.SIGURG)
        fcntl.fcntl(file, take, fcntl.F_RDLCK)
    except BlockingIOError:
        return True
    except OSError:  # another user's file, or a file system without leases
        return False
    else:
        with suppress(OSError):
            fcntl.fcntl(file, take, release)
        return False
    finally:
        os.close(file)
