"""Folders of drawings, and networks of a few nodes that look at them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from i2i.images import Image, write_image
from tests import tiny

Folder = Callable[..., Path]


def drawing(number: int, size: int = 32, level: int = 0) -> np.ndarray:
    """A bright disc somewhere on a gradient, [size, size, 3] uint8."""
    rng = np.random.default_rng(number)
    y, x = np.mgrid[:size, :size] / size
    centre, radius = rng.uniform(0.25, 0.75, 2), rng.uniform(0.1, 0.25)
    disc = np.hypot(y - centre[0], x - centre[1]) < radius
    pixels = np.stack([60 + 60 * x, 40 + 80 * y, np.full_like(x, 90)], axis=2)
    pixels[disc] = rng.uniform(150, 255, 3)
    return np.clip(pixels + level, 0, 255).astype(np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Writes drawings of these numbers into a folder, changed by ``change``."""

    def write(
        name: str,
        numbers: range,
        change: Callable[[np.ndarray], np.ndarray] = lambda x: x,
        suffix: str = ".png",
        size: int = 32,
    ) -> Path:
        path = tmp_path / name
        path.mkdir(parents=True, exist_ok=True)
        for number in numbers:
            write_image(path / f"{number:03}{suffix}", Image(change(drawing(number, size))))
        return path

    return write


@pytest.fixture
def features(tmp_path: Path) -> str:
    """An extractor: the means of 8 x 8 squares as the only map, and their mean and spread as features."""
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]),
        helper.make_node("Div", ["t", "scale"], ["s"]),
        helper.make_node("AveragePool", ["s"], ["maps"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Flatten", ["maps"], ["vector"]),
    ]
    outputs = [("vector", "float32", ["n", 48]), ("maps", "float32", ["n", 3, 4, 4])]
    path = tmp_path / "squares.onnx"
    tiny.write(path, nodes, None, {"scale": np.float32(64)}, [("x", "float32", ["n", 32, 32, 3])], outputs)
    return f"onnx:{path}"


@pytest.fixture
def brightness_judge(tmp_path: Path) -> Path:
    """A classifier: "dark" or "bright", by the mean of all pixels."""
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=1),
        helper.make_node("ReduceMean", ["f", "axes"], ["mean"], keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "one"], ["column"]),
        helper.make_node("Sub", ["limit", "column"], ["dark"]),
        helper.make_node("Sub", ["column", "limit"], ["bright"]),
        helper.make_node("Concat", ["dark", "bright"], ["y"], axis=1),
    ]
    constants = {"axes": np.array([1, 2, 3]), "one": np.array([1]), "limit": np.float32(110)}
    path = tmp_path / "judge.onnx"
    tiny.write(path, nodes, None, constants, outputs=[("y", "float32", ["n", 2])])
    model = onnx.load(path)
    helper.set_model_props(model, {"classes": json.dumps(["dark", "bright"])})
    onnx.save(model, path)
    return path


@pytest.fixture
def red_segmenter(tmp_path: Path) -> Path:
    """A segmenter: class 1 where red is above 140, else 0; at half the resolution."""
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]),
        helper.make_node("MaxPool", ["t"], ["half"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Slice", ["half", "zero", "one", "one"], ["red"]),
        helper.make_node("Sub", ["limit", "red"], ["other"]),
        helper.make_node("Sub", ["red", "limit"], ["disc"]),
        helper.make_node("Concat", ["other", "disc"], ["y"], axis=1),
    ]
    constants = {"zero": np.array([0]), "one": np.array([1]), "limit": np.float32(140)}
    ends = [("x", "float32", ["n", "h", "w", 3])], [("y", "float32", ["n", 2, "h2", "w2"])]
    return tiny.write(tmp_path / "segmenter.onnx", nodes, None, constants, *ends)
