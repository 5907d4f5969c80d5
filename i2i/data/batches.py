"""An endless sequence of batches that can start at any step."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from i2i.data.dataset import Dataset
from i2i.data.transforms import View


class Batches:
    """Iterate over a dataset's samples, [n, ...], where n is this process's share of the global batch.

    Step s takes positions s * batch to (s + 1) * batch of the dataset's sequence, split over the processes by rank.
    What a step sees does not depend on the number of workers or processes, or on where the sequence started. Worker
    threads prepare the next batches (decoding and resizing release Python's lock); with ``workers=0`` nothing is
    prepared ahead. An image that can no longer be read raises its ImageError from ``next``.
    """

    def __init__(
        self,
        dataset: Dataset,
        view: View,
        batch: int,
        seed: int = 0,
        start_step: int = 0,
        rank: int = 0,
        world: int = 1,
        workers: int = 2,
    ) -> None:
        if batch < 1 or batch % world or not 0 <= rank < world:
            raise ValueError(f"a batch of {batch} cannot be split over {world} processes (this is rank {rank})")
        self._dataset, self._view, self._seed = dataset, view, seed
        self._batch, self._share, self._rank = batch, batch // world, rank
        self._step = start_step  # the next step to prepare
        self._pool = ThreadPoolExecutor(workers, "i2i-data") if workers else None
        self._ahead = 1 + -(-2 * workers // self._share) if workers else 0
        self._waiting: deque[list[Future[dict[str, Tensor]]]] = deque()

    def __iter__(self) -> Batches:
        return self

    def __next__(self) -> dict[str, Tensor]:
        if self._pool is None:
            samples = [self._sample(position) for position in self._positions()]
        else:
            while len(self._waiting) <= self._ahead:
                self._waiting.append([self._pool.submit(self._sample, position) for position in self._positions()])
            samples = [future.result() for future in self._waiting.popleft()]
        if len(samples) == 1:
            return {name: image[None] for name, image in samples[0].items()}  # without a copy
        return {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}

    def close(self) -> None:
        """Stop the threads and discard the batches that they were preparing."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        self._waiting.clear()

    def __enter__(self) -> Batches:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _positions(self) -> range:
        first = self._step * self._batch + self._rank * self._share
        self._step += 1
        return range(first, first + self._share)

    def _sample(self, position: int) -> dict[str, Tensor]:
        return self._dataset.sample(position, self._seed, self._view)
