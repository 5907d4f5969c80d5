"""Metrics of two sets of images, by their features: x [n, d] of results, y [m, d] of real images.

Features are float arrays, a row an image. All raise NotMeasurableError for too few images and ValueError for features
that are not finite or of another length. They compute in float64, block by block, so that memory beyond the features
does not grow with the square of the number of images.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from i2i.metrics.estimate import RESAMPLES, Estimate, NotMeasurableError, interval, of_images
from i2i.text import plural

SUBSET, SUBSETS = 1000, 100  # of KID, as its authors
DIRECTIONS = 1000  # of MIND
NEIGHBOURS = 5  # of density and coverage, as their authors
_BLOCK = 4_000_000  # numbers of a block of a matrix of pairs of images


def kid(
    x: np.ndarray, y: np.ndarray, *, kid_subset: int | None = None, kid_subsets: int = SUBSETS, seed: int = 0
) -> Estimate:
    """Return the kernel distance, the unbiased MMD^2 with the kernel (x.y / d + 1)^3 (https://arxiv.org/abs/1801.01401).

    The value is the mean and the deviation over random subsets of ``kid_subset`` images of each set, without
    replacement; see :func:`subset_size` for the default. It may be slightly negative. The interval resamples the images
    of both sets, and leaves out the pairs of an image and itself. Raises ValueError for subsets larger than a set.
    """
    x, y = _prepare(x, y, "KID", 2)
    size = subset_size(len(x), len(y), kid_subset)
    rng = np.random.default_rng(seed)
    weights = []
    for count in (len(x), len(y)):
        chosen = np.zeros((count, kid_subsets))
        for column in range(kid_subsets):
            chosen[rng.permutation(count)[:size], column] = 1
        weights.append(np.hstack([chosen, rng.multinomial(count, np.full(count, 1 / count), RESAMPLES).T]))
    values = _mmd2(x, y, *weights)
    subsets, resampled = values[:kid_subsets], values[kid_subsets:]
    low, high = interval(resampled[np.isfinite(resampled)])
    return Estimate(float(subsets.mean()), low, high, float(subsets.std()))


def subset_size(results: int, real: int, wanted: int | None = None) -> int:
    """Return the size of KID's subsets: the one asked for, else 1,000, or half of a smaller set.

    Subsets as large as the sets would all be the same, and have no deviation. Raises ValueError for a size below 2 or
    above the size of the smaller set.
    """
    least = min(results, real)
    if wanted is None:
        return min(SUBSET, max(2, least // 2))
    if not 2 <= wanted <= least:
        raise ValueError(f"KID: a subset of size {wanted}; expected 2 to {least}, the size of the smaller set")
    return wanted


def _mmd2(x: np.ndarray, y: np.ndarray, x_weights: np.ndarray, y_weights: np.ndarray) -> np.ndarray:
    """Return the unbiased MMD^2 [r] of weighted sets, for r columns of weights [n, r] and [m, r].

    A weight is how often the sample contains the image. Pairs of an image with itself do not count; the distance of a
    sample that has only one image, which tiny sets may draw, is NaN.
    """
    total = np.zeros(x_weights.shape[1])
    for images, weights in ((x, x_weights), (y, y_weights)):
        own = np.square(weights)
        diagonal = (np.square(images).sum(axis=1) / images.shape[1] + 1) ** 3
        pairs = weights.sum(axis=0) ** 2 - own.sum(axis=0)
        kernel = _weighted(images, images, weights, weights) - own.T @ diagonal
        total += np.divide(kernel, pairs, out=np.full_like(kernel, np.nan), where=pairs > 0)
    cross = _weighted(x, y, x_weights, y_weights) / (x_weights.sum(axis=0) * y_weights.sum(axis=0))
    return total - 2 * cross


def _weighted(x: np.ndarray, y: np.ndarray, x_weights: np.ndarray, y_weights: np.ndarray) -> np.ndarray:
    """Return the sum over i and j of x_weights[i] k(x[i], y[j]) y_weights[j], for each column of weights."""
    total = np.zeros(x_weights.shape[1])
    for rows in _blocks(len(x), len(y)):
        kernel = x[rows] @ y.T
        kernel /= x.shape[1]
        kernel += 1
        kernel *= kernel * kernel
        total += (x_weights[rows] * (kernel @ y_weights)).sum(axis=0)
    return total


def frechet(x: np.ndarray, y: np.ndarray) -> Estimate:
    """Return the Frechet distance of two Gaussians of the features' means and covariances
    (https://arxiv.org/abs/1706.08500, eq. 6): |mu_x - mu_y|^2 + tr(C_x + C_y - 2 (C_x C_y)^(1/2)).

    The last trace is the sum of the singular values of X Y^T / sqrt((n - 1) (m - 1)) for centred features X and Y,
    which is exact for fewer images than features as well. The distance is biased upwards by few images, and resampling
    would add to that, so there is no interval.
    """
    x, y = _prepare(x, y, "the Frechet distance", 2)
    shift = float(np.square(x.mean(axis=0) - y.mean(axis=0)).sum())
    x, y = ((each - each.mean(axis=0)) / np.sqrt(len(each) - 1) for each in (x, y))
    spread = float(np.square(x).sum() + np.square(y).sum())
    roots = np.linalg.svd(_triangle(x) @ _triangle(y).T, compute_uv=False)
    return Estimate(max(0.0, shift + spread - 2 * float(roots.sum())))


def _triangle(x: np.ndarray) -> np.ndarray:
    """Return [k, d] of the same x^T x, with k at most d."""
    reduced: np.ndarray = np.linalg.qr(x).R if len(x) > x.shape[1] else x
    return reduced


def mind(x: np.ndarray, y: np.ndarray, *, seed: int = 0) -> Estimate:
    """Return MIND (https://arxiv.org/abs/2605.06797): 3 d times the mean squared distance of sorted projections.

    The features are projected on 1,000 random unit directions; the projections of both sets are sorted and compared:
    the squared Wasserstein distance in one dimension. Sets of different sizes are compared quantile by quantile. No
    interval: resampling would only add distance.
    """
    x, y = _prepare(x, y, "MIND", 2)
    rng, length, total = np.random.default_rng(seed), x.shape[1], 0.0
    levels = np.union1d(np.arange(1, len(x) + 1) * len(y), np.arange(1, len(y) + 1) * len(x))  # of n m
    share = np.diff(levels, prepend=0) / (len(x) * len(y))
    of_x, of_y = (levels - 1) // len(y), (levels - 1) // len(x)
    step = max(1, _BLOCK // len(levels))
    for at in range(0, DIRECTIONS, step):
        directions = rng.standard_normal((min(step, DIRECTIONS - at), length))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        a, b = (np.sort(directions @ each.T, axis=1) for each in (x, y))
        total += float((np.square(a[:, of_x] - b[:, of_y]) @ share).sum())
    return Estimate(3 * length * total / DIRECTIONS)


def density(x: np.ndarray, y: np.ndarray, *, seed: int = 0) -> Estimate:
    """Return how densely real images lie around results: about 1 for the same distribution, 0 for none near.

    Naeem et al. 2020 (https://arxiv.org/abs/2002.09797), eq. 4: the mean number of balls around real images, which
    reach to their 5th nearest real neighbour, that contain a result, divided by 5. Higher is closer to real images;
    above 1 where results crowd where real images are dense. The interval resamples the results.
    """
    x, y = _prepare(x, y, "density", 2, NEIGHBOURS + 1)
    radius = _radius(y)
    inside = np.concatenate([(_distances(x[rows], y) < radius).sum(axis=1) for rows in _blocks(len(x), len(y))])
    return of_images(lambda rows: inside[rows].mean(axis=-1) / NEIGHBOURS, len(x), seed)


def coverage(x: np.ndarray, y: np.ndarray, *, seed: int = 0) -> Estimate:
    """Return the share of real images with a result nearby, from 0 to 1: low where results lack variety.

    Naeem et al. 2020, eq. 5: nearby is within the distance to the 5th nearest real neighbour. It rises with the number
    of results. The interval resamples the real images.
    """
    x, y = _prepare(x, y, "coverage", 2, NEIGHBOURS + 1)
    radius = _radius(y)
    nearest = np.concatenate([_distances(y[rows], x).min(axis=1) for rows in _blocks(len(y), len(x))])
    covered = nearest < radius
    return of_images(lambda rows: covered[rows].mean(axis=-1), len(y), seed)


def _radius(y: np.ndarray) -> np.ndarray:
    """Return the squared distance of every image to its 5th nearest neighbour in the set, itself not counted."""
    found = []
    for rows in _blocks(len(y), len(y)):
        found.append(np.partition(_distances(y[rows], y), NEIGHBOURS, axis=1)[:, NEIGHBOURS])
    return np.concatenate(found)


def _distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the squared distances [n, m]."""
    squares = np.square(x).sum(axis=1)[:, None] + np.square(y).sum(axis=1) - 2 * (x @ y.T)
    return np.maximum(squares, 0, out=squares)


def _blocks(rows: int, columns: int) -> Iterator[slice]:
    step = max(1, _BLOCK // columns)
    yield from (slice(at, at + step) for at in range(0, rows, step))


def _prepare(
    x: np.ndarray, y: np.ndarray, name: str, results: int, real: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return both sets as float64. Raises NotMeasurableError for fewer images than the metric needs."""
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise ValueError(f"expected features [n, d] and [m, d], got {x.shape} and {y.shape}")
    real = real or results
    if len(x) < results or len(y) < real:
        raise NotMeasurableError(
            f"{name} needs at least {plural(results, 'result')} and {plural(real, 'real image')}; "
            f"there are {len(x)} and {len(y)}"
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("the features have values that are not finite (NaN or infinity)")
    return x.astype(np.float64), y.astype(np.float64)
