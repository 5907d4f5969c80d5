"""The trainer of judges, on drawings whose domain is their level of grey."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from i2i.evaluation.networks import Classifier, open_judge
from i2i.evaluation.pictures import Picture
from i2i.images import Image

pytest.importorskip("torch")
TOOL = Path(__file__).resolve().parents[2] / "tools" / "train_judge.py"
LEVELS = {"cloudy": 40, "rain": 120, "shine": 200}


@pytest.mark.slow
def test_a_judge_tells_its_domains_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], one_thread: None
) -> None:
    """The file takes pixels, knows the names of its classes, and judges as the classifier did."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 8), ("test", 4)):
        for name, level in LEVELS.items():
            (tmp_path / "photos" / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = np.clip(level + rng.integers(-15, 16, (40, 50, 3)), 0, 255).astype(np.uint8)
                cv2.imwrite(str(tmp_path / "photos" / split / name / f"{number}.png"), pixels)
    out = tmp_path / "judge.onnx"
    words = [str(TOOL), str(tmp_path / "photos"), "-o", str(out), "--size", "32", "--steps", "60"]
    monkeypatch.setattr(sys, "argv", words)
    runpy.run_path(str(TOOL), run_name="__main__")
    assert capsys.readouterr().out.splitlines()[0] == "100.0% of 12 photos of test are classified correctly"
    judge = open_judge(out, "cpu")
    assert isinstance(judge, Classifier)
    assert (judge.classes, judge.size) == (["cloudy", "rain", "shine"], (32, 32))
    for number, level in enumerate(LEVELS.values()):
        picture = Picture(Image(np.full((50, 40, 3), level, np.uint8)), "flat")
        assert judge(picture) == number


def test_data_without_domains_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [str(TOOL), str(tmp_path), "-o", str(tmp_path / "judge.onnx")])
    with pytest.raises(SystemExit, match="there is no folder of a domain"):
        runpy.run_path(str(TOOL), run_name="__main__")
    assert not (tmp_path / "judge.onnx").exists()
