"""Decode, translate and encode frames in parallel, in order and with few of them in memory.

One thread decodes, which has FFmpeg's own threads below it. Workers convert to RGB, run the model and convert back:
on a CPU one a core, each with a whole frame (large frames are inferred one at a time on all cores); on a GPU so many
that a batch gathers while one runs. The calling thread encodes, which again has threads of its own.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from i2i.runtime.memory.batch_size import MOST
from i2i.runtime.memory.batcher import Batcher
from i2i.runtime.model.executor import LARGE
from i2i.runtime.model.model import Model
from i2i.runtime.system.host import cores
from i2i.runtime.video.frame.item import Item

_LIVE = 2  # workers on the frames of a camera: one infers, another converts


class TranslatedFrame(NamedTuple):
    """A frame that is ready to be written; source and result are RGB [h, w, 3], upright, or None without observers."""

    item: Item
    rendered: Any
    source: np.ndarray | None
    result: np.ndarray | None


Work = Callable[[Item, Callable[[np.ndarray], np.ndarray]], TranslatedFrame]  # the second runs the graph on [h, w, c]


class Pipeline:
    """Threads of one job; as a context manager it ends them.

    Attributes:
        model: the model, opened for these threads.
        side_by_side: True if a processor infers several frames in parallel; else one at a time on all cores, or a GPU.
    """

    def __init__(self, model: Model, pixels: int, batch: int | None = None, live: bool = False) -> None:
        """Start the threads.

        ``pixels`` of a frame decide if a CPU infers several frames in parallel. With ``live`` few frames are in work at
        a time: each comes out soon, which matters more than how many do.
        """
        model = model if live else model.for_many()
        self.model, self.side_by_side = model, model.on_cpu and model.side_by_side and pixels <= LARGE
        self._batcher: Batcher | None = None
        self._turn = threading.Lock()
        if model.on_cpu:
            workers = model.threads if self.side_by_side else 2  # of large frames one is inferred, another converted
            workers = min(workers, _LIVE) if live else workers
            self._infer = self._beside if self.side_by_side else self._alone
        else:
            workers = cores() + 2 * (batch or MOST)
            workers = min(workers, _LIVE) if live else workers  # for which the batcher waits
            self._infer = self._batcher = model.batcher(batch, workers)
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="i2i-frame")
        # The queue holds what is decoded or translated and not yet written: as many as work, and some to wait.
        waiting = 1 if live else workers + 2
        self._queue: queue.Queue[Future[TranslatedFrame] | Item | BaseException | None] = queue.Queue(waiting)
        self._stop = threading.Event()
        self._reader: threading.Thread | None = None

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        while self._reader is not None and self._reader.is_alive():
            try:
                self._queue.get(timeout=0.1)
            except queue.Empty:
                continue
        self._pool.shutdown(wait=True, cancel_futures=True)
        if self._batcher is not None:
            self._batcher.close()

    def run(self, items: Iterable[Item], work: Work) -> Iterator[TranslatedFrame | Item]:
        """Yield the items in order, frames after ``work``. Raises the errors of reading and of ``work``."""
        self._reader = threading.Thread(target=self._read, args=(items, work), name="i2i-decode", daemon=True)
        self._reader.start()
        while (entry := self._queue.get()) is not None:
            if isinstance(entry, BaseException):
                raise entry
            yield entry.result() if isinstance(entry, Future) else entry

    def _read(self, items: Iterable[Item], work: Work) -> None:
        try:
            for item in items:
                if self._stop.is_set():
                    return
                self._queue.put(item if item.frame is None else self._pool.submit(work, item, self._infer))
            self._queue.put(None)
        except BaseException as error:  # raised again in the thread that waits
            self._queue.put(error)

    def _beside(self, image: np.ndarray) -> np.ndarray:
        return self.model.run(image[None])[0]

    def _alone(self, image: np.ndarray) -> np.ndarray:
        with self._turn:
            return self.model.run(image[None])[0]
