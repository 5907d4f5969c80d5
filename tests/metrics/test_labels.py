"""Metrics of judges, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from i2i.metrics import NotMeasurableError
from i2i.metrics.labels import accuracy, class_accuracy, confusion, iou, pixel_accuracy

TRUTH = np.array([[0, 0, 0], [1, 1, 255]])
SEEN = np.array([[0, 0, 1], [1, 0, 1]])


def test_a_confusion_counts_labelled_pixels_by_their_true_class() -> None:
    assert confusion(SEEN, TRUTH, 3).tolist() == [[2, 1, 0], [1, 1, 0], [0, 0, 0]]


def test_known_answers() -> None:
    """Class 2 occurs nowhere, so it is no part of a mean; pixels of two images count together."""
    one = confusion(SEEN, TRUTH, 3)[None]
    assert pixel_accuracy(one).value == pytest.approx(3 / 5)
    assert class_accuracy(one).value == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert iou(one).value == pytest.approx((2 / 4 + 1 / 3) / 2)
    both = np.concatenate([one, 10 * confusion(TRUTH, TRUTH, 3)[None]])
    assert pixel_accuracy(both).value == pytest.approx(53 / 55)
    assert pixel_accuracy(one).low is None  # one image says nothing about others
    found = pixel_accuracy(both)
    assert found.low is not None
    assert found.high is not None
    assert (found.low, found.high) == pytest.approx((3 / 5, 1))


def test_label_maps_without_a_label() -> None:
    with pytest.raises(NotMeasurableError, match="no pixel of the label maps has a label"):
        iou(confusion(SEEN, np.full_like(TRUTH, 255), 3)[None])


def test_accuracy() -> None:
    assert (accuracy(3, 3), accuracy(3, 4)) == (1, 0)
