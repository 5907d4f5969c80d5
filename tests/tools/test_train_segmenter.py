"""The trainer of segmenters, on drawings whose label maps have two colours, and on label maps that lie about them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

from i2i.evaluation.label_maps import read_palette
from i2i.evaluation.networks import Segmenter, open_judge
from i2i.evaluation.pictures import Picture
from i2i.evaluation.sources import from_data
from i2i.images import Image

pytest.importorskip("torch")
TOOLS = Path(__file__).resolve().parents[2] / "tools"
COLOURS = np.array([[20, 30, 200], [240, 120, 10], [90, 220, 60]], np.uint8)  # background, disc, square


def scene(number: int, side: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """A dark picture with a bright disc and a grey square, and the class of each pixel."""
    rng = np.random.default_rng(number)
    y, x = np.mgrid[:side, :side]
    labels = np.zeros((side, side), np.uint8)
    top, left = rng.integers(0, side - 24, 2)
    labels[top : top + 20, left : left + 20] = 2
    centre = rng.integers(16, side - 16, 2)
    labels[np.hypot(y - centre[0], x - centre[1]) < 12] = 1
    photo = np.array([40, 220, 130], np.uint8)[labels][..., None] + rng.integers(-15, 16, (side, side, 3))
    return np.clip(photo, 0, 255).astype(np.uint8), labels


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(TOOLS)
    spec = importlib.util.spec_from_file_location("train_segmenter", TOOLS / "train_segmenter.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Photo and label map side by side in one JPEG, whose edges have mixed colours."""
    for split, numbers in (("train", range(24)), ("test", range(100, 106))):
        (tmp_path / "pairs" / split).mkdir(parents=True)
        for number in numbers:
            photo, labels = scene(number)
            both = np.concatenate([photo, COLOURS[labels]], axis=1)
            file = tmp_path / "pairs" / split / f"{number}.jpg"
            cv2.imwrite(str(file), both[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
    return tmp_path / "pairs"


def test_the_palette_is_the_colours_of_flat_areas(program: ModuleType, pairs: Path) -> None:
    """The most frequent first; JPEG moves each by a few levels, and its mixed edges are no class."""
    found = program.find_palette(from_data(pairs, None, None, "train", "a2b", True).items)
    assert found.shape == (3, 3)
    assert np.abs(found - COLOURS[[0, 1, 2] if (found[1][0] > 200) else [0, 2, 1]]).max() <= 3


@pytest.mark.slow
def test_a_judge_sees_the_classes_of_photos(
    program: ModuleType, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], one_thread: None,
) -> None:  # fmt: skip
    """The file takes pixels, has the palette's names, and gives each pixel of another photo its class."""
    out, palette = tmp_path / "judge.onnx", tmp_path / "colours.txt"
    palette.write_text("20 30 200 ground\n240 120 10 disc\n90 220 60 square\n")
    words = [str(pairs), "-o", str(out), "--palette", str(palette), "--size", "64", "--steps", "120"]
    monkeypatch.setattr(sys, "argv", ["train_segmenter.py", *words])
    program.main()
    line = capsys.readouterr().out.splitlines()[0]
    assert line.startswith("6 photos of test: pixel accuracy ")
    judge = open_judge(out, "cpu")
    assert isinstance(judge, Segmenter)
    assert (judge.classes, judge.size) == (["ground", "disc", "square"], (64, 64))
    photo, labels = scene(500)
    seen = judge(Picture(Image(photo), "scene"))
    assert seen.shape == (64, 64)
    assert (seen == labels).mean() > 0.95
    assert read_palette(palette)[1] == judge.classes  # a palette that exists stays as it is


def test_label_maps_without_colours_are_a_sentence(
    program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pairs" / "train").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "pairs" / "train" / "1.png"), np.full((32, 64, 3), 90, np.uint8))
    words = [str(tmp_path / "pairs"), "-o", str(tmp_path / "j.onnx"), "--palette", str(tmp_path / "p.txt")]
    monkeypatch.setattr(sys, "argv", ["train_segmenter.py", *words])
    with pytest.raises(SystemExit, match="fewer than two colours in flat areas"):
        program.main()
    assert not list(tmp_path.glob("*.*"))
