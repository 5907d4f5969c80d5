"""A network with normalisations at two sizes and on two branches, small enough for any machine."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path

import numpy as np
from onnx import helper

from i2i.spec import Spec
from tests import tiny

SPEC = replace(tiny.RGB, receptive_field=13, tiling="statistics")


def network(path: Path, spec: Spec = SPEC, *, norms: bool = True, opset: int = 18, damage: float = 1) -> Path:
    """A convolution, one of stride 2 beside another, the way up, and a last convolution; sizes come back as they were.

    ``damage`` is a factor of the last weights; NaN makes results that are not finite.
    """
    rng = np.random.default_rng(7)
    constants: dict[str, np.ndarray] = {
        "half_range": np.array(127.5, np.float32), "one": np.array(1, np.float32), "peak": np.array(255, np.float32),
        "zero": np.array(0, np.float32), "hw": np.array([2, 3], np.int64), "start": np.array([0, 0], np.int64),
        "first": np.array([2], np.int64), "last": np.array([4], np.int64), "all": np.array([0, 1, 2, 3], np.int64),
        "double": np.array([1, 1, 2, 2], np.float32), "region": np.zeros(0, np.float32),
    }  # fmt: skip
    nodes = [
        helper.make_node("Cast", ["x"], ["float"], to=1),
        helper.make_node("Div", ["float", "half_range"], ["scaled"]),
        helper.make_node("Sub", ["scaled", "one"], ["centred"]),
        helper.make_node("Transpose", ["centred"], ["image"], perm=[0, 3, 1, 2]),
        helper.make_node("Shape", ["image"], ["shape"]),
        helper.make_node("Slice", ["shape", "first", "last"], ["size"]),
    ]

    def conv(x: str, y: str, into: int, out: int, stride: int = 1) -> str:
        constants[f"{y}.w"] = rng.normal(0, 0.4, (out, into, 3, 3)).astype(np.float32)
        attributes = {"pads": [1, 1, 1, 1], "strides": [stride, stride]}
        nodes.append(helper.make_node("Conv", [x, f"{y}.w"], [y], **attributes))
        return y

    def norm(x: str, channels: int) -> str:
        if not norms:
            return x
        constants[f"{x}.scale"] = rng.normal(1, 0.2, channels).astype(np.float32)
        constants[f"{x}.bias"] = rng.normal(0, 0.2, channels).astype(np.float32)
        names = [x, f"{x}.scale", f"{x}.bias"]
        nodes.append(helper.make_node("InstanceNormalization", names, [f"{x}.n"], epsilon=1e-4))
        return f"{x}.n"

    def node(kind: str, inputs: list[str], y: str, **attributes: object) -> str:
        nodes.append(helper.make_node(kind, inputs, [y], **attributes))
        return y

    x = node("Relu", [norm(conv("image", "a", 3, 4), 4)], "a.relu")
    left, right = norm(conv(x, "b", 4, 6, 2), 6), norm(conv(x, "c", 4, 6, 2), 6)
    x = node("Relu", [node("Add", [left, right], "sum")], "sum.relu")
    x = node("Resize", [x, "region", "double"], "doubled", mode="nearest")
    x = node("Slice", [x, "start", "size", "hw"], "cropped")
    x = node("Relu", [norm(conv(x, "d", 6, 4), 4)], "d.relu")
    x = node("Tanh", [conv(x, "e", 4, 3)], "tanh")
    constants["e.w"] *= np.float32(damage)
    x = node("Clip", [node("Mul", [node("Add", [x, "one"], "up"), "half_range"], "level"), "zero", "peak"], "clipped")
    x = node("Cast", [node("Round", [x], "rounded")], "bytes", to=2)
    node("Transpose", [x], "y", perm=[0, 2, 3, 1])
    return tiny.write(path, nodes, spec, constants, opset=opset)


@functools.cache
def photo(height: int, width: int) -> np.ndarray:
    """Broad waves with grain, brighter to the right: no two tiles have the same statistics. uint8 [h, w, 3]."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    waves = np.stack([np.sin(x / 31 + i) * np.cos(y / (17 + 5 * i)) for i in range(3)], -1)
    grain = np.random.default_rng(3).normal(0, 12, (height, width, 3))
    image = np.clip(60 + 100 * (x / width)[..., None] + 40 * waves + grain, 0, 255).astype(np.uint8)
    image.setflags(write=False)  # of all tests
    return image


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / max(1e-9, np.mean((a.astype(np.float64) - b) ** 2))))
