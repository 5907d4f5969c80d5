"""How much may be in memory at once, and how requests for one device are gathered."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager

import numpy as np

Run = Callable[[np.ndarray], np.ndarray]  # [n, h, w, c] to [n, h, w, c']


class Gate:
    """Lets work through while its weights together stay within ``capacity``, in the order of asking."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._used = 0
        self._turn = threading.Lock()
        self._room = threading.Condition()

    @contextmanager
    def hold(self, weight: int) -> Iterator[None]:
        """Waits for room. What weighs more than the capacity goes through alone."""
        weight = min(weight, self.capacity)
        with self._turn, self._room:  # whoever waits for room lets nobody overtake
            self._room.wait_for(lambda: self._used + weight <= self.capacity)
            self._used += weight
        try:
            yield
        finally:
            with self._room:
                self._used -= weight
                self._room.notify_all()


class Batcher:
    """Runs single images from many threads together on one device: those of one size that are waiting, up to ``batch``.

    Nobody waits for a batch to fill: while one runs, the next gathers.
    """

    def __init__(self, run: Run, batch: int) -> None:
        self._run, self._batch = run, batch
        self._waiting: deque[tuple[np.ndarray, Future[np.ndarray]]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="i2i-inference", daemon=True)
        self._thread.start()

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """[h, w, c] to [h, w, c'], or the error of the batch that it was in."""
        result: Future[np.ndarray] = Future()
        with self._changed:
            self._waiting.append((image, result))
            self._changed.notify()
        return result.result()

    def close(self) -> None:
        """Ends the thread once nothing waits."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _gather(self) -> list[tuple[np.ndarray, Future[np.ndarray]]]:
        """The oldest request and others of its size; empty at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if not self._waiting:
                return []
            shape = self._waiting[0][0].shape
            taken = [request for request in self._waiting if request[0].shape == shape][: self._batch]
            chosen = {id(request) for request in taken}
            self._waiting = deque(request for request in self._waiting if id(request) not in chosen)
            return taken

    def _work(self) -> None:
        while requests := self._gather():
            self._serve(requests)

    def _serve(self, requests: list[tuple[np.ndarray, Future[np.ndarray]]]) -> None:
        try:
            results = self._run(np.stack([image for image, _ in requests]))
        except Exception as error:  # it belongs to those who asked
            if len(requests) == 1:
                requests[0][1].set_exception(error)
            else:  # the memory may hold one where it does not hold all
                for request in requests:
                    self._serve([request])
            return
        for (_, future), result in zip(requests, results, strict=True):
            future.set_result(result)
