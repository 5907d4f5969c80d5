"""The threads of a folder job: decoding, inference and encoding side by side.

On a CPU each core takes a whole image (decode, infer on one thread, encode), which measures 5 to 15 % faster than one
inference on all cores; only large images are inferred one at a time on all of them. On a GPU one thread infers, in
batches of what the others have decoded.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from i2i.images import Image, ImageError
from i2i.runtime import files
from i2i.runtime.errors import ModelError
from i2i.runtime.files import Options, StoppedError
from i2i.runtime.gate import Batcher, Gate
from i2i.runtime.graph import LARGE
from i2i.runtime.machine import available_memory, cores
from i2i.runtime.plan import Item
from i2i.runtime.record import Record
from i2i.runtime.session import BATCH, Model

_BYTES_PER_PIXEL = 2048  # that an inference is assumed to take, when deciding how many run side by side


@dataclass(frozen=True)
class Outcome:
    """What became of one file: ``status`` is done, skipped or failed."""

    source: Path
    status: str
    note: str = ""  # why it failed, or what one should know of the result; it names the file


class Job:
    """Threads that carry one image each from file to file, as a context that ends them."""

    def __init__(self, model: Model, target: Path, options: Options, record: Record) -> None:
        if model.provider == "cpu" and not model.side_by_side:
            model = Model(model.path, "cpu", model.threads, side_by_side=True).toward(model.to)
        self.model, self.target, self.options, self.record = model, target, options, record
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._outcomes: queue.SimpleQueue[Outcome | BaseException | None] = queue.SimpleQueue()
        self._taking = threading.Lock()
        self._made: set[Path] = set()  # folders
        self._workers = model.threads if model.provider == "cpu" else cores()
        self._batcher: Batcher | None = None
        free = available_memory()
        self._gate = Gate(max(LARGE, (free // 4 if free is not None else 2**31) // _BYTES_PER_PIXEL))
        self._infer: Callable[[np.ndarray], np.ndarray] = self._infer_here
        if model.provider != "cpu":
            batch = options.batch or BATCH
            self._workers += 2 * batch  # enough that a batch gathers while one runs
            self._infer = self._batcher = Batcher(model.run, batch)

    def __enter__(self) -> Job:
        return self

    def __exit__(self, *_: object) -> None:
        """Lets each thread finish the image at hand, after an interrupt too, so that no file is left half-written."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        if self._batcher is not None:
            self._batcher.close()

    def outcomes(self, items: Sequence[Item]) -> Iterator[Outcome]:
        """What became of each item, as it comes to pass; in the end raises what stopped the job."""
        todo = iter(items)
        self._threads = [
            threading.Thread(target=self._work, args=(todo,), name=f"i2i-{number}", daemon=True)
            for number in range(min(self._workers, len(items)))
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
                self._stop.set()
            else:
                yield outcome
        if failure is not None:
            raise failure

    def _work(self, todo: Iterator[Item]) -> None:
        try:
            while not self._stop.is_set():
                with self._taking:
                    item = next(todo, None)
                if item is None:
                    break
                self._outcomes.put(self._translate(item))
        except BaseException as error:  # raised again in the thread that waits for outcomes
            self._outcomes.put(error)
        finally:
            self._outcomes.put(None)

    def _translate(self, item: Item) -> Outcome:
        try:
            status = item.source.stat()
            if not self.options.overwrite and self.record.is_done(item.name, status):
                return Outcome(item.source, "skipped")
            result = files.read_and_translate(item.source, self.model, self.options, self._infer)
            self._write(item, result, status)
        except StoppedError:
            raise
        except ImageError as error:
            return Outcome(item.source, "failed", str(error))
        except MemoryError:  # of this image; others may be smaller
            return Outcome(item.source, "failed", str(ImageError(item.source, files.NO_MEMORY)))
        except (ModelError, OSError) as error:
            files.stop_if_full(error, self.target)  # the record, a folder
            reason = error.strerror if isinstance(error, OSError) else None
            return Outcome(item.source, "failed", str(ImageError(item.source, reason or str(error))))
        note = f"the first of its {result.frames} frames or pages" if result.frames > 1 else ""
        return Outcome(item.source, "done", note and str(ImageError(item.source, note)))

    def _write(self, item: Item, result: Image, status: os.stat_result) -> None:
        output = self.target / item.name
        if output.parent not in self._made:
            output.parent.mkdir(parents=True, exist_ok=True)
            self._made.add(output.parent)
        self.record.begin(item.name)
        files.write(result, item.source, output, self.options)
        self.record.done(item.name, status)

    def _infer_here(self, image: np.ndarray) -> np.ndarray:
        size = image.shape[0] * image.shape[1]
        with self._gate.hold(size if size <= LARGE else self._gate.capacity):
            return self.model.run(image[None])[0]
