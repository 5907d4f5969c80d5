"""Every row of the table of metrics behaves as it says."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import i2i
from i2i.metrics import METRICS, Estimate, Metric, display_name, find_metrics
from i2i.metrics.pairs import Similarity

RNG = np.random.default_rng(0)
PIXELS = np.clip(128 + 90 * np.sin(np.add.outer(np.arange(180), np.arange(190)) / 7)[..., None] + np.zeros(3), 0, 255)


def views(metric: Metric, strength: float) -> tuple[Any, ...]:
    """Arguments of a metric that are better for a smaller strength, from 0, where both sides are equal."""
    rng = np.random.default_rng(1)
    if metric.of in ("pixels", "similarity"):
        noisy = np.clip(PIXELS + strength * rng.normal(0, 60, PIXELS.shape), 0, 255)
        images = noisy.astype(np.uint8), PIXELS.astype(np.uint8)
        return images if metric.of == "pixels" else (Similarity(*images),)
    if metric.of == "maps":
        maps = [rng.standard_normal((4, side, side)).astype(np.float32) for side in (8, 4)]
        return [each + strength * rng.standard_normal(each.shape) for each in maps], maps
    if metric.of == "features":
        real = rng.standard_normal((40, 6))
        return real + 4 * strength, real
    if metric.of == "label":
        return 2 if strength else 1, 1
    if metric.of == "confusion":
        right, wrong = np.diag([5.0, 7.0]), strength * np.ones((2, 2))
        return (np.stack([right + wrong, right + 2 * wrong]),)
    still = np.clip(PIXELS[:64, :64], 20, 230).astype(np.uint8)
    flashing = [np.clip(still.astype(int) + (20 * strength * (-1) ** n), 0, 255).astype(np.uint8) for n in range(4)]
    return ([(still, frame) for frame in flashing],)


def value(metric: Metric, strength: float) -> float:
    found = metric.function(*views(metric, strength))
    assert isinstance(found, float if metric.needs == "pair" else Estimate)
    number = found if metric.needs == "pair" else found.value
    return -number if metric.better == "lower" else number


@pytest.mark.parametrize("name", METRICS)
def test_worse_is_worse_in_the_direction_that_the_row_states(name: str) -> None:
    metric = METRICS[name]
    best, worse = value(metric, 0), value(metric, 1)
    assert best > worse
    assert value(metric, 1) == worse  # the same twice
    assert worse > value(metric, 2) or metric.of == "label" or name in ("coverage", "density")


@pytest.mark.parametrize("name", METRICS)
def test_a_row_is_consistent(name: str) -> None:
    metric = METRICS[name]
    assert metric.section in ("realism", "content", "truth", "labels")
    assert (metric.needs == "video") == (metric.of == "frames")
    assert metric.needs_features == (metric.of in ("features", "maps"))
    assert metric.function.__doc__
    assert set(metric.options) <= {"seed", "kid_subset", "kid_subsets"}
    if metric.needs != "pair":
        json.dumps(asdict(metric.function(*views(metric, 1))))


def test_realism_and_content_both_have_metrics_without_pairs() -> None:
    sections = {metric.section for metric in METRICS.values() if "truth" not in metric.between}
    assert sections >= {"realism", "content"}


def test_only_inception_is_called_fid() -> None:
    assert display_name("FD", "inception") == "FID"
    assert [display_name("FD", "lite0"), display_name("KID", "inception")] == ["FD-lite0", "KID-inception"]
    assert [display_name("SSIM", "lite0"), display_name("perceptual", "lite0")] == ["SSIM", "perceptual-lite0"]


def test_metrics_are_found_by_name() -> None:
    assert list(find_metrics("ssim, kid")) == ["KID", "SSIM"]
    assert list(find_metrics(["FID"])) == ["FD"]
    assert find_metrics(None) is METRICS
    with pytest.raises(ValueError, match=r"no metric 'IS'; choose from KID, FD, MIND"):
        find_metrics("IS")


def test_a_mean_of_images_has_an_interval_and_one_that_is_infinite_has_none() -> None:
    from i2i.metrics.estimate import mean

    values = RNG.normal(3, 1, 400)
    found = mean(values)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 3 < found.high
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)
    assert mean(np.array([30.0, math.inf])) == Estimate(math.inf)
    assert mean(np.array([2.0])) == Estimate(2.0)


def test_the_page_describes_every_metric() -> None:
    page = (Path(i2i.__file__).parents[1] / "docs" / "evaluation.md").read_text(encoding="utf-8")
    table = page[page.index("## Four questions") : page.index("## Which to trust")]
    assert [name for name in METRICS if name not in table] == []
