"""Sampling of small patches whose weighted statistics estimate those of the whole image.

Many small patches estimate better than few large ones. The weights make the patches' colours, contrasts and
brightnesses, features that are cheap to compute for the whole image, equal to those of the whole: the calibration
estimator of survey sampling (Deville and Saerndal 1992, https://doi.org/10.1080/01621459.1992.10475217), with a ridge.
"""

from __future__ import annotations

import cv2
import numpy as np

from i2i.images.domains import scale
from i2i.spec import Domain

PATCH = 64
SHARE = 0.3
"""Share of the image's pixels that patches cover."""
FEWEST, MOST = 64, 384
"""Limits of the number of patches. They overlap in a small image, and are one batch of the network."""
_RIDGE = 0.1
_LEAST = 0.1  # of the average weight; keeps all weights positive


def places(height: int, width: int, most: int = MOST) -> list[tuple[int, int]]:
    """Return top and left of each patch, on an even grid over the image, at multiples of 4 pixels except at its end.

    There are about as many as ``SHARE`` says, within the limits, and at most about ``most``.
    """
    count = min(MOST, most, max(FEWEST, SHARE * height * width / PATCH**2))
    down = max(1, round((count * height / width) ** 0.5))
    across = max(1, round(count / down))

    def along(length: int, number: int) -> list[int]:
        room = max(0, length - PATCH)
        return sorted(
            {min(room, max(0, round((i + 0.5) * length / number - PATCH / 2)) // 4 * 4) for i in range(number)}
        )

    return [(top, left) for top in along(height, down) for left in along(width, across)]


def features(pixels: np.ndarray, domain: Domain) -> np.ndarray:
    """Return cheap features of every pixel, float32 [h, w, features], of an image [h, w, c] in the domain's range."""
    low, half = scale(domain)
    x = (pixels - low) / half - np.float32(1)
    grey = x.mean(2)
    maps = [x[..., i] for i in range(x.shape[2])] + [x[..., i] ** 2 for i in range(x.shape[2])]
    for size in (1, 2, 4, 8):
        smooth = cv2.blur(grey, (size, size)) if size > 1 else grey
        across, down = (np.abs(np.diff(smooth, axis=axis, append=smooth.take([-1], axis))) for axis in (1, 0))
        maps += [across, down, across**2 + down**2]
    maps += [np.maximum(0, 1 - 3 * np.abs(grey - level)) for level in np.linspace(-1, 1, 7)]
    return np.stack(maps, -1)


def weights(patches: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return weights, float32 [n] with sum 1, by which the patches' features [n, f] average to about ``whole`` [f]."""
    n = len(patches)
    off = (patches - whole) / (patches.std(0) + 1e-6)
    found = np.linalg.solve(off @ off.T / n + _RIDGE * np.eye(n), np.ones(n))
    found = np.maximum(found / found.sum(), _LEAST / n)
    return (found / found.sum()).astype(np.float32)
