"""The function that Ray runs: translate a few images of a job, with the threads of a folder job.

It needs nothing of Ray. A task that died is run again with the same arguments, maybe on another machine: images whose
results exist are done then, which their state shows, since the job has noted what was there before.
"""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from i2i.errors import I2IError
from i2i.runtime.jobs.journal import is_new, size_of
from i2i.runtime.jobs.opening import opened
from i2i.runtime.jobs.options import Options
from i2i.runtime.jobs.places import JOURNAL, LocalResults, Results, State
from i2i.runtime.jobs.planning import JobTarget, PlannedImage
from i2i.runtime.jobs.remote.staging import staging
from i2i.runtime.jobs.workers import Outcome, WorkerPool
from i2i.runtime.model.model import Model


class ClusterError(I2IError):
    """A Ray cluster that cannot be reached, or a machine of it that cannot do the work."""


class Row(NamedTuple):
    """An image of a chunk."""

    source: Path | str  # for messages
    name: str  # within the folder of the job
    path: str  # in a remote file system
    state: State
    before: tuple[tuple[int, int] | None, ...]  # id and time of the file that has each result's name
    done: tuple[bool, ...]  # of each target: True if the result was made by an earlier job


class Made(NamedTuple):
    """An outcome of a chunk, and what its line in the journal states."""

    outcome: Outcome
    row: Row
    target: int
    size: int | None  # of the result, in bytes; None if there is none


class ShippedModel(NamedTuple):
    """A model that another machine opens: from its path if the same file is there, else from the content."""

    reopen: Callable[..., Model]
    arguments: tuple[Any, ...]
    content: bytes

    @classmethod
    def of(cls, model: Model) -> ShippedModel:
        """Return a model for shipping, bound as it is."""
        reopen, arguments = model.tiled(model.tile.how).__reduce__()
        return cls(reopen, arguments, model.executor.file.unchanged().read_bytes())

    def opened(self, folder: Path) -> Model:
        """Return the model, one thread an image; ``folder`` is for the file, if it is not on this machine."""
        (path, provider, _, _, *rest), *bound = self.arguments
        digest = hashlib.sha256(self.content).digest()
        if not path.is_file() or hashlib.sha256(path.read_bytes()).digest() != digest:
            path = folder / path.name
            path.write_bytes(self.content)
        return self.reopen((path, provider, 1, True, *rest), *bound)


class Shipped(NamedTuple):
    """Everything that a worker needs once for a job."""

    source: Path | str
    targets: tuple[Path | str, ...]
    options: Options
    models: tuple[ShippedModel, ...]


@dataclass
class ChunkNotes:
    """The journal of a chunk for one target: the job has named the results, and notes those that are done."""

    results: Results
    done_before: set[str]
    before: dict[str, tuple[int, int] | None]
    sizes: dict[str, int] = field(default_factory=dict)

    def is_done(self, name: str, source: State) -> bool:
        """True if the result was made by an earlier job, or by an attempt at this chunk whose worker died."""
        if name in self.done_before:
            return True
        result = self.results.latest(name)
        if result is None or not is_new(result, self.before[name]):
            return False
        self.sizes[name] = result.size
        return True

    def begin(self, name: str, source: State) -> None:
        """Do nothing: the job has noted it."""

    def done(self, name: str, source: State) -> None:
        """Keep the size of a result."""
        self.sizes[name] = size_of(self.results, name)


class Worker:
    """A process that translates chunks of one job."""

    def __init__(self, shipped: Shipped) -> None:
        self._stack = ExitStack()
        self._job = self._stack.enter_context(opened(shipped.source, shipped.targets))
        for target in self._job.results:
            if isinstance(target, LocalResults):
                _check_shared(target)
        folder = self._stack.enter_context(staging())
        self._models = []
        for number, model in enumerate(shipped.models):
            (place := folder / f"{number}").mkdir()
            self._models.append(model.opened(place))
        on_cpu = all(model.on_cpu for model in self._models)
        self._options = replace(shipped.options, workers=1) if on_cpu else shipped.options

    def close(self) -> None:
        """Delete what is on the disk."""
        self._stack.close()

    def translate(self, rows: Sequence[Row]) -> list[Made]:
        """Return the outcome of each image with each model."""
        name = self._options.output_name
        notes = [
            ChunkNotes(
                results,
                {name(row.name) for row in rows if row.done[number]},
                {name(row.name): row.before[number] for row in rows},
            )
            for number, results in enumerate(self._job.results)
        ]
        targets = [JobTarget(*each) for each in zip(self._models, self._job.results, notes, strict=True)]
        images = {image.source: (row, image) for row, image in zip(rows, self._images(rows), strict=True)}
        counted = dict.fromkeys(images, 0)  # the outcomes of an image come in the order of the targets
        made = []
        with WorkerPool(targets, self._options, self._job.transfers) as pool:
            for outcome in pool.outcomes((image for _, image in images.values()), len(rows)):
                row, image = images[outcome.source]
                number = counted[outcome.source]
                counted[outcome.source] += 1
                made.append(Made(outcome, row, number, notes[number].sizes.get(image.name)))
        return made

    def _images(self, rows: Iterable[Row]) -> Iterator[PlannedImage]:
        if not isinstance(self._job.source, Path):
            self._job.source.forget()
            for row in rows:
                self._job.source.know(row.name, row.path, row.state)
        return (self._job.image(row.name, self._options.output_name) for row in rows)


def _check_shared(target: LocalResults) -> None:
    """Raise ClusterError if a folder is not the one in which the job has its journal.

    A network file system may show a new file some seconds late.
    """
    for wait in (1, 2, 4, 0):
        if target.exists(JOURNAL):
            return
        time.sleep(wait)
    raise ClusterError(
        f"{target} on {platform.node()} is another folder than that of the job: mount it there under the same path, or "
        "use URLs"
    )


_current: tuple[str, Worker] | None = None


def translate(job: str, shipped: Callable[[], Shipped], rows: Sequence[Row]) -> list[Made]:
    """Translate a chunk of the job of that id, in a process that keeps its models for the next chunk."""
    global _current
    if _current is None or _current[0] != job:
        if _current is not None:
            _current[1].close()
        _current = job, Worker(shipped())
    return _current[1].translate(rows)
