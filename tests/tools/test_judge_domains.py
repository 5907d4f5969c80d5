"""The judge of translations between many domains, on drawings whose domain is their level of grey."""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from onnx import helper

from tests import tiny

pytest.importorskip("torch")
TOOL = Path(__file__).resolve().parents[2] / "tools" / "judge_domains.py"
LEVELS = {"cloudy": 40, "rain": 120, "shine": 200}


def painter(path: Path, levels: list[int], size: int = 32) -> Path:
    """A model whose image is of one level throughout: that of its target."""
    spec = replace(tiny.WEATHER, recipe={"settings": {"size": [size, size]}})
    nodes = [
        helper.make_node("Gather", ["levels", "target"], ["level"]),
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Reshape", ["level", "four"], ["wide"]),
        helper.make_node("Expand", ["wide", "shape"], ["z"]),
        helper.make_node("Cast", ["z"], ["y"], to=tiny.NUMBERS["uint8"]),
    ]
    constants = {"levels": np.array(levels, np.float32), "four": np.array([-1, 1, 1, 1])}
    inputs = (("x", "uint8", ["n", "h", "w", 3]), ("target", "int64", ["n"]))
    return tiny.write(path, nodes, spec, constants, inputs)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for split, count in (("train", 8), ("test", 4)):
        for name, level in LEVELS.items():
            (tmp_path / "photos" / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = np.clip(level + rng.integers(-15, 16, (40, 50, 3)), 0, 255).astype(np.uint8)
                cv2.imwrite(str(tmp_path / "photos" / split / name / f"{number}.png"), pixels)
    return tmp_path / "photos"


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch, one_thread: None) -> Callable[..., None]:
    """Runs the tool in this process."""

    def run(*arguments: str | Path) -> None:
        monkeypatch.setattr(sys, "argv", [str(TOOL), *map(str, arguments)])
        runpy.run_path(str(TOOL), run_name="__main__")

    return run


def test_shares_of_a_model_that_paints_each_domain_but_one(
    photos: Path, tmp_path: Path, judge: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    """To shine it paints what is cloudy; the other two are as they should be."""
    model = painter(tmp_path / "m.onnx", [40, 120, 40])
    judge(model, photos, "--steps", "60", "--json", tmp_path / "scores.json")
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert (scores["photos"], scores["accuracy"], scores["size"]) == (12, 1.0, [32, 32])
    perfect = {
        "photos": 8, "taken for it before": 0.0, "taken for it translated": 1.0, "its own photos before": 1.0,
        "its own photos translated": 1.0,
    }  # fmt: skip
    wrong = perfect | {"taken for it translated": 0.0, "its own photos translated": 0.0}
    assert scores["targets"] == {"cloudy": perfect, "rain": perfect, "shine": wrong}
    assert scores["mean"]["taken for it translated"] == pytest.approx(2 / 3)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "The classifier is right of 100.0% of 12 photos it has not seen."
    assert lines[-2:] == ["| shine | 0.0% | 0.0% | 100.0% | 0.0% |", "| mean | 0.0% | 66.7% | 100.0% | 66.7% |"]


def test_other_domains_than_the_models_are_one_sentence(
    photos: Path, tmp_path: Path, judge: Callable[..., None]
) -> None:
    (photos / "train" / "rain").rename(photos / "train" / "snow")
    with pytest.raises(SystemExit) as end:
        judge(painter(tmp_path / "m.onnx", [0, 0, 0]), photos)
    assert "knows cloudy, rain, shine, and" in str(end.value)
    assert "shows cloudy, shine, snow and cloudy, rain, shine" in str(end.value)
