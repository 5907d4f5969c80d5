"""Inference from many threads: one image a core on a CPU, batches on a GPU, within the free memory.

On a CPU each core takes a whole image (decode, infer on one thread, encode), which measures 5 to 15 % faster than one
inference on all cores; only large images are inferred one at a time on all of them. On a GPU one thread infers, in
batches of what the others have decoded.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import numpy as np

from i2i.runtime.jobs.oversized import MEMORY_SHARE
from i2i.runtime.memory.batch_size import MOST
from i2i.runtime.memory.memory_limit import MemoryLimit
from i2i.runtime.model.executor import LARGE
from i2i.runtime.model.model import Model
from i2i.runtime.system.host import available_memory, cores

Infer = Callable[[np.ndarray], np.ndarray]
"""Runs the graph on one image [h, w, c]."""

_BYTES_PER_PIXEL = 2048  # assumed for an inference, to decide how many run in parallel


class ParallelInference:
    """Threads and memory that several models share.

    Attributes:
        workers: number of threads that read, infer and write one image each.
        decoded: limit on the bytes of decoded images.
    """

    def __init__(
        self,
        models: Sequence[Model],
        workers: int | None = None,
        batch: int | None = None,
        wait: float | None = None,
        observe: Callable[[int], object] | None = None,
        processes: int = 1,
    ) -> None:
        """Plan for models that were opened ``for_many``.

        Args:
            workers: number of threads; None: one a core, and more on a GPU, so that a batch gathers while one runs.
            batch: images of equal size per call of a GPU; None: as many as fit into its memory.
            wait: seconds that an image waits at most for others of its size on a GPU.
            observe: called with the number of images of each inference before it runs.
            processes: number of processes that share the machine's memory.
        """
        self._batch, self._wait, self._observe = batch, wait, observe
        free = available_memory()
        share = max(1, free // MEMORY_SHARE // processes) if free is not None else 2**31
        self.decoded, self._pixels = MemoryLimit(share), MemoryLimit(max(LARGE, share // _BYTES_PER_PIXEL))
        usual = max(model.threads if model.on_cpu else cores() for model in models)
        if not all(model.on_cpu for model in models):
            usual += 2 * (batch or MOST)
        self.workers = workers or usual
        self._turn = threading.Lock()

    def infer_with(self, model: Model, check: Callable[[], object] = lambda: None) -> Infer:
        """Return a function that runs the graph: in the calling thread on a CPU; on a GPU a Batcher, to be closed.

        On a CPU ``check`` is called when it is an image's turn, and raises to leave it out.
        """
        if not model.on_cpu:
            return model.batcher(self._batch, self.workers, self._wait, self._observe)

        def hold(size: int) -> AbstractContextManager[object]:
            return self._pixels.hold(size if size <= LARGE else self._pixels.capacity)

        return self._singly(model, hold, check)

    def one_at_a_time(self, model: Model, check: Callable[[], object]) -> Infer:
        """Return a function that runs the graph of a GPU in the calling thread, one image of all callers at a time."""
        return self._singly(model, lambda _: self._turn, check)

    def _singly(
        self, model: Model, hold: Callable[[int], AbstractContextManager[object]], check: Callable[[], object]
    ) -> Infer:
        """Return a function that runs the graph on one image while it holds what ``hold`` returns for its pixels."""

        def run(image: np.ndarray) -> np.ndarray:
            with hold(image.shape[0] * image.shape[1]):
                check()
                if self._observe is not None:
                    self._observe(1)
                return model.run(image[None])[0]

        return run

    def alone(self) -> AbstractContextManager[None]:
        """Return a context in which no inference on a CPU runs."""
        return self._pixels.hold(self._pixels.capacity)
