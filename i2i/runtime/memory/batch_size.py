"""Find how many images of a size fit into a device's memory at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from weakref import WeakSet

MOST = 16
"""Most images at once, however much memory there is: larger batches only make a GPU wait longer."""
UNKNOWN = 8
"""Images at once where the memory is unknown."""

_SHARE = 0.7  # of the free memory: later sizes leave gaps between them, and other processes use the device too
_IN_USE: WeakSet[BatchSize] = WeakSet()  # one for each model that is at work on the device
_LOCK = threading.Lock()  # memory that another model takes during a measurement would be counted as this one's


class BatchSize:
    """Batch size of one model on a device: measured once, before the first batch, and reduced whenever the memory did
    not suffice.

    A device keeps the memory that a model once took for that model, so each has an equal share.
    """

    def __init__(self, measure: Callable[[], tuple[float, int] | None]) -> None:
        """Use ``measure``, which returns the bytes that an inference takes per pixel and the free bytes, or None."""
        self._measure: Callable[[], tuple[float, int] | None] | None = measure
        self._pixels: float | None = None  # fit at once if the whole memory is this model's
        self._failed: int | None = None  # pixels that did not fit

    def batch(self, pixels: int, wish: int | None = None) -> int:
        """Return how many images of so many pixels fit at once: ``wish`` at most, or up to MOST."""
        fit = self._fit(wish is None)
        most = wish or (UNKNOWN if fit is None else min(MOST, fit // pixels))
        if self._failed is not None:  # limits ``wish`` as well
            most = min(most, self._failed // (2 * pixels))
        return max(1, most)

    def fits(self, pixels: int) -> bool:
        """True if one image of so many pixels fits, or if that is unknown."""
        fit = self._fit(True)
        return (fit is None or pixels <= fit) and (self._failed is None or pixels < self._failed)

    def exceeded(self, images: int, pixels: int) -> None:
        """Record that so many images of so many pixels were too much: from now on at most half of that fits."""
        with _LOCK:
            self._failed = min(images * pixels, self._failed or images * pixels)

    def _fit(self, measure: bool) -> int | None:
        """Return how many pixels fit at once; None if unknown."""
        with _LOCK:
            _IN_USE.add(self)
            if measure and self._measure is not None:
                measured = self._measure()
                self._measure = None
                if measured is not None and measured[0] > 0:
                    self._pixels = _SHARE * measured[1] / measured[0]
            return None if self._pixels is None else int(self._pixels / len(_IN_USE))
