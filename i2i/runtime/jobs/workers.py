"""The threads of a folder job: decoding, inference and encoding side by side.

On a CPU each core takes a whole image (decode, infer on one thread, encode), which measures 5 to 15 % faster than one
inference on all cores; only large images are inferred one at a time on all of them. On a GPU one thread infers, in
batches of what the others have decoded.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

import numpy as np

from i2i.images import Image, ImageError, read_header, read_image
from i2i.runtime.errors import ModelError
from i2i.runtime.jobs import image_file
from i2i.runtime.jobs.image_file import StoppedError
from i2i.runtime.jobs.journal import Record
from i2i.runtime.jobs.large import SHARE, decoded, plan
from i2i.runtime.jobs.options import Options
from i2i.runtime.jobs.planning import Item
from i2i.runtime.memory.batch_size import MOST
from i2i.runtime.memory.batcher import Batcher
from i2i.runtime.memory.semaphore import Gate
from i2i.runtime.model.executor import LARGE
from i2i.runtime.model.model import Model
from i2i.runtime.system.host import available_memory, cores
from i2i.text import os_error

if TYPE_CHECKING:
    from i2i.runtime.jobs.strips import Large

Infer = Callable[[np.ndarray], np.ndarray]

_BYTES_PER_PIXEL = 2048  # that an inference is assumed to take, when deciding how many run side by side
_UNTOLD = 100  # outcomes that may wait to be told, before the work waits for that


@dataclass(frozen=True)
class Outcome:
    """What became of one file: ``status`` is done, skipped or failed."""

    source: Path
    status: str
    note: str = ""  # why it failed, or what one should know of the result; it names the file


@dataclass
class Way:
    """One model, the folder of its results, and the record of that."""

    model: Model
    target: Path
    record: Record


class Job:
    """Threads that carry one image each from file to files, as a context that ends them."""

    def __init__(self, ways: Sequence[Way], options: Options) -> None:
        self.options = options
        self.stopped = threading.Event()  # set when no more items are to be taken
        self._threads: list[threading.Thread] = []
        # Simple ones, which an interrupt leaves as they are: a bounded queue may stay locked.
        self._outcomes: SimpleQueue[Outcome | BaseException | None] = SimpleQueue()
        self._places: SimpleQueue[None] = SimpleQueue()  # one for each outcome that may still be put there
        for _ in range(_UNTOLD):
            self._places.put(None)
        self._taking = threading.Lock()
        self._made: set[Path] = set()  # folders
        self._batchers: list[Batcher] = []
        free = available_memory()
        share = max(1, free // SHARE) if free is not None else 2**31
        self._decoded, self._gate = Gate(share), Gate(max(LARGE, share // _BYTES_PER_PIXEL))
        self.ways = [replace(way, model=way.model.for_many()) for way in ways]
        workers = max(way.model.threads if way.model.on_processor else cores() for way in self.ways)
        if not all(way.model.on_processor for way in self.ways):
            workers += 2 * (options.batch or MOST)  # enough that a batch gathers while one runs
        self._workers = options.workers or workers
        self._infers = [self._infer_with(way.model) for way in self.ways]

    def _infer_with(self, model: Model) -> Infer:
        """[h, w, c] to the same through the graph: here if it runs on the processor, else in batches with what others
        have."""
        if not model.on_processor:
            self._batchers.append(model.batcher(self.options.batch, self._workers))
            return self._batchers[-1]

        def here(image: np.ndarray) -> np.ndarray:
            size = image.shape[0] * image.shape[1]
            with self._gate.hold(size if size <= LARGE else self._gate.capacity):
                return model.run(image[None])[0]

        return here

    def __enter__(self) -> Job:
        return self

    def __exit__(self, *exc: object) -> None:
        """Lets each thread finish the image at hand, after an interrupt too, so that no file is left half-written."""
        self.stopped.set()
        for _ in self._threads:
            self._places.put(None)  # nobody takes outcomes any more, and each thread may wait to be rid of one
        for thread in self._threads:
            if thread.is_alive():
                thread.join()
        for batcher in self._batchers:
            batcher.close()

    def outcomes(self, items: Iterable[Item], count: int) -> Iterator[Outcome]:
        """What became of each item with each model, as it comes to pass; in the end raises what stopped the job.

        ``count`` is of the items that may be in work at once.
        """
        todo = iter(items)
        self._threads = [
            threading.Thread(target=self._work, args=(todo,), name=f"i2i-{number}", daemon=True)
            for number in range(min(self._workers, count))
        ]
        for thread in self._threads:
            thread.start()
        running = len(self._threads)
        failure: BaseException | None = None
        while running:
            outcome = self._outcomes.get()
            self._places.put(None)
            if outcome is None:
                running -= 1
            elif isinstance(outcome, BaseException):
                failure = failure or outcome
                self.stopped.set()
            else:
                yield outcome
        if failure is not None:
            raise failure

    def _work(self, todo: Iterator[Item]) -> None:
        try:
            while not self.stopped.is_set():
                with self._taking:
                    item = next(todo, None)
                if item is None:
                    break
                for outcome in self._translate(item):
                    self._put(outcome)
        except BaseException as error:  # raised again in the thread that waits for outcomes
            self._put(error)
        finally:
            self._put(None)

    def _put(self, outcome: Outcome | BaseException | None) -> None:
        """Waits for a place, unless the work is to end."""
        if not self.stopped.is_set():
            self._places.get()
        self._outcomes.put(outcome)

    def _translate(self, item: Item) -> Iterator[Outcome]:
        """One outcome for each model; what there is to say of the file itself is said once."""
        try:
            if item.problem:
                raise ImageError(item.source, item.problem)
            status = item.source.stat()
            done = [way.record.is_done(item.name, status) for way in self.ways]
            header = None if all(done) else read_header(item.source, self.options.max_pixels)
            large = [
                None if skip else plan(item.source, way.target / item.name, way.model, self.options, header)
                for way, skip in zip(self.ways, done, strict=True)
            ]
        except (ImageError, OSError, MemoryError) as error:
            yield from self._failed(item, error)
            return
        whole = any(not (skip or strips) for skip, strips in zip(done, large, strict=True))
        # Many threads work on small images, that batches gather; as many large ones would fill the memory.
        scale = max(way.model.spec.scale for way in self.ways)
        held = self._decoded.hold(decoded(header) * scale**2) if header is not None and whole else nullcontext()
        with held:
            try:
                image = read_image(item.source, self.options.max_pixels, self.options.keep_metadata) if whole else None
            except (ImageError, OSError, MemoryError) as error:
                yield from self._failed(item, error)
                return
            yield from self._through_all(item, status, done, large, image)

    def _through_all(
        self, item: Item, status: os.stat_result, done: list[bool], large: list[Large | None], image: Image | None
    ) -> Iterator[Outcome]:
        """The outcome of each model that has not ``done`` it, of strips or of the image."""
        frames = max([strips.reader.header.frames for strips in large if strips] + [image.frames if image else 1])
        note = f"the first of its {frames} frames or pages" if frames > 1 else ""
        for way, infer, skip, strips in zip(self.ways, self._infers, done, large, strict=True):
            if skip:
                yield Outcome(item.source, "skipped")
                continue
            try:
                if strips is not None:
                    with self._gate.hold(self._gate.capacity):
                        lost = self._write(way, item, status, partial(strips.translate, options=self.options))
                else:
                    assert image is not None
                    result = image_file.translate(image, way.model, self.options, infer)
                    write = partial(image_file.write, result, item.source, options=self.options)
                    lost = self._write(way, item, status, write)
            except StoppedError:
                raise
            except (ImageError, ModelError, OSError, MemoryError) as error:
                image_file.stop_if_full(error, way.target)  # the record, a folder
                yield Outcome(item.source, "failed", _reason(item.source, error))
                continue
            notes = "; ".join(filter(None, (note, lost)))
            yield Outcome(item.source, "done", notes and str(ImageError(item.source, notes)))
            note = ""

    def _failed(self, item: Item, error: BaseException) -> Iterator[Outcome]:
        """Of a file that no model gets."""
        yield Outcome(item.source, "failed", _reason(item.source, error))
        yield from (Outcome(item.source, "failed") for _ in self.ways[1:])

    def _write(self, way: Way, item: Item, status: os.stat_result, write: Callable[[Path], str]) -> str:
        """Has the output written, and the record know of it; returns what ``write`` says of it."""
        output = way.target / item.name
        if output.parent not in self._made:
            output.parent.mkdir(parents=True, exist_ok=True)
            self._made.add(output.parent)
        way.record.begin(item.name, status)
        lost = write(output)
        way.record.done(item.name, status)
        return lost


def _reason(source: Path, error: BaseException) -> str:
    """Why a file failed, in a line that names it."""
    if isinstance(error, ImageError):
        return str(error)
    if isinstance(error, MemoryError):  # of this image; others may be smaller
        return str(ImageError(source, image_file.NO_MEMORY))
    if not isinstance(error, OSError):
        return str(ImageError(source, str(error)))
    if error.filename in (None, str(source)):
        return str(ImageError(source, error.strerror or str(error)))
    return str(ImageError(source, os_error(error)))
