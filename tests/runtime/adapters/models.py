"""Graphs like those of third parties, without a description, whose results can be computed by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import helper

from tests import tiny

FREE = ("n", 3, "h", "w")


def graph(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    constants: Mapping[str, object] | None = None,
    shape: Sequence[object] = FREE,
    output: Sequence[object] | None = None,
    types: tuple[str, str] = ("float32", "float32"),
    says: Mapping[str, str] | None = None,
) -> Path:
    """Write a model from ``x`` to ``y``; ``says`` is its metadata."""
    arrays = {name: np.asarray(value) for name, value in (constants or {}).items()}
    ends = [("x", types[0], list(shape))], [("y", types[1], list(output or shape))]
    tiny.write(path, nodes, None, arrays, *ends)
    if says:
        model = onnx.load(path)
        helper.set_model_props(model, dict(says))
        path.write_bytes(model.SerializeToString())
    return path


def mirror(path: Path, about: float, shape: Sequence[object] = FREE, **more: object) -> Path:
    """about - x: the negative, where ``about`` is black plus white."""
    return graph(path, [helper.make_node("Sub", ["about", "x"], ["y"])], {"about": np.float32(about)}, shape, **more)


def tinted(path: Path, layout: str) -> Path:
    """Adds 0.1, 0.2 and 0.3 to the channels, of any size."""
    tint = np.array([0.1, 0.2, 0.3], np.float32).reshape((3, 1, 1) if layout == "nchw" else 3)
    shape = FREE if layout == "nchw" else ("n", "h", "w", 3)
    return graph(path, [helper.make_node("Add", ["x", "tint"], ["y"])], {"tint": tint}, shape)


def larger(path: Path, times: int = 2, shape: Sequence[object] = FREE) -> Path:
    """Each pixel ``times`` x ``times``."""
    nodes = [helper.make_node("Resize", ["x", "", "scales"], ["y"], mode="nearest", nearest_mode="floor",
                              coordinate_transformation_mode="asymmetric")]  # fmt: skip
    output = [size * times if isinstance(size, int) and axis > 1 else size for axis, size in enumerate(shape)]
    output = [f"{size}_" if isinstance(size, str) and axis > 1 else size for axis, size in enumerate(output)]
    return graph(path, nodes, {"scales": np.array([1, 1, times, times], np.float32)}, shape, output)


def in_blocks(path: Path, side: int) -> Path:
    """The image itself, for sides that are multiples of ``side``; an error for others."""
    nodes = [
        helper.make_node("SpaceToDepth", ["x"], ["d"], blocksize=side),
        helper.make_node("DepthToSpace", ["d"], ["y"], blocksize=side),
    ]
    return graph(path, nodes)


def rounding_up(path: Path) -> Path:
    """The image itself, one pixel larger where a side is odd."""
    nodes = [
        helper.make_node("MaxPool", ["x"], ["d"], kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
        helper.make_node("Resize", ["d", "", "scales"], ["y"], mode="nearest"),
    ]
    return graph(path, nodes, {"scales": np.array([1, 1, 2, 2], np.float32)}, output=("n", 3, "h2", "w2"))


def constant(path: Path, value: float, shape: Sequence[object] = FREE, channels: int = 3) -> Path:
    """The same value everywhere, in so many times three channels."""
    nodes = [
        helper.make_node("Mul", ["x", "zero"], ["z"]),
        helper.make_node("Add", ["z", "value"], ["v"]),
        helper.make_node("Concat", ["v"] * (channels // 3), ["y"], axis=1),
    ]
    constants = {"zero": np.float32(0), "value": np.float32(value)}
    return graph(path, nodes, constants, shape, (*shape[:1], channels, *shape[2:]))


def two_outputs(path: Path) -> Path:
    """A model with the outputs ``d0``, the negative, and ``d1``, the image itself."""
    nodes = [helper.make_node("Sub", ["one", "x"], ["d0"]), helper.make_node("Identity", ["x"], ["d1"])]
    outputs = [(name, "float32", list(FREE)) for name in ("d0", "d1")]
    return tiny.write(path, nodes, None, {"one": np.asarray(1, np.float32)}, [("x", "float32", list(FREE))], outputs)


def split(path: Path, location: str = "weights.data") -> Path:
    """Move the weights of a model into another file."""
    onnx.save(onnx.load(path), path, save_as_external_data=True, location=location, size_threshold=0)
    return path


def without_shapes(path: Path, ends: Sequence[str] = ("input", "output")) -> Path:
    """Drop the shapes of a model's inputs or outputs."""
    model = onnx.load(path)
    for end in ends:
        for value in getattr(model.graph, end):
            value.type.tensor_type.ClearField("shape")
    path.write_bytes(model.SerializeToString())
    return path
