"""Gather single images from many threads into batches for one device."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import NamedTuple

import numpy as np

from i2i.runtime.errors import ProviderError

Run = Callable[[np.ndarray], np.ndarray]  # [n, h, w, c] to [n, h, w, c']
Shape = tuple[int, ...]

WAIT = 0.02
"""Seconds that an image waits for others of its size."""
TURNS = 4
"""Batches of other sizes after which an image, which lies decoded in memory, goes before all that wait for less."""


class Request(NamedTuple):
    """An image that waits, since when, and where its result is awaited."""

    image: np.ndarray
    since: float
    result: Future[np.ndarray]


class Batcher:
    """Run single images of equal size from many threads together, in batches on one device.

    Only images of exactly the same size give the same pixels in a batch as alone. Padding to a common size would change
    them: normalisation statistics would include the padding, the zeros at the borders of convolutions would move, and
    reflections would reach further in. For that reason the graph itself pads no further than to its multiple.

    Images of each size are gathered separately. Full batches run first. Another batch runs once its first image has
    waited for WAIT, once TURNS batches of other sizes ran before it, or if it is the largest when every caller waits
    and no more images can come. While one batch runs, the next are gathered.
    """

    def __init__(self, run: Run, size: Callable[[Shape], int], callers: int) -> None:
        """Start the thread of the device.

        Args:
            size: returns the number of images [h, w, c] of a shape that make a full batch.
            callers: number of calling threads.
        """
        self._run, self._size, self._callers = run, size, callers
        self._waiting: dict[Shape, deque[Request]] = {}
        self._passed: dict[Shape, int] = {}  # batches of other sizes that went before what waits of that
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="i2i-inference", daemon=True)
        self._thread.start()

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Translate [h, w, c] to [h, w, c']. Raises the error of the batch that contained it."""
        request = Request(image, time.monotonic(), Future())
        with self._changed:
            self._waiting.setdefault(image.shape, deque()).append(request)
            self._changed.notify()
        return request.result.result()

    def close(self) -> None:
        """End the thread once nothing waits."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _gather(self) -> list[Request]:
        """Return the next batch; an empty one at the end."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return []
                shape = self._due()
                if shape is not None:
                    return self._take(shape)
                oldest = min(requests[0].since for requests in self._waiting.values())
                self._changed.wait(max(0.0, oldest + WAIT - time.monotonic()))

    def _due(self) -> Shape | None:
        """Return the shape of the batch to run now, or None."""
        waiting = self._waiting
        late = [shape for shape in waiting if self._passed.get(shape, 0) >= TURNS]
        full = late or [shape for shape, requests in waiting.items() if len(requests) >= self._size(shape)]
        oldest = min(full or waiting, key=lambda shape: waiting[shape][0].since)
        if full or self._closed or time.monotonic() - waiting[oldest][0].since >= WAIT:
            return oldest
        if sum(map(len, waiting.values())) >= self._callers:
            return max(waiting, key=lambda shape: len(waiting[shape]))
        return None

    def _take(self, shape: Shape) -> list[Request]:
        requests = self._waiting[shape]
        taken = [requests.popleft() for _ in range(min(len(requests), self._size(shape)))]
        if not requests:
            del self._waiting[shape]
        self._passed = {other: self._passed.get(other, 0) + 1 for other in self._waiting if other != shape}
        return taken

    def _work(self) -> None:
        while True:
            try:
                requests = self._gather()
            except Exception as error:  # of ``size``: raised in all callers, or they would wait for ever
                self._refuse(error)
                continue
            if not requests:
                return
            self._serve(requests)

    def _refuse(self, error: Exception) -> None:
        with self._changed:
            refused = [request for requests in self._waiting.values() for request in requests]
            self._waiting.clear()
        for request in refused:
            request.result.set_exception(error)

    def _serve(self, requests: list[Request]) -> None:
        try:
            results = self._run(np.stack([request.image for request in requests]))
        except Exception as error:  # it is raised in each caller
            alone = len(requests) == 1 or isinstance(error, ProviderError)
            for request in requests:
                if alone:
                    request.result.set_exception(error)
                else:  # the memory may hold one where it does not hold all
                    self._serve([request])
            return
        for request, result in zip(requests, results, strict=True):
            request.result.set_result(result)
