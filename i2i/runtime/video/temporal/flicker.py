"""Measure flicker: changes from frame to frame that the source does not have.

The warping error of Lai et al., Learning Blind Video Temporal Consistency (arXiv:1808.00449, eq. 10): the mean
difference between a frame and the frame before as it has moved, over what is visible in both. It is taken of the result
and, as the yardstick, of the source, under one flow and over the same pixels. Unlike there, differences are absolute
ones in levels, and visible is what the source itself shows unchanged (its neighbourhood within ``CHANGE`` levels along
the motion): so neither its own motion nor what the flow misses is counted, and its noise is in both figures alike.
"""

from __future__ import annotations

import cv2
import numpy as np

from i2i.runtime.video.temporal.optical_flow import Motion, MotionInput, carried

EVERY = 16
"""One pair of frames in so many is measured: at 720p that takes a core 1 to 2 ms a frame."""
SIDE = 240
"""Pixels of the shorter side of the copies on which it is measured."""
CHANGE = 4.0  # levels of 255
_LEAST = 0.02  # least share of unchanged pixels in a pair of frames; below it, the pair is a cut


class Flicker:
    """Looks at one pair of successive frames in ``every``, as an observer of a job; 1: at each frame and the next.

    Attributes:
        pairs: how many were measured.
    """

    def __init__(self, every: int = EVERY) -> None:
        self.pairs = 0
        self._every = every
        self._before: tuple[MotionInput, np.ndarray] | None = None
        self._sums = np.zeros(3)  # of the result's differences, the source's, and the pixels

    def looks(self, number: int) -> bool:
        """True if the frame of that number, from 0, is measured."""
        return self._every == 1 or number % self._every < 2

    def __call__(self, source: np.ndarray, result: np.ndarray, second: float) -> None:
        """Take the next frame to measure: RGB [h, w, 3] of uint8 or uint16, the result of any size."""
        seen = MotionInput.of(source, SIDE)
        height, width = seen.luma.shape
        shown = result if result.dtype == np.uint8 else (result >> 8).astype(np.uint8)
        if shown.shape[:2] != (height, width):
            shown = cv2.resize(shown, (width, height), interpolation=cv2.INTER_AREA)
        if self._before is not None:
            self._measure(seen, shown, *self._before)
        self._before = (seen, shown) if self._every == 1 or self._before is None else None

    @property
    def of_result(self) -> float | None:
        """Flicker of the result in levels of 255; None if no pair could be measured."""
        return float(self._sums[0] / self._sums[2]) if self.pairs else None

    @property
    def of_source(self) -> float | None:
        return float(self._sums[1] / self._sums[2]) if self.pairs else None

    def _measure(
        self, seen: MotionInput, shown: np.ndarray, seen_before: MotionInput, shown_before: np.ndarray
    ) -> None:
        if seen.luma.shape != seen_before.luma.shape:
            return
        motion = Motion.between(seen, seen_before)
        same = motion.change < CHANGE
        if same.mean() < _LEAST:
            return
        self.pairs += 1
        self._sums += (
            cv2.absdiff(shown, carried(shown_before, motion.flow, cv2.INTER_LINEAR))[same].mean(axis=1).sum(),
            cv2.absdiff(seen.colour, carried(seen_before.colour, motion.flow, cv2.INTER_LINEAR))[same]
            .mean(axis=1)
            .sum(),
            same.sum(),
        )
