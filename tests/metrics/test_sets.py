"""Metrics of sets: against their definitions, against others on features of real photos, and known answers."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from i2i.metrics import NotMeasurableError, coverage, density, frechet, kid, mind
from i2i.metrics.sets import NEIGHBOURS, subset_size

Features = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def features() -> tuple[np.ndarray, np.ndarray]:
    """Two sets of normal numbers, shifted and of more vectors than numbers, so that covariances are regular."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((16, 8)), rng.standard_normal((13, 8)) + 0.5


def test_kid_is_the_unbiased_mmd_of_the_paper(features: tuple[np.ndarray, np.ndarray]) -> None:
    """Worked out pair by pair, on one subset that takes all."""
    x, y = (each[:12].astype(float) for each in features)

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return (float(a @ b) / len(a) + 1) ** 3

    n = range(12)
    own = sum(k(s[i], s[j]) for s in (x, y) for i in n for j in n if i != j) / (12 * 11)
    expected = own - 2 * sum(k(x[i], y[j]) for i in n for j in n) / 144
    found = kid(x, y, kid_subset=12, kid_subsets=3)
    assert found.value == pytest.approx(expected, rel=1e-9)
    assert found.deviation == pytest.approx(0, abs=1e-12)


def test_kid_of_subsets_has_their_mean_and_deviation(features: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = features[0][: len(features[1])], features[1]
    whole = kid(x, y, kid_subset=len(y), kid_subsets=2).value
    found = kid(x, y, kid_subset=8, kid_subsets=2000, seed=3)
    assert found.deviation is not None
    assert found.deviation > 0
    assert found.value == pytest.approx(whole, abs=4 * found.deviation / math.sqrt(2000))
    assert found.low is not None
    assert found.high is not None
    assert found.low < whole < found.high
    assert kid(x, y, kid_subset=8, seed=3) == kid(x, y, kid_subset=8, seed=3)
    assert kid(x, y, kid_subset=8, seed=3) != kid(x, y, kid_subset=8, seed=4)


def test_the_interval_of_kid_has_its_confidence() -> None:
    """95 % intervals of sets of one distribution, whose distance is 0, contain 0 nearly always."""
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(60):
        x, y = rng.standard_normal((2, 40, 4))
        found = kid(x, y, kid_subsets=2)
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= 0 <= found.high
    assert 51 <= hits <= 60


def test_the_default_subset_is_the_authors_or_half_the_set() -> None:
    assert [subset_size(5000, 3000), subset_size(5000, 1200), subset_size(120, 140), subset_size(2, 9)] == [
        1000,
        600,
        60,
        2,
    ]
    with pytest.raises(ValueError, match=r"a subset of size 1000; expected 2 to 120, the size of the smaller set"):
        subset_size(120, 140, 1000)


def test_frechet_is_the_distance_with_a_matrix_square_root(features: tuple[np.ndarray, np.ndarray]) -> None:
    from scipy.linalg import sqrtm

    x, y = (each.astype(float) for each in features)
    (c, d), shift = (np.cov(each, rowvar=False) for each in (x, y)), x.mean(axis=0) - y.mean(axis=0)
    expected = shift @ shift + np.trace(c) + np.trace(d) - 2 * np.trace(sqrtm(c @ d)).real
    assert frechet(x, y).value == pytest.approx(expected, rel=1e-6)


def test_frechet_of_fewer_images_than_features() -> None:
    """The covariances are singular, and the root of their product is found by their eigenvalues."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((16, 600)), rng.standard_normal((16, 600)) + 0.5
    (c, d), shift = (np.cov(each, rowvar=False) for each in (x, y)), x.mean(axis=0) - y.mean(axis=0)
    values, vectors = np.linalg.eigh(c)
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    roots = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ d @ root), 0))
    expected = shift @ shift + np.trace(c) + np.trace(d) - 2 * roots.sum()
    assert frechet(x, y).value == pytest.approx(expected, rel=1e-4)


def test_mind_is_the_mean_distance_of_quantiles(features: tuple[np.ndarray, np.ndarray]) -> None:
    """Of sets of different sizes, on a grid of quantiles that both divide."""
    x, y = features[0][:12], features[1][:9]
    directions = np.random.default_rng(5).standard_normal((1000, x.shape[1]))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    total = 0.0
    for direction in directions:
        a, b = np.sort(x @ direction), np.sort(y @ direction)
        total += float(np.mean((np.repeat(a, 3) - np.repeat(b, 4)) ** 2))
    assert mind(x, y, seed=5).value == pytest.approx(3 * x.shape[1] * total / 1000, rel=1e-5)


def test_density_and_coverage_by_their_definitions(features: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = (each.astype(float) for each in features)
    radius = [sorted(np.linalg.norm(y - each, axis=1))[NEIGHBOURS] for each in y]
    inside = [[np.linalg.norm(a - b) < r for b, r in zip(y, radius, strict=True)] for a in x]
    assert density(x, y).value == pytest.approx(np.sum(inside) / (NEIGHBOURS * len(x)), rel=1e-9)
    assert coverage(x, y).value == pytest.approx(np.mean(np.any(inside, axis=0)), rel=1e-9)


def test_known_answers() -> None:
    """Two Gaussians that lie apart by 3 in one of d directions, and one twice as wide as the other."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4000, 3))
    x = (x - x.mean(axis=0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False))).T  # exactly standard
    apart = x + np.array([3.0, 0, 0])
    assert frechet(x, apart).value == pytest.approx(9, rel=1e-9)
    assert frechet(x, 2 * x).value == pytest.approx(3, rel=1e-9)  # (2 - 1)^2 in each of three directions
    assert mind(x, apart).value == pytest.approx(3 * 3 * 9 / 3, rel=0.05)  # the mean of (3 u)^2 is 9 / d
    assert mind(x, 2 * x).value == pytest.approx(9, rel=0.05)  # of a unit variance in each direction
    few, shifted = x[:300], x[:300] + 100
    assert (density(few, shifted).value, coverage(few, shifted).value) == (0, 0)
    assert coverage(few, few).value == 1
    assert density(few, few).value == pytest.approx(1, abs=0.25)
    same = kid(few, few, kid_subset=300, kid_subsets=2).value
    assert same < 0  # unbiased: an image is no neighbour of itself, so equal sets come out below zero
    assert same == pytest.approx(0, abs=1)


def test_the_order_of_worse_and_worse_sets(photo_features: Features) -> None:
    """The same photos, a slightly blurred copy, other photos of the season, another season, noise."""
    half = len(photo_features["summer"]) // 2
    real, held_out = photo_features["summer"][:half], photo_features["summer"][half:]
    for metric in (frechet, mind):
        values = [
            metric(x, real).value for x in (real, photo_features["blurred"][:half], held_out, photo_features["noise"])
        ]
        assert values == sorted(values), metric.__name__
        assert values[0] == pytest.approx(0, abs=1e-6)
        assert metric(photo_features["winter"], photo_features["summer"]).value < values[-1]
    values = [
        kid(photo_features[name], photo_features["summer"], kid_subset=8).value
        for name in ("summer", "blurred", "winter", "noise")
    ]
    assert values[0] < values[1] < values[3]
    assert values[0] < values[2] < values[3]
    assert coverage(real, real).value == 1
    assert coverage(photo_features["noise"], real).value == 0


@pytest.mark.parametrize("metric", [kid, frechet, mind, density, coverage])
def test_sets_that_cannot_be_measured(metric: Callable[..., object]) -> None:
    x = np.random.default_rng(0).standard_normal((9, 4)).astype(np.float32)
    with pytest.raises(NotMeasurableError, match="needs at least 2 results"):
        metric(x[:1], x)
    with pytest.raises(NotMeasurableError, match=r"there are 9 and 1"):
        metric(x, x[:1])
    with pytest.raises(ValueError, match=r"expected features \[n, d\] and \[m, d\]"):
        metric(x, x[:, :3])
    with pytest.raises(ValueError, match="not finite"):
        metric(x, np.where(x == x[0, 0], np.nan, x))


@pytest.mark.slow
def test_kid_as_torch_fidelity(photo_features: Features) -> None:
    from torch_fidelity.metric_kid import kernel_poly, mmd2

    x, y = photo_features["summer"].astype(float), photo_features["winter"].astype(float)
    kernel = {"kid_kernel_poly_degree": 3, "kid_kernel_poly_gamma": None, "kid_kernel_poly_coef0": 1}
    expected = mmd2(kernel_poly(x, x, **kernel), kernel_poly(x, y, **kernel), kernel_poly(y, y, **kernel))
    assert kid(x, y, kid_subset=len(x), kid_subsets=2).value == pytest.approx(expected, rel=1e-9)
