"""Training on pairs whose sources are made of their targets, and what an export of such a run does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import i2i
from i2i.data import DataError, View, read_folders
from i2i.images import read_image
from i2i.images.derive import derive, derive_image
from i2i.runtime.graphs.onnx_file import read_spec

TINY: dict[str, Any] = {
    "size": 32, "sample_every": 0, "workers": 0, "cache": "off", "quiet": True, "generator": "resnet_1", "ngf": 2,
    "ndf": 2, "discriminator": "patch_1", "norm": "instance",
}  # fmt: skip


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for split, count in (("train", 5), ("test", 3)):
        (root / split).mkdir()
        for number in range(count):
            image = cv2.resize(rng.integers(0, 256, (8, 10, 3)).astype(np.uint8), (60, 48))
            cv2.imwrite(str(root / split / f"{split}{number}.png"), image)
    return root


def train(photos: Path, out: Path, way: str, steps: int = 2, **more: Any) -> Path:
    return i2i.train("pix2pix", b=photos, derive=way, out=out, steps=steps, **TINY, **more)


def test_a_sample_is_a_function_of_seed_and_position(photos: Path) -> None:
    view = View.plain((48, 60))
    dataset = read_folders("pairs", b=photos, derive="noise:10")
    one, again, other = (dataset.sample(position, 3, view) for position in (4, 4, 9))  # an epoch later
    assert np.array_equal(one["x"], again["x"])
    assert not np.array_equal(one["x"], other["x"])
    pixels = ((one["y"].permute(1, 2, 0).numpy() + 1) * 127.5).round().astype(np.uint8)
    want = derive(pixels, "noise:10", np.random.default_rng((3, 4, 1)))
    assert np.abs((one["x"].permute(1, 2, 0).numpy() + 1) * 127.5 - want).max() < 1e-3
    assert (dataset.source.name, dataset.target.name) == ("noise:10", photos.name)
    grey = read_folders("pairs", b=photos, derive="grey").sample(0, 0, view)
    assert (grey["x"].shape[0], grey["y"].shape[0]) == (1, 3)


def test_a_run_its_file_and_its_evaluation(photos: Path, tmp_path: Path) -> None:
    run = train(photos, tmp_path / "run", "jpeg:10..60+noise:0..15")
    spec = read_spec(i2i.export(run))
    assert spec is not None
    assert spec.derive == "jpeg:10..60+noise:0..15"
    found = i2i.evaluate(run, metrics=["PSNR"], baseline=True)
    truth = [read_image(path) for path in sorted((photos / "test").iterdir())]
    made = [derive_image(image, spec.derive, f"test{number}.png") for number, image in enumerate(truth)]
    errors = [np.square((m.pixels.astype(float) - t.pixels) / 255).mean() for m, t in zip(made, truth, strict=True)]
    want = float(np.mean([-10 * np.log10(error) for error in errors]))
    figures = found.tables[0].figures["PSNR"]
    assert figures["the input itself"].value == pytest.approx(want, abs=0.01)


def test_holes_are_filled_and_the_rest_stays(photos: Path, tmp_path: Path) -> None:
    run = train(photos, tmp_path / "run", "mask:strokes")
    model = i2i.load(i2i.export(run))
    image = read_image(photos / "test" / "test0.png").pixels
    alpha = np.full(image.shape[:2], 255, np.uint8)
    alpha[10:20, 15:40] = 0
    secret = np.where(alpha[..., None] == 0, 255 - image, image)  # what is stored in a hole
    results = [model(np.dstack([colours, alpha])) for colours in (image, secret)]
    assert results[0].shape == image.shape  # opaque
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0][alpha > 0], image[alpha > 0])
    assert not np.array_equal(results[0][alpha == 0], image[alpha == 0])
    assert np.array_equal(model(image), image)


def test_it_resumes_only_as_it_began(photos: Path, tmp_path: Path) -> None:
    run = train(photos, tmp_path / "run", "blur:2", steps=1)
    with pytest.raises(ValueError, match=r"derive: blur:2 -> blur:3"):
        train(photos, run, "blur:3", steps=2)


@pytest.mark.parametrize(
    ("method", "given", "message"),
    [
        ("pix2pix", {"a": "photos", "b": "photos"}, "give one folder of images, --b DIR"),
        ("cyclegan", {"b": "photos"}, "--derive makes pairs, and this method trains on unpaired data"),
        ("pix2pix", {"b": "photos", "direction": "b2a"}, "makes pairs, from A to B"),
        ("pix2pix", {"b": "photos", "derive": "sharpen"}, "there is no 'sharpen'; choose from grey, edges, jpeg:20"),
    ],
)
def test_what_does_not_go_with_it(
    photos: Path, tmp_path: Path, method: str, given: dict[str, Any], message: str
) -> None:
    given = {name: photos if value == "photos" else value for name, value in given.items()}
    with pytest.raises((ValueError, DataError), match=message):
        i2i.train(method, out=tmp_path / "run", **({"derive": "blur:2"} | given), steps=1, quiet=True)


def test_before_and_after(i2i_inside: Any, photos: Path, tmp_path: Path) -> None:
    model = i2i.export(train(photos, tmp_path / "run", "grey"))
    done = i2i_inside("translate", photos / "test", tmp_path / "after", "-m", model, "--derive", tmp_path / "before")
    assert done.returncode == 0, done.stderr
    names = {path.name for path in (photos / "test").iterdir()}
    for folder, channels in (("before", 1), ("after", 3)):
        assert {path.name for path in (tmp_path / folder).glob("*.png")} == names
        assert read_image(tmp_path / folder / "test0.png").channels == channels
