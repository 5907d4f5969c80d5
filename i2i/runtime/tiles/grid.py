"""Positions of tiles along one side of an image, and blending of neighbours."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

STEP = 32
"""Tiles begin at multiples of it, so that a network which halves five times divides them as it divides the image."""
BLEND = 8
"""Pixels on both sides of a border between two tiles over which one turns into the other."""


class Span(NamedTuple):
    """A tile along one side: what the network sees, what of it is kept, and the part that is this tile's own."""

    seen: slice
    kept: slice
    core: slice

    @property
    def inside(self) -> slice:
        """The kept part, relative to the tile."""
        return slice(self.kept.start - self.seen.start, self.kept.stop - self.seen.start)

    def ramp(self) -> np.ndarray:
        """Weights of what is kept, float32; those of neighbours add up to 1 where both are."""
        at = np.arange(self.kept.start, self.kept.stop) + 0.5
        weights = np.ones(len(at))
        if self.kept.start < self.core.start:
            weights = np.minimum(weights, (at - self.kept.start) / (2 * BLEND))
        if self.kept.stop > self.core.stop:
            weights = np.minimum(weights, (self.kept.stop - at) / (2 * BLEND))
        return weights.astype(np.float32)


def cut(length: int, side: int, halo: int) -> list[Span]:
    """Tiles of about ``side`` pixels, of which each sees ``halo`` pixels beyond its core where there is image.

    ``side`` and ``halo`` are multiples of STEP; the cores touch, and are alike but for the last.
    """
    if length <= side:
        whole = slice(0, length)
        return [Span(whole, whole, whole)]
    count = -(-length // (side - 2 * halo))
    core = -(-length // (count * STEP)) * STEP
    starts = list(range(0, length, core))
    if length - starts[-1] < 2 * STEP:  # too little for a tile of its own
        starts.pop()
    spans = []
    for start, stop in zip(starts, [*starts[1:], length], strict=True):
        seen, kept = (slice(max(0, start - over), min(length, stop + over)) for over in (halo, BLEND))
        spans.append(Span(seen, kept, slice(start, stop)))
    return spans
