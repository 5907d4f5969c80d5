"""Inferences of a generator: batches of z to images, in order, with few of them in memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from i2i.runtime import processing
from i2i.runtime.errors import ModelError, TooLargeError
from i2i.runtime.graphs import spec_check
from i2i.runtime.model.executor import LARGE
from i2i.runtime.providers.table import open_session
from i2i.runtime.session import Output
from i2i.spec import Spec

if TYPE_CHECKING:
    from concurrent.futures import Future

MOST = 16
"""Most images of one inference on a GPU."""


class Drawing:
    """The graph of a generator in a session: ``drawing(z, given)`` yields the image of each row of z.

    Any number of threads may share it.

    Attributes:
        provider, on_cpu: of the session.
        batch: rows of z in each inference, always as many: results of another batch size could differ in the last bit.
    """

    def __init__(self, path: Path, spec: Spec, provider: str, threads: int, allow_fallback: bool) -> None:
        """Open ``path``. Raises as ``Generator`` does."""
        assert spec.prior is not None
        height, width = self._size = spec.prior.size
        self._name, self._spec, self._threads, self._process = path.name, spec, threads, os.getpid()
        self._side_by_side = height * width <= LARGE  # the same way for any number of images
        self._session = open_session(
            path, provider, threads, side_by_side=self._side_by_side, precision=spec.precision,
            allow_fallback=allow_fallback,
        )  # fmt: skip
        spec_check.check(spec, self._session, path)
        self.provider, self.on_cpu = self._session.provider, self._session.on_cpu
        self.batch = 1 if self.on_cpu else max(1, min(MOST, MOST * LARGE // (height * width)))

    def __call__(self, z: np.ndarray, given: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield the image, uint8 or uint16 [h, w, c], of each row of z, float32 [n, length], in order.

        ``given`` are the graph's inputs behind z for one image, in their order: [1] or [1, k].

        Raises ModelError in a fork of the process that opened the file, and for results that are not finite.
        """
        parts = [z[at : at + self.batch] for at in range(0, len(z), self.batch)]
        workers = min(len(parts), self._threads) if self.on_cpu and self._side_by_side else 1
        for images in in_order(lambda part: self._run(part, given), parts, workers):
            for image in images:
                processing.check_finite(image)
                yield processing.stored(image, self._spec.target)

    def _run(self, z: np.ndarray, given: Sequence[np.ndarray]) -> np.ndarray:
        """Run the graph on at most ``batch`` rows, filled up to as many, so that its work is always the same."""
        if not self._session.survives_fork and self._process != os.getpid():
            raise ModelError(f"{self._name} was opened by another process, of which this one is a fork: open it here")
        try:
            return self._infer(z, given, self.batch)[: len(z)]
        except TooLargeError:
            if self.batch == 1:
                raise
            return np.concatenate([self._infer(row[None], given, 1) for row in z])

    def _infer(self, z: np.ndarray, given: Sequence[np.ndarray], batch: int) -> np.ndarray:
        spec = self._spec
        filled = np.concatenate([z, np.zeros((batch - len(z), z.shape[1]), np.float32)])
        values = [filled, *(np.repeat(row, batch, axis=0) for row in given)]
        feeds = {port.name: value for port, value in zip(self._session.inputs, values, strict=True)}
        if spec.io == "tensor":
            return processing.from_tensor(self._session.run(feeds)[0], spec.target)
        return self._session.run(feeds, Output((batch, *self._size, spec.target.channels), spec.dtype))[0]


def in_order(
    function: Callable[[np.ndarray], np.ndarray], parts: Sequence[np.ndarray], workers: int
) -> Iterator[np.ndarray]:
    """Yield the results of the parts in order, computed by ``workers`` threads that are at most as many parts ahead."""
    if workers == 1:
        yield from map(function, parts)
        return
    from concurrent.futures import ThreadPoolExecutor  # with logging, which one image does without

    waiting: deque[Future[np.ndarray]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="i2i-draw") as pool:
        try:
            for part in parts:
                waiting.append(pool.submit(function, part))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
