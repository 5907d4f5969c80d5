"""Watch a folder that is being filled: yield its images as they arrive, once they are complete."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from i2i.images import name_images
from i2i.runtime.jobs.options import Options
from i2i.runtime.jobs.places import State as FileState
from i2i.runtime.jobs.planning import FolderTarget, PlannedImage, ignores_case, without_results
from i2i.runtime.jobs.workers import Outcome

State = tuple[int, int]  # of a file: its size, and when it changed
GONE: State = (-1, -1)  # of a file that was deleted, or of a broken link


def is_being_written(path: Path) -> bool:
    """True if a process has the file open for writing; False if not, or if the system does not report it.

    Linux reports it for files of this user: it grants a read lease only while no process writes.
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
        # A process that opens the file now breaks the lease, which is signalled by one that is ignored by default.
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


@dataclass(frozen=True)
class Watch:
    """Settings of watching a folder.

    A file is taken at the second scan that finds it unchanged and not open for writing. That does not prove it
    complete, as its writer may pause: a file that fails is tried again after ``patience``, and only then has failed.
    """

    interval: float = 0.25  # seconds between two scans
    patience: float = 2.0  # seconds that a file which failed has to change, before its failure counts
    is_being_written: Callable[[Path], bool] = is_being_written


@dataclass
class _Doubt:
    """A file that has failed once, and may be incomplete."""

    state: State
    due: float  # when it is tried again
    outcomes: list[Outcome] = field(default_factory=list)  # which do not count yet
    tried_again: bool = False


class FolderWatcher:
    """The images of a folder, each once, and again when it has changed."""

    def __init__(
        self,
        source: Path,
        targets: Sequence[FolderTarget],
        options: Options,
        includes: Callable[[str], bool],
        watch: Watch | None = None,
        backlog: Iterable[str] = (),
        unreadable: Iterable[Path] = (),
    ) -> None:
        """Watch ``source`` for a job.

        Args:
            includes: returns True for the relative name of a file that belongs to this job.
            backlog: names of the files that exist before the job begins.
            unreadable: folders that were already reported as failed.
        """
        self._source, self._targets, self._options, self._includes = source, targets, options, includes
        self._watch = watch or Watch()
        self._last: dict[str, State] = {}  # at the last scan
        self._taken: dict[str, State] = {}
        self._in_work: dict[Path, int] = {}  # number of outcomes still to come
        self._doubts: dict[str, _Doubt] = {}
        self._refused: set[str] = set()  # names that would replace another file
        self._failures = Counter({path: len(targets) for path in unreadable})  # reported
        self._retracted: list[Outcome] = []  # to be reported
        self._backlog = set(backlog)  # files without an outcome so far
        # Name of a result -> that of its source, in other shards too; "" if the source is gone.
        self._outputs: dict[str, str] = {}
        self._done: set[str] = set()
        self._unreadable = set(self._failures)
        self._folds_case = any(ignores_case(target.folder) for target in targets)

    def images(self, stop: threading.Event) -> Iterator[PlannedImage]:
        """Wait for images and yield them until ``stop`` is set. Scans take at most a fifth of the time."""
        while not stop.is_set():
            start = time.monotonic()
            unreadable: dict[Path, str] = {}
            names = self.scan(unreadable)
            for folder in unreadable.keys() - self._unreadable:
                yield PlannedImage(folder, "", unreadable[folder])
            for folder in self._unreadable - unreadable.keys():
                note = f"{folder}: the folder can be read now"
                self._retracted += [Outcome(folder, "retracted", note)] * self._failures.pop(folder, 0)
            self._unreadable = set(unreadable)
            for name in names:
                yield self._start(name)
            stop.wait(max(self._watch.interval, 4 * (time.monotonic() - start)))

    def settle(self, outcome: Outcome) -> Iterator[Outcome]:
        """Take an outcome of the job, and yield the outcomes that count now.

        A first failure does not count, since the file may be incomplete. A later outcome of a file that was reported as
        failed is preceded by one with the status ``retracted``, which takes the failure back.
        """
        while self._retracted:
            yield self._retracted.pop()
        source = Path(outcome.source)
        left = self._in_work.get(source, 0) - 1
        if left < 0:  # an unreadable folder
            self._failures[source] += 1
            yield outcome
            return
        name = source.relative_to(self._source).as_posix()
        if outcome.status != "failed":
            self._done.add(name)  # before it is out of work, or a scan in between would take the result for another's
        if left > 0:
            self._in_work[source] = left
        else:
            del self._in_work[source]
            self._backlog.discard(name)
        yield from self._counting(name, outcome)
        if left == 0 and name not in self._doubts:
            self._forget(name)

    def _counting(self, name: str, outcome: Outcome) -> Iterator[Outcome]:
        """Yield the outcomes that count after this one."""
        source = Path(outcome.source)
        doubt = self._doubts.get(name)
        if outcome.status == "failed" and name not in self._refused and not (doubt and doubt.tried_again):
            if doubt is None:
                due = time.monotonic() + self._watch.patience
                doubt = self._doubts[name] = _Doubt(self._taken.get(name, GONE), due)
            doubt.outcomes.append(outcome)
            return
        if outcome.status == "skipped" and doubt:  # counted when it was tried first
            return
        if self._failures[source]:
            self._failures[source] -= 1
            note = "" if outcome.status == "failed" else f"{source}: it failed before and is translated now"
            yield Outcome(source, "retracted", note)
        if outcome.status == "failed":
            self._failures[source] += 1
        yield outcome

    def _forget(self, name: str) -> None:
        """Free the memory that the journals need for an image that may be tried again."""
        for target in self._targets:
            target.journal.forget(self._options.output_name(name))

    def unsettled(self) -> Iterator[Outcome]:
        """Yield, at the end of the job, the outcomes of files that may have been incomplete."""
        yield from self._retracted
        for doubt in list(self._doubts.values()):  # a thread may still scan
            yield from () if doubt.tried_again else doubt.outcomes

    def caught_up(self) -> bool:
        """True if every file that existed at the beginning has its outcomes, or is gone."""
        return not any(os.path.lexists(self._source / name) for name in self._backlog)

    def scan(self, unreadable: dict[Path, str]) -> list[str]:
        """Return the relative names of the images to take now; add folders that cannot be read, with the reason."""
        names = name_images(self._source, lambda error: unreadable.update({error.path: error.reason}))
        for target in self._targets:
            names = without_results(names, self._source, target.folder)
        self._release_outputs(set(names))
        now: dict[str, State] = {}
        ready = []
        for name in names:
            if not self._includes(name):
                self._outputs.setdefault(self._key(self._options.output_name(name)), name)
                continue
            path = self._source / name
            try:
                status = os.stat(path)
            except OSError:  # deleted since, or a broken link, which fails when it is taken
                status = None
            now[name] = state = (status.st_size, status.st_mtime_ns) if status is not None else GONE
            if state != self._last.get(name) or path in self._in_work:
                continue
            if state == self._taken.get(name) and not self._is_due(name):
                continue
            if not self._watch.is_being_written(path):
                ready.append(name)
        self._last = now
        self._taken = {name: state for name, state in self._taken.items() if name in now}
        self._taken.update((name, now[name]) for name in ready)
        self._refused &= now.keys()
        for name in list(self._doubts):
            if name not in now:
                del self._doubts[name]
                self._forget(name)
        return ready

    def _release_outputs(self, present: set[str]) -> None:
        """Free the result names of sources that are gone for other sources, once they are out of work."""
        for output, name in list(self._outputs.items()):
            if name and name not in present and self._source / name not in self._in_work:
                del self._outputs[output]
                if name in self._done:
                    self._done.discard(name)
                    self._outputs[output] = ""  # written by this job, so it may be replaced

    def _is_due(self, name: str) -> bool:
        """True if a file that was taken is to be taken again though it has not changed."""
        if name in self._refused:  # until the file in its way is gone
            return not self._problem(name, self._options.output_name(name))
        doubt = self._doubts.get(name)
        return doubt is not None and not doubt.tried_again and time.monotonic() >= doubt.due

    def _start(self, name: str) -> PlannedImage:
        output, source = self._options.output_name(name), self._source / name
        doubt = self._doubts.get(name)
        if doubt is not None and doubt.state == self._taken.get(name):
            doubt.tried_again = True
        else:
            self._doubts.pop(name, None)
        problem = self._problem(name, output)
        (self._refused.add if problem else self._refused.discard)(name)
        self._in_work[source] = len(self._targets)
        for target in self._targets:  # so that those models are not run again if another one fails
            target.journal.keep(output)
        return PlannedImage(source, output, problem)

    def _key(self, output: str) -> str:
        return output.casefold() if self._folds_case else output

    def _problem(self, name: str, output: str) -> str:
        """Return the reason if the result would replace a file that must stay, else "".

        A job that does not watch checks the same before it begins.
        """
        key = self._key(output)
        other = self._outputs.get(key)
        if other == name:
            return ""
        if other:
            return f"it would be written as {output}, as {other} is; rename one of them"
        for target in self._targets:
            folder = target.folder
            real = (folder / output).parent.resolve()
            if real.is_relative_to(self._source.resolve()) and not real.is_relative_to(folder.resolve()):
                return f"{folder / output} leads back to the images to translate; originals are never overwritten"
            ours = self._options.overwrite or other == "" or target.journal.owns(output)
            if not ours and target.results.exists(output):
                return f"{folder / output} is there already, and no earlier job wrote it"
            if self._options.overwrite or other == "":
                continue
            made = target.journal.other_folder(output, lambda: FileState.of(os.stat(self._source / name)))
            if made is not None:
                return f"it would replace {folder / output}, the result of an image in {made}"
        self._outputs[key] = name
        return ""
