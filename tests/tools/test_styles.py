"""The program that compares the results of one image in several styles."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from i2i.images import Image, write_image
from i2i.metrics.pairs import edge_agreement
from i2i.runtime import Model
from tests import tiny
from tests.evaluation.conftest import drawing, features

__all__ = ["features"]

PROGRAM = Path(__file__).resolve().parents[2] / "tools" / "reproduce" / "styles.py"


@pytest.fixture
def program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("styles", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_model_of_one_result_has_no_diversity_and_one_with_styles_has(
    program: ModuleType, tmp_path: Path, features: str, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(2):
        write_image(photos / f"{number}.png", Image(np.clip(drawing(number), 60, 190)))
    night, plain = tiny.styled(tmp_path / "night.onnx"), tiny.inverter(tmp_path / "plain.onnx")
    options = ["--styles", "3", "--features", features, "--real", str(photos), "--out", str(tmp_path / "found.json")]
    found = program.main([str(photos), str(night), str(plain), *options])
    assert found == json.loads((tmp_path / "found.json").read_text())
    assert (found[str(night)]["styles"], found[str(plain)]["styles"]) == (3, 1)
    assert found[str(night)]["diversity"][0] > 0 == found[str(plain)]["diversity"][0]
    assert found["real"] > 0
    source = np.clip(drawing(0), 60, 190)
    results = [Model(night, "cpu").styled(seed=seed)(source) for seed in range(3)]
    edges = [edge_agreement(result, source) for result in results]
    assert 0.9 < np.mean(edges) <= 1
    assert found[str(night)]["edges"][0] > 0.9
    assert f"| {plain} | 1 | 0.000 ± 0.000 |" in capsys.readouterr().out


def test_one_style_cannot_be_compared(program: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        program.main([str(tmp_path), "m.onnx", "--styles", "1"])
