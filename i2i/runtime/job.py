"""The threads of a folder job: decoding, inference and encoding side by side.

On a CPU each core takes a whole image (decode, infer on one thread, encode), which measures 5 to 15 % faster than one
inference on all cores; only large images are inferred one at a time on all of them. On a GPU one thread infers, in
batches of what the others have decoded.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from i2i.images import Image, ImageError, read_image
from i2i.runtime import files
from i2i.runtime.errors import ModelError
from i2i.runtime.files import Options, StoppedError
from i2i.runtime.gate import Batcher, Gate
from i2i.runtime.graph import LARGE
from i2i.runtime.machine import available_memory, cores
from i2i.runtime.plan import Item
from i2i.runtime.record import Record
from i2i.runtime.session import BATCH, Model

Infer = Callable[[np.ndarray], np.ndarray]

_BYTES_PER_PIXEL = 2048  # that an inference is assumed to take, when deciding how many run side by side


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
        self._outcomes: queue.SimpleQueue[Outcome | BaseException | None] = queue.SimpleQueue()
        self._taking = threading.Lock()
        self._made: set[Path] = set()  # folders
        self._batchers: list[Batcher] = []
        free = available_memory()
        self._gate = Gate(max(LARGE, (free // 4 if free is not None else 2**31) // _BYTES_PER_PIXEL))
        self.ways = [self._opened(way) for way in ways]
        self._infers = [self._infer_with(way.model) for way in self.ways]
        workers = max(way.model.threads if way.model.provider == "cpu" else cores() for way in self.ways)
        if self._batchers:
            workers += 2 * (options.batch or BATCH)  # enough that a batch gathers while one runs
        self._workers = options.workers or workers

    def _opened(self, way: Way) -> Way:
        """The same with a model of which several inferences run side by side."""
        model = way.model
        if model.provider == "cpu" and not model.side_by_side:
            model = Model(model.path, "cpu", model.threads, side_by_side=True, told=model.told).toward(model.to)
            model.tile = way.model.tile
        return replace(way, model=model)

    def _infer_with(self, model: Model) -> Infer:
        """[h, w, c] to the same through the graph: here if it runs on a CPU, else in batches with what others have."""
        if model.provider != "cpu":
            self._batchers.append(Batcher(model.run, self.options.batch or BATCH))
            return self._batchers[-1]

        def here(image: np.ndarray) -> np.ndarray:
            size = image.shape[0] * image.shape[1]
            with self._gate.hold(size if size <= LARGE else self._gate.capacity):
                return model.run(image[None])[0]

        return here

    def __enter__(self) -> Job:
        return self

    def __exit__(self, *_: object) -> None:
        """Lets each thread finish the image at hand, after an interrupt too, so that no file is left half-written."""
        self.stopped.set()
        for thread in self._threads:
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
                    self._outcomes.put(outcome)
        except BaseException as error:  # raised again in the thread that waits for outcomes
            self._outcomes.put(error)
        finally:
            self._outcomes.put(None)

    def _translate(self, item: Item) -> Iterator[Outcome]:
        """One outcome for each model; what there is to say of the file itself is said once."""
        try:
            if item.problem:
                raise ImageError(item.source, item.problem)
            status = item.source.stat()
            done = [not self.options.overwrite and way.record.is_done(item.name, status) for way in self.ways]
            image = None if all(done) else read_image(item.source, self.options.max_pixels, self.options.keep_metadata)
        except (ImageError, OSError, MemoryError) as error:
            yield Outcome(item.source, "failed", _reason(item.source, error))
            yield from (Outcome(item.source, "failed") for _ in self.ways[1:])
            return
        note = f"the first of its {image.frames} frames or pages" if image is not None and image.frames > 1 else ""
        for way, infer, skip in zip(self.ways, self._infers, done, strict=True):
            if image is None or skip:
                yield Outcome(item.source, "skipped")
                continue
            try:
                result = files.translate(image, way.model, self.options, infer)
                lost = self._write(way, item, result, status)
            except StoppedError:
                raise
            except (ImageError, ModelError, OSError, MemoryError) as error:
                files.stop_if_full(error, way.target)  # the record, a folder
                yield Outcome(item.source, "failed", _reason(item.source, error))
                continue
            notes = "; ".join(filter(None, (note, lost)))
            yield Outcome(item.source, "done", notes and str(ImageError(item.source, notes)))
            note = ""

    def _write(self, way: Way, item: Item, result: Image, status: os.stat_result) -> str:
        output = way.target / item.name
        if output.parent not in self._made:
            output.parent.mkdir(parents=True, exist_ok=True)
            self._made.add(output.parent)
        way.record.begin(item.name)
        lost = files.write(result, item.source, output, self.options)
        way.record.done(item.name, status)
        return lost


def _reason(source: Path, error: BaseException) -> str:
    """Why a file failed, in a line that names it."""
    if isinstance(error, ImageError):
        return str(error)
    if isinstance(error, MemoryError):  # of this image; others may be smaller
        return str(ImageError(source, files.NO_MEMORY))
    reason = error.strerror if isinstance(error, OSError) else None
    return str(ImageError(source, reason or str(error)))
