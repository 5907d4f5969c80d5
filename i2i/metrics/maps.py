"""Metrics of the feature maps of two aligned images: a perceptual distance, and the change of structure.

``maps`` are what a network sees at several depths, [c, h, w] each, the finest first.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Maps = Sequence[np.ndarray]
_LEAST = 1e-10  # added to the length of a feature vector, as LPIPS does


def perceptual(maps: Maps, truth: Maps) -> float:
    """Return the distance of unit feature vectors, summed over depths: 0 for equal images.

    Zhang et al. 2018 (https://arxiv.org/abs/1801.03924), eq. 1 with all weights 1: the squared difference of feature
    vectors of length 1, summed over channels, averaged over positions. The learned weights of LPIPS belong to other
    networks, so this is no LPIPS, and its values compare only with those from the same features.
    """
    _check(maps, truth)
    total = 0.0
    for a, b in zip(maps, truth, strict=True):
        # |a / |a| - b / |b||^2 = 1 + 1 - 2 cos(a, b), without an array as large as the map; exactly 0 for equal maps
        x, y = _squares(a), _squares(b)
        length, other = np.sqrt(x) + _LEAST, np.sqrt(y) + _LEAST
        product = np.einsum("chw,chw->hw", a, b)
        distance = x / (length * length) + y / (other * other) - 2 * product / (length * other)
        total += max(0.0, float(distance.mean(dtype=np.float64)))
    return total


def self_similarity(maps: Maps, source: Maps) -> float:
    """Return how much the structure of an image differs from that of its source: 0 for equal, at most 4.

    The mean squared difference of the two matrices of cosine similarities between all positions of a deep map (Tumanyan
    et al. 2022, https://arxiv.org/abs/2201.00424, eq. 3, there of keys of DINO). Colours and textures may change; which
    regions are alike may not. The map is the deepest but one, which still shows where things are.
    """
    _check(maps, source)
    deep = max(0, len(maps) - 2)
    a, b = (_unit(each[deep]).reshape(len(each[deep]), -1) for each in (maps, source))
    return float(np.square(a.T @ a - b.T @ b).mean())


def _unit(x: np.ndarray) -> np.ndarray:
    """Return [c, h, w] with the feature vector of each position scaled to length 1."""
    unit: np.ndarray = x / (np.sqrt(_squares(x)) + _LEAST)
    return unit


def _squares(x: np.ndarray) -> np.ndarray:
    """Return the squared length of the feature vector of each position, [h, w] of [c, h, w]."""
    squares: np.ndarray = np.einsum("chw,chw->hw", x, x)
    if not np.isfinite(squares).all():
        raise ValueError("the feature maps have values that are not finite (NaN or infinity)")
    return squares


def _check(a: Maps, b: Maps) -> None:
    if [x.shape for x in a] != [x.shape for x in b] or not a:
        raise ValueError(f"the feature maps differ in form: {[x.shape for x in a]} and {[x.shape for x in b]}")
