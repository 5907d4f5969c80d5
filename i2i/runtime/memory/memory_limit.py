"""Limit on the memory that decoded images take together."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class MemoryLimit:
    """Limit the sum of the weights that are held at once to ``capacity``. Callers wait in the order of their calls."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._used = 0
        self._turn = threading.Lock()
        self._released = threading.Condition()

    @contextmanager
    def hold(self, weight: int) -> Iterator[None]:
        """Hold ``weight``, after waiting until it fits. A weight above the capacity is held alone."""
        weight = min(weight, self.capacity)
        with self._turn, self._released:  # a caller that waits is not overtaken
            self._released.wait_for(lambda: self._used + weight <= self.capacity)
            self._used += weight
        try:
            yield
        finally:
            with self._released:
                self._used -= weight
                self._released.notify_all()
