"""Choice of the images on which a precision is calibrated and measured."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from i2i.exporter import ranges
from i2i.exporter.calibration import gather
from tests.exporter.conftest import spec


def noise(path: Path, seed: int, height: int = 40, width: int = 40) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty images, of which two are the same, and one larger than is taken."""
    folder = tmp_path_factory.mktemp("images")
    for seed in range(29):
        noise(folder / f"{seed}.png", seed)
    noise(folder / "again.png", 3)
    noise(folder / "0.png", 99, 700, 1200)
    return folder


def test_no_image_is_in_both_and_the_names_decide(folder: Path) -> None:
    found = gather(folder, None, spec(), True)
    assert (len(found.calibration), len(found.held_out)) == (16, 8)
    again = gather(folder, None, spec(), True)
    for one, other in zip((*found.calibration, *found.held_out), (*again.calibration, *again.held_out), strict=True):
        np.testing.assert_array_equal(one, other)
    corners = [image[:20, :20].tobytes() for image in (*found.calibration, *found.held_out)]
    assert len(set(corners)) == len(corners)
    assert len({image.shape for image in found.held_out}) == 5
    assert all(image.shape[0] <= 256 and image.shape[1] <= 256 for image in (*found.calibration, *found.held_out))
    whole = gather(folder, None, spec(), False)
    assert (len(whole.held_out), len(whole.calibration)) == (8, 0)


def test_a_model_that_fills_holes_is_measured_on_holes(folder: Path) -> None:
    found = gather(folder, None, replace(spec((4, 8), (3, 8)), derive="mask:rectangle"), True)
    for image in (*found.calibration, *found.held_out):
        assert 0 < (image[..., 3] == 0).mean() < 1


def test_a_bare_network_gets_multiples(folder: Path) -> None:
    promise = replace(spec(io="tensor"), minimum=16, multiple=16)
    assert {side for image in gather(folder, None, promise, True).held_out for side in image.shape[:2]} <= {16, 32, 240}
    with pytest.raises(ValueError, match="a side of 40 pixels, and this bare network takes at least 64"):
        gather(folder, None, replace(promise, minimum=64), True)


def test_too_few_images_are_an_error(tmp_path: Path) -> None:
    for seed in range(11):
        noise(tmp_path / f"{seed}.png", seed)
    noise(tmp_path / "same.png", 3)
    with pytest.raises(
        ValueError,
        match=r"11 different images, and at least 12 are needed, 8 to calibrate and 4 to measure the loss on",
    ):
        gather(tmp_path, None, spec(), True)
    assert len(gather(tmp_path, None, spec(), False).held_out) == 8
    with pytest.raises(ValueError, match="there is no such folder"):
        gather(tmp_path / "none", None, spec(), True)


def test_a_student_has_the_images_that_its_teacher_translated(tmp_path: Path) -> None:
    for seed in range(12):
        (tmp_path / "photos").mkdir(exist_ok=True)
        assert cv2.imwrite(str(tmp_path / "photos" / f"{seed}.png"), np.full((40, 40, 3), 10 * seed, np.uint8))
    (tmp_path / "run").mkdir()
    settings = {"teacher": "style.onnx", "a": str(tmp_path / "photos"), "b": None, "data": None}
    (tmp_path / "run" / "run.json").write_text(json.dumps({"settings": settings}))
    found = gather(None, tmp_path / "run", spec(), True)
    assert {int(image.mean()) for image in (*found.calibration, *found.held_out)} == set(range(0, 120, 10))


def test_the_run_has_images_of_its_own(tmp_path: Path) -> None:
    """For pairs, the halves of the model's source domain."""
    for seed in range(14):
        pair = np.full((40, 80, 3), 10 * seed, np.uint8)
        pair[:, 40:] = 255 - seed
        (tmp_path / "pairs" / "train").mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(tmp_path / "pairs" / "train" / f"{seed}.png"), pair)
    run = tmp_path / "run"
    run.mkdir()
    with pytest.raises(ValueError, match=r"does not say what it was trained on; give a folder .*--calibrate DIR"):
        gather(None, run, spec(), True)
    (run / "run.json").write_text(json.dumps({"settings": {"data": str(tmp_path / "pairs")}}))
    for direction, levels in (("a2b", {10 * seed for seed in range(14)}), ("b2a", {255 - seed for seed in range(14)})):
        found = gather(None, run, replace(spec(), direction=direction), True)
        assert {int(image.mean()) for image in (*found.calibration, *found.held_out)} == levels
        assert found.calibration[0].shape == (40, 40, 3)
    (run / "run.json").write_text(json.dumps({"settings": {"data": str(tmp_path / "gone")}}))
    with pytest.raises(ValueError, match="are no longer there"):
        gather(None, run, spec(), True)


def test_a_model_of_several_domains_has_the_images_of_their_training_folders(tmp_path: Path) -> None:
    """Neither those of other splits nor of folders that it was not trained on."""
    levels = {"train/rain": range(0, 70, 10), "train/snow": range(70, 140, 10), "train/fog": [200], "test/rain": [210]}
    for name, some in levels.items():
        (tmp_path / "weather" / name).mkdir(parents=True)
        for level in some:
            image = np.full((40, 40, 3), level, np.uint8)
            assert cv2.imwrite(str(tmp_path / "weather" / name / f"{level}.png"), image)
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").write_text(json.dumps({"settings": {"data": str(tmp_path / "weather")}}))
    found = gather(None, run, replace(spec(), domains=("rain", "snow")), True)
    assert {int(image.mean()) for image in (*found.calibration, *found.held_out)} == set(range(0, 140, 10))
    with pytest.raises(ValueError, match="has no folder of training images for hail"):
        gather(None, run, replace(spec(), domains=("rain", "hail")), True)


def test_channels_are_balanced_against_their_weights() -> None:
    values, weights = np.array([10.0, 1, 0.1]), np.array([0.1, 1, 10])
    scale = ranges.balance(values, weights)
    np.testing.assert_allclose(values / scale, weights * scale, rtol=1e-5)  # neither has to reach further
    assert np.ptp(values / scale) < 2 * (values / scale).min()
    assert np.isfinite(ranges.balance(np.zeros(3), np.zeros(3))).all()
