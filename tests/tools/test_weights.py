"""The program that makes the models of weights/: its data, and a whole way from data to entry with two steps."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from i2i.images import Image, read_image, write_image
from tests.evaluation.conftest import drawing

pytest.importorskip("torch")
TOOLS = Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture
def weights(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(TOOLS)
    monkeypatch.syspath_prepend(TOOLS / "reproduce")
    return import_module("weights")


def test_tiles_cover_a_photograph(weights: Any) -> None:
    data = sys.modules["weights_data"]
    assert data.starts(256) == [0]
    assert data.starts(300) == [22]
    assert data.starts(1000) == [0, 248, 496, 744]
    assert data.reduced(np.zeros((900, 1600, 3), np.uint8), 400).shape == (256, 455, 3)


def test_photographs_to_measure_on_are_not_trained_on(weights: Any, tmp_path: Path) -> None:
    """One photograph of each licence: tiles of the free one, and the other whole with the source made of it."""
    (tmp_path / "photos").mkdir()
    for name in ("Wine_by_Jakkub_Mede", "Dragonfly_by_Bolly"):
        pixels = cv2.resize(drawing(3, 64), (1200, 900), interpolation=cv2.INTER_NEAREST)
        cv2.imwrite(str(tmp_path / "photos" / f"{name}.jpg"), pixels)
    weights.derived({"grey": "grey", "clean": ""})(tmp_path / "data")
    tiles = [read_image(path) for path in (tmp_path / "data" / "train").iterdir()]
    assert {(tile.height, tile.width) for tile in tiles} == {(256, 256)}
    assert len(tiles) == 4 * 3 + 2 * 2 + 2 * 1  # of 1000 x 750, 640 x 480 and 400 x 300
    assert {path.name.split("-")[0] for path in (tmp_path / "data" / "train").iterdir()} == {"Wine_by_Jakkub_Mede"}
    (test,) = (tmp_path / "data" / "test").iterdir()
    assert (read_image(test).width, test.stem) == (1000, "Dragonfly_by_Bolly")
    assert read_image(tmp_path / "data" / "grey" / test.name).pixels.shape == (750, 1000, 1)
    assert np.array_equal(read_image(tmp_path / "data" / "clean" / test.name).pixels, read_image(test).pixels)


@pytest.mark.slow
def test_a_model_is_made_measured_and_published(
    weights: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_thread: None
) -> None:
    """In 8 bits it is not: there are too few images to calibrate with."""

    def prepare(data: Path) -> None:
        for number in range(6):
            for folder in ("train", "test") if number < 2 else ("train",):
                path = data / folder / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                write_image(path, Image(drawing(number, 32)))
        shutil.copytree(data / "test", data / "clean")

    command = (
        "i2i train distill --b data/train --derive noise:10 --size 16 --steps 2 --precision fp32 --out runs/restore "
        "--set generator=drunet_1 --set ngf=2 --set norm=none --set residual=true --set upsample=deconv "
        "--set lambda_ssim=0"
    )
    small = replace(
        weights.MODELS["restore"], prepare=prepare, commands=(command,), tests={"clean": ("clean", "test")},
        shown={"1": (4, 8)},
    )  # fmt: skip
    monkeypatch.setitem(weights.MODELS, "restore", small)
    argv = ["weights.py", "restore", "--work", str(tmp_path / "work"), "--weights", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", argv)
    assert weights.main() == 0
    (entry,) = json.loads((tmp_path / "out" / "index.json").read_text())
    assert (entry["name"], entry["seed"], entry["spec"]["derive"]) == ("restore", 0, "noise:10")
    assert [entry["spec"][side]["name"] for side in ("source", "target")] == ["JPEG", "restored"]
    assert entry["command"].splitlines()[-1] == command
    assert "real images of data/test" in entry["protocol"]  # no folder of this machine
    assert entry["metrics"]["clean"]["input"] == {"SSIM": 1.0}  # its PSNR is infinite
    assert entry["metrics"]["clean"]["result"]["PSNR"] > 40  # a residual network begins as its input
    assert (tmp_path / "out" / "restore.jpg").is_file()


@pytest.mark.parametrize("name", ["restore", "redraw", "colourise", "painting", "noto2twemoji"])
def test_a_recipe_is_whole(weights: Any, name: str) -> None:
    model = weights.MODELS[name]
    assert model.commands[-1].endswith(f"--out runs/{name}")
    assert len(model.captions) == 3
    assert model.about.endswith(".")


def test_emoji_are_moved_onto_each_other_or_left_out(
    weights: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A face that is smaller, elsewhere and with a higher mouth agrees; a square with a line across does not."""
    emoji = sys.modules["weights_emoji"]

    def face(x: int, y: int, radius: int, mouth: int, colour: tuple[int, int, int]) -> np.ndarray:
        image = np.zeros((64, 64, 4), np.uint8)
        cv2.circle(image, (x, y), radius, (*colour, 255), -1)
        for side in (-1, 1):
            cv2.circle(image, (x + side * radius // 3, y - radius // 4), radius // 6, (20, 30, 60, 255), -1)
        cv2.rectangle(image, (x - radius // 2, y + mouth), (x + radius // 2, y + mouth + 4), (20, 30, 60, 255), -1)
        return image

    def fetch(_: str, folder: Path) -> None:
        square = np.full((64, 64, 4), 255, np.uint8)
        cv2.line(square, (0, 0), (63, 63), (0, 0, 0, 255), 5)
        one, other = face(30, 33, 24, 9, (0, 200, 255)), face(32, 32, 30, 13, (80, 200, 255))
        for name, pair in (("face", (one, other)), ("other", (square, other))):
            for side, image in zip("AB", pair, strict=True):
                for split in ("train", "test"):
                    (folder / f"{split}{side}").mkdir(parents=True, exist_ok=True)
                    cv2.imwrite(str(folder / f"{split}{side}" / f"{name}.png"), image)

    monkeypatch.setattr(emoji.datasets, "fetch", fetch)
    emoji.pairs(tmp_path / "data")
    found = {path.name: [each.name for each in sorted(path.iterdir())] for path in (tmp_path / "data").iterdir()}
    both = ["face.png", "other.png"]
    assert found == {"trainA": ["face.png"], "trainB": ["face.png"], "testA": both, "testB": both}
    moved, wanted = (read_image(tmp_path / f"data/train{side}/face.png") for side in "AB")
    assert moved.alpha is not None
    assert wanted.alpha is not None
    assert np.mean((moved.alpha > 127) != (wanted.alpha > 127)) < 0.02
    dark = [image.pixels.max(2) < 100 for image in (moved, wanted)]
    shown = [each & (image.alpha.reshape(64, 64) > 127) for each, image in zip(dark, (moved, wanted), strict=True)]
    assert (shown[0] & shown[1]).sum() > 0.7 * (shown[0] | shown[1]).sum()
    assert list(tmp_path.iterdir()) == [tmp_path / "data"]
