"""Outlines in units of the image's side, and their filling."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

Outline = Sequence[tuple[float, float]]
"""Corners of a polygon: x to the right and y downwards, from 0 to 1 within the image."""

_FINE = 6  # fractional bits of OpenCV's coordinates


def ellipse(x: float, y: float, across: float, up: float) -> Outline:
    """Return the outline of an ellipse around (x, y) with these radii."""
    return [(x + across * np.cos(t), y + up * np.sin(t)) for t in np.linspace(0, 2 * np.pi, 40, endpoint=False)]


def fill(canvas: np.ndarray, outline: Outline, value: int | Sequence[int]) -> None:
    """Set the pixels of a square canvas, uint8 [side, side, ...], inside an outline; hard edges, no blending."""
    points = np.round(np.asarray(outline) * canvas.shape[0] * (1 << _FINE)).astype(np.int32)
    cv2.fillPoly(canvas, [points], value, cv2.LINE_8, _FINE)
