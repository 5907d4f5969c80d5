"""Metrics of what a judge, a network trained on real images, sees in results."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from i2i.metrics.estimate import Estimate, NotMeasurableError, of_images


def accuracy(label: int, truth: int) -> float:
    """Return 1 if a classifier takes an image for what it should show, else 0."""
    return float(label == truth)


def confusion(labels: np.ndarray, truth: np.ndarray, classes: int) -> np.ndarray:
    """Return how many pixels of each true class were taken for each class: [classes, classes], rows of the truth.

    Both are integers [h, w]. Pixels whose true label is no class, such as 255 for unlabelled ones, do not count.
    """
    known = (truth >= 0) & (truth < classes)
    pairs = truth[known].astype(np.int64) * classes + np.clip(labels[known], 0, classes - 1)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def pixel_accuracy(confusions: np.ndarray, *, seed: int = 0) -> Estimate:
    """Return the share of all labelled pixels that have the right label (Long et al. 2015, arXiv:1411.4038, section 5).

    ``confusions`` are those of the images, [n, classes, classes]; pixels of all images count alike.
    """
    return _pooled(confusions, lambda c: np.trace(c, axis1=1, axis2=2) / c.sum(axis=(1, 2)), seed)


def class_accuracy(confusions: np.ndarray, *, seed: int = 0) -> Estimate:
    """Return the accuracy of the pixels of a class, averaged over the classes that occur."""
    return _pooled(confusions, lambda c: _mean(_diagonal(c), c.sum(axis=2), c.sum(axis=2)), seed)


def iou(confusions: np.ndarray, *, seed: int = 0) -> Estimate:
    """Return the intersection of predicted and true pixels over their union, averaged over the classes that occur."""
    return _pooled(
        confusions, lambda c: _mean(_diagonal(c), c.sum(axis=1) + c.sum(axis=2) - _diagonal(c), c.sum(axis=2)), seed
    )


def _diagonal(confusions: np.ndarray) -> np.ndarray:
    return np.diagonal(confusions, axis1=1, axis2=2)


def _mean(part: np.ndarray, whole: np.ndarray, occurs: np.ndarray) -> np.ndarray:
    """Return the mean of part / whole [r, classes] over the classes that occur."""
    there = occurs > 0
    shares = np.where(there, part / np.maximum(whole, 1), 0)
    means: np.ndarray = shares.sum(axis=1) / np.maximum(there.sum(axis=1), 1)
    return means


def _pooled(confusions: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray], seed: int) -> Estimate:
    """Return a statistic of the sum over images; its interval resamples the images."""
    if confusions.ndim != 3 or confusions.shape[1] != confusions.shape[2]:
        raise ValueError(f"expected confusions [n, classes, classes], got {confusions.shape}")
    if not confusions.sum():
        raise NotMeasurableError("no pixel of the label maps has a label")
    flat = confusions.reshape(len(confusions), -1).astype(np.float64)

    def sums(rows: np.ndarray) -> np.ndarray:
        counts = np.stack([np.bincount(row, minlength=len(flat)) for row in rows])
        return statistic((counts @ flat).reshape(-1, *confusions.shape[1:]))

    return of_images(sums, len(flat), seed)
