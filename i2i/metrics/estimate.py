"""A measured figure with its uncertainty."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

RESAMPLES = 1000
"""Bootstrap samples of an interval."""


class NotMeasurableError(ValueError):
    """Images that are sound, and on which a metric is not defined: too small, or too few."""


@dataclass(frozen=True)
class Estimate:
    """A figure, with what is known of its uncertainty.

    Attributes:
        value: the figure.
        low, high: the 95 % bootstrap interval over images (percentile method); None where the metric allows none.
        deviation: the standard deviation over subsets (KID); else None.
    """

    value: float
    low: float | None = None
    high: float | None = None
    deviation: float | None = None


def interval(samples: np.ndarray) -> tuple[float, float] | tuple[None, None]:
    """Return the central 95 % of bootstrap samples [r], or None twice where they are not all finite."""
    if not np.isfinite(samples).all():
        return None, None
    low, high = np.percentile(samples, (2.5, 97.5))
    return float(low), float(high)


def mean(values: np.ndarray, seed: int = 0) -> Estimate:
    """Return the mean of the values [n] of n images; its interval resamples the images."""
    return of_images(lambda rows: values[rows].mean(axis=-1), len(values), seed)


def of_images(statistic: Callable[[np.ndarray], np.ndarray], count: int, seed: int = 0) -> Estimate:
    """Return a statistic of ``count`` images, with the interval that resampling the images gives.

    ``statistic`` takes indices [r, n] of r samples of images and returns [r] values. One image has no interval.
    """
    value = float(statistic(np.arange(count)[None])[0])
    if count < 2 or not math.isfinite(value):
        return Estimate(value)
    rng, samples, step = np.random.default_rng(seed), [], max(1, 2_000_000 // count)
    for at in range(0, RESAMPLES, step):
        samples.append(statistic(rng.integers(count, size=(min(step, RESAMPLES - at), count))))
    return Estimate(value, *interval(np.concatenate(samples)))
