"""Optical flow: the position of each pixel in the frame before, and where that is unknown.

The flow is OpenCV's dense inverse search (Kroeger et al., Fast Optical Flow using Dense Inverse Search,
arXiv:1603.03590). Still regions are detected separately, since the flow is mostly noise there.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import cv2
import numpy as np

SIDE = 360
"""Pixels of the shorter side of the copy on which the motion of larger pictures is found."""

_NOISE = 1.0  # levels by which a motion has to explain a place better than none does
_own = threading.local()


@dataclass(frozen=True)
class MotionInput:
    """The form of a picture on which motion is found: RGB and luma, uint8, [h, w, 3] and [h, w]."""

    colour: np.ndarray
    luma: np.ndarray

    @classmethod
    def of(cls, picture: np.ndarray, side: int = SIDE) -> MotionInput:
        """Convert RGB [h, w, 3] of uint8 or uint16."""
        if picture.dtype != np.uint8:
            picture = (picture >> 8).astype(np.uint8)
        height, width = picture.shape[:2]
        share = side / min(height, width)
        if share < 1:
            size = (max(1, round(width * share)), max(1, round(height * share)))
            picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        return cls(picture, cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))


@dataclass(frozen=True)
class Motion:
    """Motion from a picture back to the one before, at the size on which it was found.

    Attributes:
        flow: float32 [h, w, 2], where a pixel was: its x and y then, less those now; exactly 0 where nothing moves.
        change: float32 [h, w], levels of 255 by which its neighbourhood differs from what was there.
        drift: float32 [h, w], levels by which a wider neighbourhood became brighter or darker, which noise does not.
        still: bool [h, w], where nothing moves.
        fade: levels by which the picture became brighter along the motion, the median over it.
    """

    flow: np.ndarray
    change: np.ndarray
    drift: np.ndarray
    still: np.ndarray
    fade: float

    @classmethod
    def between(cls, now: MotionInput, before: MotionInput) -> Motion:
        """Find the motion between two pictures of one size."""
        height, width = now.luma.shape
        least = min(height, width)
        # DIS looks at patches of 8 pixels on two levels of a pyramid; smaller pictures are taken to be still.
        flow = np.zeros((height, width, 2), np.float32)
        if least >= 32:
            flow = np.asarray(_search().calc(now.luma, before.luma, flow), np.float32)
        unmoved = _difference(now.colour, before.colour)
        moved = _difference(now.colour, carried(before.colour, flow, cv2.INTER_LINEAR))
        still = cv2.blur((unmoved <= moved + _NOISE).astype(np.float32), (9, 9)) > 0.5
        flow[still] = 0
        there = carried(before.luma, flow, cv2.INTER_LINEAR)
        brighter = cv2.blur(now.luma.astype(np.float32) - there, (15, 15))
        fade = float(np.median(brighter[::8, ::8]))
        return cls(flow, np.where(still, unmoved, moved), np.abs(brighter), still, fade)

    def at(self, height: int, width: int) -> Motion:
        """Return the same motion for pictures of that size."""
        if self.still.shape == (height, width):
            return self
        size, old = (width, height), self.still.shape
        scale = np.array([width / old[1], height / old[0]], np.float32)
        flow = cv2.resize(self.flow, size, interpolation=cv2.INTER_LINEAR) * scale
        still = cv2.resize(self.still.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST).astype(bool)
        flow[still] = 0
        return Motion(flow, cv2.resize(self.change, size), cv2.resize(self.drift, size), still, self.fade)


def carried(picture: np.ndarray, flow: np.ndarray, interpolation: int = cv2.INTER_CUBIC) -> np.ndarray:
    """Return the picture before, with each pixel moved by ``flow`` to its present position."""
    if not flow.any():
        return picture
    height, width = flow.shape[:2]
    places = flow.copy()
    places[..., 0] += np.arange(width, dtype=np.float32)
    places[..., 1] += np.arange(height, dtype=np.float32)[:, None]
    return cv2.remap(picture, places[..., 0], places[..., 1], interpolation, borderMode=cv2.BORDER_REPLICATE)


def largest(picture: np.ndarray) -> np.ndarray:
    """Return the largest of three channels, [h, w, 3] to [h, w]; NumPy takes ten times as long."""
    red, green, blue = cv2.split(picture)
    return cv2.max(cv2.max(red, green), blue)


def _difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the largest difference of the three channels, averaged over 5 x 5 pixels: float32 [h, w]."""
    return cv2.blur(largest(cv2.absdiff(first, second)).astype(np.float32), (5, 5))


def _search() -> cv2.DISOpticalFlow:
    """Return this thread's flow estimator, which keeps buffers between calls."""
    if not hasattr(_own, "search"):
        _own.search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    return _own.search
