"""How many images of a size a device's memory has room for at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from weakref import WeakSet

MOST = 16
"""Images at once, however much memory there is: beyond, a GPU only has more to wait for."""
UNKNOWN = 8
"""Images at once where the memory tells nothing."""

_SHARE = 0.7  # of what is free: sizes that come later leave gaps between them, and others use the device too
_ROOMS: WeakSet[Room] = WeakSet()  # that were asked: of all models that are at work on the device
_ONE = threading.Lock()  # what another model takes while one is measured would be taken for its own


class Room:
    """Measured once, before the first batch, and corrected for good whenever the memory did not suffice after all.

    A device keeps what a model once took for that model, so each has an equal part of the memory.
    """

    def __init__(self, measure: Callable[[], tuple[float, int] | None]) -> None:
        """``measure``: the bytes that an inference takes for each pixel, and the bytes that are free for it; None where
        that is unknown."""
        self._measure: Callable[[], tuple[float, int] | None] | None = measure
        self._pixels: float | None = None  # that fit at once, were the whole memory for this model
        self._failed: int | None = None  # those that did not

    def batch(self, pixels: int, wish: int | None = None) -> int:
        """Images of so many pixels at once: ``wish``, or as many as the memory holds, up to MOST."""
        fit = self._fit(wish is None)
        most = wish or (UNKNOWN if fit is None else min(MOST, fit // pixels))
        if self._failed is not None:  # even so many as were asked for
            most = min(most, self._failed // (2 * pixels))
        return max(1, most)

    def holds(self, pixels: int) -> bool:
        """Whether there is room for one image of so many pixels, as far as that is known."""
        fit = self._fit(True)
        return (fit is None or pixels <= fit) and (self._failed is None or pixels < self._failed)

    def exceeded(self, images: int, pixels: int) -> None:
        """So many images of so many pixels were too much; from now on it is at most half of that."""
        with _ONE:
            self._failed = min(images * pixels, self._failed or images * pixels)

    def _fit(self, measure: bool) -> int | None:
        """Pixels that fit at once; None if unknown."""
        with _ONE:
            _ROOMS.add(self)
            if measure and self._measure is not None:
                measured = self._measure()
                self._measure = None
                if measured is not None and measured[0] > 0:
                    self._pixels = _SHARE * measured[1] / measured[0]
            return None if self._pixels is None else int(self._pixels / len(_ROOMS))
