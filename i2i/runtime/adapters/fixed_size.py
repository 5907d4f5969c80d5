"""Images of any size through a graph of one fixed size, in overlapping tiles."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def tiled(
    graph: Callable[[np.ndarray], np.ndarray], image: np.ndarray, size: tuple[int, int], scale: int
) -> np.ndarray:
    """Translate [h, w, c] to [h * scale, w * scale, c'] in tiles that overlap by a quarter or more and are blended.

    Exact in the middle of a tile if the graph's receptive field lies within it. A graph that normalises over its image
    sees each tile's own statistics. An image smaller than a tile is padded to its size by reflection.

    Args:
        size: height and width of a tile, the only ones that the graph takes.
        scale: ratio of the result's height and width to the tile's.
    """
    height, width = image.shape[:2]
    lack = (max(0, size[0] - height), max(0, size[1] - width))
    if any(lack):
        image = np.pad(image, ((0, lack[0]), (0, lack[1]), (0, 0)), "symmetric")
    weight = np.outer(_ramp(size[0] * scale), _ramp(size[1] * scale))[..., None]
    total = np.zeros((image.shape[0] * scale, image.shape[1] * scale, 1), np.float32)
    weights = np.zeros_like(total)
    for top in _starts(image.shape[0], size[0]):
        for left in _starts(image.shape[1], size[1]):
            result = graph(image[top : top + size[0], left : left + size[1]])
            if total.shape[2] != result.shape[2]:
                total = np.repeat(total, result.shape[2], axis=2)
            there = slice(top * scale, (top + size[0]) * scale), slice(left * scale, (left + size[1]) * scale)
            total[there] += result * weight
            weights[there] += weight
    total /= weights
    return total[: height * scale, : width * scale]


def _starts(length: int, side: int) -> list[int]:
    """Return the starts of tiles along one axis, evenly spaced; the last tile ends at ``length``."""
    step = side - side // 4
    return [round(start) for start in np.linspace(0, length - side, 1 + -(-(length - side) // step))]


def _ramp(side: int) -> np.ndarray:
    """Return the weights of a tile's pixels along one axis: smallest at its ends, where the context is smallest."""
    return np.minimum(np.arange(1, side + 1), np.arange(side, 0, -1)).astype(np.float32)
