"""ONNX files of a few hundred bytes, built by ``onnx.helper``, whose results can be computed by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from i2i.spec import METADATA_KEY, STYLE_ENCODER, Code, Domain, Prior, Spec

NUMBERS = {
    "uint8": TensorProto.UINT8,
    "int64": TensorProto.INT64,
    "float32": TensorProto.FLOAT,
    "float16": TensorProto.FLOAT16,
}
RGB = Spec("tiny", "a2b", Domain("photo"), Domain("negative"))
GREY = Spec("tiny", "a2b", Domain("photo", 1), Domain("negative", 1))
RGBA = Spec("tiny", "a2b", Domain("photo", 4), Domain("negative", 4))
DEEP = Spec("tiny", "a2b", Domain("photo", 3, 16), Domain("negative", 3, 16))
WEATHER = Spec("tiny", "any", Domain("weather"), Domain("weather"), domains=("cloudy", "rain", "shine"))
FACES = Spec("tiny", "any", Domain("faces"), Domain("faces"), domains=("male", "young", "smiling"), attributes=True)
STYLED = Spec("tiny", "a2b", Domain("photo"), Domain("night"), prior=Prior(3, (0, 0)), schema=3, recipe={"step": 7})
PRIOR = Prior(4, (6, 5), codes=(Code("digit", 3), Code("slant")))
SHAPES = Spec("tiny", "generate", Domain("shapes"), Domain("shapes"), kind="generator", prior=PRIOR, schema=3)
DEEP_GREY = Spec("tiny", "a2b", Domain("photo", 1, 16), Domain("negative", 1, 16))


def write(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    spec: Spec | None,
    constants: dict[str, np.ndarray] | None = None,
    inputs: Sequence[tuple[str, str, list[object]]] = (("x", "uint8", ["n", "h", "w", 3]),),
    outputs: Sequence[tuple[str, str, list[object]]] = (("y", "uint8", ["n", "h", "w", 3]),),
    opset: int = 18,
) -> Path:
    """A model of these nodes; inputs and outputs are (name, type, shape)."""
    graph = helper.make_graph(
        list(nodes),
        "tiny",
        *([helper.make_tensor_value_info(n, NUMBERS[t], s) for n, t, s in ends] for ends in (inputs, outputs)),
        [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    if spec is not None:
        helper.set_model_props(model, {METADATA_KEY: spec.to_json()})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())
    return path


def inverter(path: Path, spec: Spec = RGB, *, weights: float = -1) -> Path:
    """peak + weights * x, in the form that the Spec promises."""
    if spec.io == "tensor":
        nodes = [helper.make_node("Neg", ["x"], ["y"])]
        shapes = [["n", end.channels, "h", "w"] for end in (spec.source, spec.target)]
        return write(path, nodes, spec, {}, [("x", "float32", shapes[0])], [("y", "float32", shapes[1])])
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["f", "weights"], ["m"]),
        helper.make_node("Add", ["m", "peak"], ["s"]),
        helper.make_node("Cast", ["s"], ["y"], to=NUMBERS[spec.dtype]),
    ]
    constants = {"weights": np.float32(weights), "peak": np.float32(spec.source.peak)}
    shapes = [["n", "h", "w", end.channels] for end in (spec.source, spec.target)]
    ends = [[(name, spec.dtype, shape)] for name, shape in zip("xy", shapes, strict=True)]
    return write(path, nodes, spec, {k: np.asarray(v) for k, v in constants.items()}, *ends)


def brighter(path: Path, spec: Spec = WEATHER) -> Path:
    """x + 10 for the domain of index 0, x + 20 for index 1 and so on; x + 1, 2, 4 ... together for attributes.

    As a bare network those are 255ths of the range.
    """
    image = ["n", 3, "h", "w"] if spec.io == "tensor" else ["n", "h", "w", 3]
    numbers = "float32" if spec.io == "tensor" else spec.dtype
    steps = 2 ** np.arange(len(spec.domains)) if spec.attributes else 10 * (1 + np.arange(len(spec.domains)))
    choice = (
        helper.make_node("MatMul", ["target", "steps"], ["each"])
        if spec.attributes
        else helper.make_node("Gather", ["steps", "target"], ["each"])
    )
    nodes = [
        choice,
        helper.make_node("Unsqueeze", ["each", "axes"], ["step"]),
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["f", "step"], ["s"]),
        helper.make_node("Cast", ["s"], ["y"], to=NUMBERS[numbers]),
    ]
    target = ("target", "float32", ["n", len(spec.domains)]) if spec.attributes else ("target", "int64", ["n"])
    scale = 127.5 if spec.io == "tensor" else 1
    constants = {"steps": (steps / scale).astype(np.float32), "axes": np.array([1, 2, 3])}
    return write(path, nodes, spec, constants, [("x", numbers, image), target], [("y", numbers, image)])


def styled(path: Path, spec: Spec = STYLED) -> Path:
    """x + 10 * style, rounded, channel by channel; beside it the encoder, whose style is a tenth of the mean colour."""
    nodes = [
        helper.make_node("Mul", ["style", "ten"], ["strong"]),
        helper.make_node("Unsqueeze", ["strong", "axes"], ["step"]),
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["f", "step"], ["s"]),
        helper.make_node("Round", ["s"], ["r"]),
        helper.make_node("Cast", ["r"], ["y"], to=TensorProto.UINT8),
    ]
    axes, ten = np.array([1, 2]), np.array(10, np.float32)
    image, style = ("x", "uint8", ["n", "h", "w", 3]), ("style", "float32", ["n", 3])
    encoder = [
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["f", "axes"], ["mean"], keepdims=0),
        helper.make_node("Div", ["mean", "ten"], ["style"]),
    ]
    about = replace(spec, kind=STYLE_ENCODER, source=spec.target)
    write(path.with_suffix(".style.onnx"), encoder, about, {"axes": axes, "ten": ten}, [image], [style])
    return write(path, nodes, spec, {"axes": axes, "ten": ten}, [image, style])


def drawn(z: np.ndarray, spec: Spec = SHAPES, step: float = 0) -> np.ndarray:
    """Return the image that ``draws`` draws from one z: float64 [h, w, c], not rounded; its target adds ``step``."""
    assert spec.prior is not None
    shape = (*spec.prior.size, spec.target.channels)
    numbers = 128 + step + 40 * np.resize(z.astype(np.float64), np.prod(shape)).reshape(shape)
    return np.clip(numbers, 0, 255) * (spec.target.peak / 255)


def draws(path: Path, spec: Spec = SHAPES) -> Path:
    """A generator whose pixels are 128 + 40 z, with the numbers of z in turn over rows, columns and channels.

    A target adds to it: 10 times (1 + its index), or for attributes 1, 2, 4 ... together; a text the sum of its ids.
    """
    assert spec.prior is not None
    shape, length = (*spec.prior.size, spec.target.channels), spec.prior.length
    turns = np.resize(np.eye(length, dtype=np.float32), (int(np.prod(shape)), length)).T
    constants = {
        "turns": 40 * turns, "level": np.float32(128), "shape": np.array([-1, *shape]), "black": np.float32(0),
        "white": np.float32(255), "scale": np.float32(spec.target.peak / 255), "half": np.float32(127.5),
        "one": np.float32(1), "axes": np.array([1]),
    }  # fmt: skip
    nodes = [helper.make_node("MatMul", ["z", "turns"], ["flat"]), helper.make_node("Add", ["flat", "level"], ["sum"])]
    inputs: list[tuple[str, str, list[object]]] = [("z", "float32", ["n", length])]
    if spec.prior.words:
        nodes += [
            helper.make_node("Cast", ["text"], ["ids"], to=TensorProto.FLOAT),
            helper.make_node("ReduceSum", ["ids", "axes"], ["said"]),
            helper.make_node("Add", [nodes.pop().input[0], "level"], ["silent"]),
            helper.make_node("Add", ["silent", "said"], ["sum"]),
        ]
        inputs.append(("text", "int64", ["n", spec.prior.words]))
    if spec.domains:
        steps = 2 ** np.arange(len(spec.domains)) if spec.attributes else 10 * (1 + np.arange(len(spec.domains)))
        constants["steps"] = steps.astype(np.float32)
        choose = ("MatMul", ["target", "steps"]) if spec.attributes else ("Gather", ["steps", "target"])
        target = ("target", "float32", ["n", len(spec.domains)]) if spec.attributes else ("target", "int64", ["n"])
        nodes += [
            helper.make_node(*choose, ["each"]),
            helper.make_node("Unsqueeze", ["each", "axes"], ["step"]),
            helper.make_node("Add", ["sum", "step"], ["sums"]),
        ]
        inputs.append(target)
    nodes += [
        helper.make_node("Reshape", ["sums" if spec.domains else "sum", "shape"], ["image"]),
        helper.make_node("Clip", ["image", "black", "white"], ["clipped"]),
    ]
    output: list[object] = ["n", *shape]
    if spec.io == "tensor":
        output = ["n", shape[2], *shape[:2]]
        nodes += [
            helper.make_node("Div", ["clipped", "half"], ["halves"]),
            helper.make_node("Sub", ["halves", "one"], ["centred"]),
            helper.make_node("Transpose", ["centred"], ["y"], perm=[0, 3, 1, 2]),
        ]
    elif spec.dtype == "float32":
        nodes.append(helper.make_node("Mul", ["clipped", "scale"], ["y"]))
    else:
        nodes += [
            helper.make_node("Round", ["clipped"], ["whole"]),
            helper.make_node("Cast", ["whole"], ["y"], to=TensorProto.UINT8),
        ]
    numbers = "float32" if spec.io == "tensor" else spec.dtype
    arrays = {name: np.asarray(value) for name, value in constants.items()}
    return write(path, nodes, spec, arrays, inputs, [("y", numbers, output)])


def to_grey(path: Path) -> Path:
    """RGB in, its mean out as one channel, rounded down."""
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["f", "axis"], ["m"], keepdims=1),
        helper.make_node("Cast", ["m"], ["y"], to=TensorProto.UINT8),
    ]
    spec = replace(RGB, target=Domain("negative", 1))
    return write(path, nodes, spec, {"axis": np.array([3])}, outputs=[("y", "uint8", ["n", "h", "w", 1])])


def filler(path: Path) -> Path:
    """Colours with holes of grey (128) in, their negative out: 127 in the holes of an image, which stays elsewhere."""
    nodes = [
        helper.make_node("Slice", ["x", "zero", "three", "axis"], ["c"]),
        helper.make_node("Sub", ["white", "c"], ["y"]),
    ]
    constants = {name: np.array([value]) for name, value in (("zero", 0), ("three", 3), ("axis", 3))}
    spec = replace(RGB, source=Domain("photo", 4), derive="mask:box")
    inputs = [("x", "uint8", ["n", "h", "w", 4])]
    return write(path, nodes, spec, {**constants, "white": np.asarray(np.uint8(255))}, inputs)


def tinted(path: Path) -> Path:
    """Adds (1, 2, 3) to the channels of an image, so grey does not stay grey."""
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["f", "tint"], ["s"]),
        helper.make_node("Cast", ["s"], ["y"], to=TensorProto.UINT8),
    ]
    return write(path, nodes, RGB, {"tint": np.array([1, 2, 3], np.float32)})


def not_a_number(path: Path, spec: Spec = DEEP) -> Path:
    """Float images whose every dark pixel comes back as 0 / 0."""
    nodes = [helper.make_node("Div", ["x", "x"], ["y"])]
    shape: list[object] = ["n", "h", "w", spec.source.channels]
    return write(path, nodes, spec, {}, [("x", "float32", shape)], [("y", "float32", shape)])


def checkerboard(path: Path) -> Path:
    """uint8 images: a white one comes back as the sign of a result that is not finite, another as it is."""
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Shape", ["x"], ["height"], start=1, end=2),
        helper.make_node("Shape", ["x"], ["width"], start=2, end=3),
        helper.make_node("Squeeze", ["height"], ["height0"]),
        helper.make_node("Squeeze", ["width"], ["width0"]),
        helper.make_node("Range", ["zero", "height0", "one"], ["rows"]),
        helper.make_node("Range", ["zero", "width0", "one"], ["columns"]),
        helper.make_node("Unsqueeze", ["rows", "two_axes"], ["rows3"]),
        helper.make_node("Unsqueeze", ["columns", "one_axis"], ["columns2"]),
        helper.make_node("Add", ["rows3", "columns2"], ["sums"]),
        helper.make_node("Mod", ["sums", "two"], ["odd"]),
        helper.make_node("Cast", ["odd"], ["odd_float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["odd_float", "peak"], ["board"]),
        helper.make_node("ReduceMin", ["f"], ["least"], keepdims=0),
        helper.make_node("Equal", ["least", "peak"], ["white"]),
        helper.make_node("Where", ["white", "board", "f"], ["s"]),
        helper.make_node("Cast", ["s"], ["y"], to=TensorProto.UINT8),
    ]
    constants = {"zero": np.int64(0), "one": np.int64(1), "two": np.int64(2), "peak": np.float32(255)}
    arrays = {name: np.asarray(value) for name, value in constants.items()}
    return write(path, nodes, RGB, arrays | {"two_axes": np.array([1, 2]), "one_axis": np.array([1])})
