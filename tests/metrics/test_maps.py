"""Distances of feature maps, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from i2i.metrics import perceptual, self_similarity


def maps(*arrays: object) -> list[np.ndarray]:
    return [np.array(each, np.float32) for each in arrays]


def test_the_perceptual_distance_of_known_maps() -> None:
    """Two channels, a row of two places: in one place the vectors are at right angles, in the other parallel."""
    a, b = maps([[[3, 1]], [[0, 1]]]), maps([[[0, 5]], [[2, 5]]])
    assert perceptual(a, b) == pytest.approx(2 / 2)  # |(1,0) - (0,1)|^2 = 2, over two places
    assert perceptual(a * 2, b * 2) == pytest.approx(2)  # summed over depths
    assert perceptual(a, a) == 0
    assert perceptual([10 * a[0]], b) == pytest.approx(1)  # of directions, not of strengths


def test_the_structure_of_known_maps() -> None:
    """Places that were alike and are at right angles: two of the four cosines change from 1 to 0."""
    same, apart = maps([[[1, 1]], [[0, 0]]]), maps([[[1, 0]], [[0, 1]]])
    assert self_similarity(apart, same) == pytest.approx(2 / 4)
    assert self_similarity(apart, apart) == 0
    turned = maps([[[0, 1]], [[1, 0]]])  # other features, alike and unlike at the same places
    assert self_similarity(turned, apart) == 0


def test_the_structure_is_that_of_the_deepest_map_but_one() -> None:
    same, apart = maps([[[1, 1]], [[0, 0]]])[0], maps([[[1, 0]], [[0, 1]]])[0]
    assert self_similarity([same, apart, same], [same, same, same]) == pytest.approx(0.5)
    assert self_similarity([apart, same, apart], [same, same, same]) == 0


def test_maps_that_cannot_be_compared() -> None:
    one, other = maps(np.ones((2, 3, 3))), maps(np.ones((2, 3, 4)))
    for metric in (perceptual, self_similarity):
        with pytest.raises(ValueError, match=r"differ in form: \[\(2, 3, 3\)\] and \[\(2, 3, 4\)\]"):
            metric(one, other)
        with pytest.raises(ValueError, match="not finite"):
            metric(one, maps(np.full((2, 3, 3), np.nan)))
        with pytest.raises(ValueError, match="differ in form"):
            metric([], [])
