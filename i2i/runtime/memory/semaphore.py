"""Limit on the memory that decoded images take together."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


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
