"""The measuring program, on pairs whose answer is known."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from i2i.spec import METADATA_KEY, Domain, Spec

TOOL = Path(__file__).resolve().parents[2] / "tools" / "evaluate_pairs.py"


def inverter(path: Path) -> Path:
    """A model from b to a that returns 255 - image."""
    kinds = [helper.make_tensor_value_info(n, TensorProto.UINT8, ["n", "h", "w", 3]) for n in ("image", "translation")]
    to, back = (helper.make_node("Cast", [i], [o], to=t) for i, o, t in (("image", "x", 1), ("y", "translation", 2)))
    minus = helper.make_node("Sub", ["white", "x"], ["y"])
    white = helper.make_tensor("white", TensorProto.FLOAT, [], [255.0])
    graph = helper.make_graph([to, minus, back], "g", kinds[:1], kinds[1:], [white])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    model.metadata_props.add(key=METADATA_KEY, value=Spec("pix2pix", "b2a", Domain("b"), Domain("a")).to_json())
    onnx.save(model, path)
    return path


def write_pair(path: Path, a: np.ndarray, b: np.ndarray) -> None:
    path.parent.mkdir(exist_ok=True)
    assert cv2.imwrite(str(path), np.concatenate([a, b], axis=1))


def evaluate(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    program = f"import sys, runpy; sys.modules['torch'] = None; runpy.run_path({str(TOOL)!r}, run_name='__main__')"
    root = TOOL.parents[1]
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True, cwd=root, timeout=120
    )


def test_model_and_baselines_on_pairs_with_known_answers(tmp_path: Path) -> None:
    """Every truth is one level below the inverted input, and the training photos are 100 and 120, so 110 on average."""
    rng = np.random.default_rng(0)
    for number in range(3):
        b = rng.integers(0, 200, (16, 20, 3)).astype(np.uint8)
        write_pair(tmp_path / "val" / f"{number}.png", 254 - b, b)
    for number, level in enumerate((100, 120)):
        flat = np.full((16, 20, 3), level, np.uint8)
        write_pair(tmp_path / "train" / f"{number}.png", flat, flat)
    done = evaluate(inverter(tmp_path / "m.onnx"), tmp_path / "val", "--json", tmp_path / "scores.json")
    assert done.returncode == 0, done.stderr
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert (scores["images"], scores["direction"], len(scores["by_image"])) == (3, "b2a", 3)
    means = scores["means"]
    assert means["the model"]["L1"] == pytest.approx(1 / 255)
    assert means["the model"]["PSNR"] == pytest.approx(20 * np.log10(255))
    truths = [254 - cv2.imread(str(tmp_path / "val" / f"{n}.png"))[:, 20:].astype(float) for n in range(3)]
    assert means["the mean training photo"]["L1"] == pytest.approx(np.mean([abs(t - 110).mean() for t in truths]) / 255)
    assert means["the input itself"]["L1"] == pytest.approx(np.mean([abs(t - (254 - t)).mean() for t in truths]) / 255)
    lines = done.stdout.splitlines()
    assert lines[0] == "| 3 images | L1 | PSNR (dB) | SSIM |"
    assert lines[2].startswith("| the model | 0.0039 | 48.13 | ")
    assert lines[-1] == "| images on which the model is best | 100 % | 100 % | 100 % |"


def test_no_pairs_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "val").mkdir()
    done = evaluate(inverter(tmp_path / "m.onnx"), tmp_path / "val", "--train", tmp_path / "val")
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {tmp_path / 'val'}: no images")
    write_pair(tmp_path / "val" / "odd.png", np.zeros((8, 8, 3), np.uint8), np.zeros((8, 9, 3), np.uint8))
    done = evaluate(inverter(tmp_path / "m.onnx"), tmp_path / "val", "--train", tmp_path / "val")
    assert "odd.png: 17 pixels wide" in done.stderr
