"""Positions of tiles along one side of an image, and the weights that blend neighbours."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

STEP = 32
"""Tiles start at multiples of it, so that a network that halves five times samples them like the whole image."""
BLEND = 8
"""Pixels on each side of a border over which two tiles are blended."""


class Span(NamedTuple):
    """A tile along one side: the network's input (``seen``), the part of its result that is ``kept``, and the core."""

    seen: slice
    kept: slice
    core: slice

    @property
    def inside(self) -> slice:
        """The kept part, relative to the start of the input."""
        return slice(self.kept.start - self.seen.start, self.kept.stop - self.seen.start)

    def ramp(self) -> np.ndarray:
        """Return the blending weights of the kept part, float32; those of neighbours add up to 1 where they overlap."""
        at = np.arange(self.kept.start, self.kept.stop) + 0.5
        weights = np.ones(len(at))
        if self.kept.start < self.core.start:
            weights = np.minimum(weights, (at - self.kept.start) / (2 * BLEND))
        if self.kept.stop > self.core.stop:
            weights = np.minimum(weights, (self.kept.stop - at) / (2 * BLEND))
        return weights.astype(np.float32)


def cut(length: int, side: int, halo: int) -> list[Span]:
    """Cut ``length`` pixels into tiles of about ``side``, each with ``halo`` pixels beyond its core within the image.

    ``side`` and ``halo`` are multiples of STEP. The cores touch and have equal lengths, except the last.
    """
    if length <= side:
        whole = slice(0, length)
        return [Span(whole, whole, whole)]
    count = -(-length // (side - 2 * halo))
    core = -(-length // (count * STEP)) * STEP
    starts = list(range(0, length, core))
    if length - starts[-1] < 2 * STEP:  # too short for its own tile
        starts.pop()
    spans = []
    for start, stop in zip(starts, [*starts[1:], length], strict=True):
        seen, kept = (slice(max(0, start - over), min(length, stop + over)) for over in (halo, BLEND))
        spans.append(Span(seen, kept, slice(start, stop)))
    return spans
