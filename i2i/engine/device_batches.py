"""Batches on a GPU: the next one is copied there beside the step on the current one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from i2i.translators import Views


class DeviceBatches:
    """Iterate over batches on a CUDA device.

    A thread waits for each batch, pins its memory and starts its copy on a stream of its own, one batch ahead. The
    stream of the step waits for the copy, but neither the step's thread nor the GPU waits for the images otherwise.
    An error of ``batches`` is raised when its batch is asked for.

    Args:
        batches: batches on the CPU.
        move: function that returns a batch on the device, whose copies do not wait (``non_blocking``).
        device: the CUDA device.
    """

    def __init__(self, batches: Iterator[Views], move: Callable[[Views], Views], device: torch.device) -> None:
        self._batches, self._move, self._device = batches, move, device
        self._stream = torch.cuda.Stream(device)
        self._thread = ThreadPoolExecutor(1, "i2i-copy")
        self._next: Future[tuple[Views, torch.cuda.Event]] | None = None

    def __iter__(self) -> DeviceBatches:
        return self

    def __next__(self) -> Views:
        batch, copied = (self._next or self._thread.submit(self._copy)).result()
        self._next = self._thread.submit(self._copy)
        step = torch.cuda.current_stream(self._device)
        step.wait_event(copied)
        for view in batch.values():
            view.record_stream(step)  # its memory is not given to a later copy before the step is done with it
        return batch

    def _copy(self) -> tuple[Views, torch.cuda.Event]:
        """Return the next batch, whose copy has begun, and the event of its end."""
        pinned = {name: view.pin_memory() for name, view in next(self._batches).items()}
        with torch.cuda.stream(self._stream):
            return self._move(pinned), self._stream.record_event()

    def close(self) -> None:
        """Stop the thread, after the batch that it is waiting for."""
        self._thread.shutdown(wait=True, cancel_futures=True)
