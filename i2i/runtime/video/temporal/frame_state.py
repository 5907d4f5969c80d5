"""Values that frames leave for later frames while several are processed at once."""

from __future__ import annotations

import threading
from typing import Any


class FrameFailedError(RuntimeError):
    """An awaited frame failed; its own error gives the reason."""


class OrderedValues:
    """Values under the numbers of their frames, from any thread.

    A frame may wait for those before it alone. Since frames start in order, the awaited one is in work
    or done, however few workers there are.
    """

    def __init__(self, keep: int = 1) -> None:
        """Keep the newest ``keep`` values."""
        self._values: dict[int, Any] = {}
        self._keep = keep
        self._changed = threading.Condition()
        self._failed: int | None = None  # the first that will never come

    def put(self, number: int, value: Any) -> None:
        with self._changed:
            self._values[number] = value
            for old in [each for each in self._values if each <= number - self._keep]:
                del self._values[old]
            self._changed.notify_all()

    def get(self, number: int) -> Any:
        """Wait for a value. Raises FrameFailedError if it will never come, and KeyError if it was dropped."""
        with self._changed:
            self._changed.wait_for(lambda: self._never(number) or (self._values and max(self._values) >= number))
            if self._never(number):
                raise FrameFailedError("a frame before this one could not be translated")
            return self._values[number]

    def fail(self, number: int) -> None:
        """Raise FrameFailedError in all threads that wait for this value or a later one. Earlier ones still come."""
        with self._changed:
            self._failed = number if self._failed is None else min(number, self._failed)
            self._changed.notify_all()

    def _never(self, number: int) -> bool:
        return self._failed is not None and number >= self._failed
