"""The measure of flicker: changes that count, and changes that do not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from i2i.runtime import Model
from i2i.runtime.video import translate_video
from i2i.runtime.video.temporal.flicker import EVERY, Flicker
from tests.conftest import Command
from tests.runtime.video.clips import make
from tests.runtime.video.temporal.test_scene_cuts import shot

ImageFolder = Callable[[int], np.ndarray]


def measured(source: ImageFolder, result: ImageFolder, count: int = 8, every: int = 1) -> Flicker:
    flicker = Flicker(every)
    for number in filter(flicker.looks, range(count)):
        flicker(source(number), result(number), number / 25)
    return flicker


@pytest.mark.parametrize("level", [1, 5, 20])
def test_levels_that_go_up_and_down(level: int) -> None:
    """Over a still source: the step itself, whatever the picture is."""
    still = shot(1)
    found = measured(lambda n: still(0), lambda n: (still(0) // 2 + level * (n % 2)).astype(np.uint8))
    assert found.of_result == pytest.approx(level)
    assert found.of_source == 0
    assert found.pairs == 7


def test_motion_of_the_source_is_no_flicker() -> None:
    """A pan by 5 pixels a frame changes most pixels by far more than is found, and flicker over it is found."""
    pan = shot(2, speed=5)
    negative = lambda n: 255 - pan(n)  # noqa: E731
    plain = measured(pan, negative)
    assert plain.of_result is not None
    assert plain.of_source is not None
    change = np.mean([np.abs(pan(n + 1).astype(int) - pan(n)).mean() for n in range(7)])
    assert plain.of_result < 0.1 * change
    assert plain.of_result == pytest.approx(plain.of_source, rel=0.05)
    shaken = measured(pan, lambda n: (negative(n) * 0.8 + 20 * (n % 2)).astype(np.uint8))
    assert shaken.of_result == pytest.approx(20, abs=1.5)


def test_noise_is_in_both_figures() -> None:
    grainy = shot(3, grain=2)
    found = measured(grainy, lambda n: 255 - grainy(n))
    assert found.of_result == pytest.approx(found.of_source)
    assert found.of_source == pytest.approx(2 * 2 / np.sqrt(np.pi), rel=0.15)  # of two normal variables


def test_changes_of_the_source_are_no_flicker() -> None:
    """Half of the source goes from dark to bright; the result of that half is another one then, which is right."""

    def source(number: int) -> np.ndarray:
        picture = np.full((64, 96, 3), 90, np.uint8)
        picture[:, 48:] = 40 + 120 * (number % 2)
        return picture

    found = measured(source, lambda n: 255 - source(n))
    assert found.of_result is not None
    assert found.of_result < 0.5


def test_a_cut_is_no_flicker() -> None:
    cut = lambda n: shot(n)(0)  # noqa: E731
    found = measured(cut, cut, count=2)
    assert (found.pairs, found.of_result, found.of_source) == (0, None, None)


def test_some_pairs_stand_for_all() -> None:
    still = shot(1)
    result = lambda n: (still(0) // 2 + 4 * (n % 2)).astype(np.uint8)  # noqa: E731
    found = measured(lambda n: still(0), result, 3 * EVERY, EVERY)
    assert (found.pairs, found.of_result) == (3, pytest.approx(4))
    assert measured(lambda n: still(0), result, 2, EVERY).pairs == 1


def test_sixteen_bits_and_other_sizes_in_the_same_units() -> None:
    source = lambda n: np.full((64, 96, 3), 20000, np.uint16)  # noqa: E731
    result = lambda n: np.full((128, 192, 3), 256 * (50 + 3 * (n % 2)), np.uint16)  # noqa: E731
    assert measured(source, result).of_result == pytest.approx(3)
    large = lambda n: np.full((720, 1280, 3), 50 + 3 * (n % 2), np.uint8)  # noqa: E731
    assert measured(lambda n: np.full((720, 1280, 3), 80, np.uint8), large).of_result == pytest.approx(3)


def test_a_job_prints_its_flicker(identity: Model, identity_file: Path, i2i_inside: Command, tmp_path: Path) -> None:
    clip = make(tmp_path / "in.mkv", codec="ffv1", size=(96, 64), picture=lambda n: shot(3, grain=2)(n)[:64, :96])
    summary = translate_video(identity, clip, None)
    assert summary.flicker == summary.source_flicker
    assert summary.flicker is not None
    assert 1 < summary.flicker < 3
    done = i2i_inside("translate", clip, tmp_path / "out.mkv", "-m", identity_file, "--steady", "--steady-time", "0.5")
    assert done.returncode == 0, done.stderr
    said = next(line for line in done.stderr.splitlines() if "flicker" in line and "levels" in line)
    assert f"of the source {summary.source_flicker:.2f}" in said
    assert float(said.partition("flicker ")[2].split()[0]) < 0.7 * summary.flicker
    assert "no statistics are carried" in done.stderr
