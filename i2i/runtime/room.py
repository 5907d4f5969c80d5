"""How many images of a size a device's memory has room for at once."""

from __future__ import annotations

from collections.abc import Callable

MOST = 16
"""Images at once, however much memory there is: beyond, a GPU only has more to wait for."""
UNKNOWN = 8
"""Images at once where the memory tells nothing."""

_SHARE = 0.7  # of what is free: sizes that come later leave gaps between them, and others use the device too


class Room:
    """Measured once, before the first batch, and corrected for good whenever the memory did not suffice after all."""

    def __init__(self, measure: Callable[[], tuple[float, int] | None]) -> None:
        """``measure``: the bytes that an inference takes for each pixel, and the bytes that are free for it; None where
        that is unknown."""
        self._measure: Callable[[], tuple[float, int] | None] | None = measure
        self._pixels: int | None = None  # that fit at once
        self._failed: int | None = None  # those that did not

    def batch(self, pixels: int, wish: int | None = None) -> int:
        """Images of so many pixels at once: ``wish``, or as many as the memory holds, up to MOST."""
        if wish is None and self._measure is not None:
            measured, self._measure = self._measure(), None
            if measured is not None and measured[0] > 0:
                self._pixels = int(_SHARE * measured[1] / measured[0])
        most = wish or (UNKNOWN if self._pixels is None else min(MOST, self._pixels // pixels))
        if self._failed is not None:  # even so many as were asked for
            most = min(most, self._failed // (2 * pixels))
        return max(1, most)

    def exceeded(self, images: int, pixels: int) -> None:
        """So many images of so many pixels were too much; from now on it is at most half of that."""
        self._failed = min(images * pixels, self._failed or images * pixels)
