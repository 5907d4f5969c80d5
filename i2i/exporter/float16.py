"""Convert a graph to half precision: layers and the operations between them in float16, the rest unchanged.

Pixels stay in float32: float16 ends at 65504, which 16-bit pixels and sums over an image exceed, and its steps between
128 and 255 are an eighth of a level. So do normalisations, whose squares overflow, and every operation that is not
known to be harmless.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from i2i.exporter.graph_partition import FLOAT, HALF, LAYERS, Parts, finish, types_of, weights_of
from i2i.runtime.graphs.float32 import widened

# Operations that move, join, add or clip values of a map's magnitude, and that ONNX has in float16.
HARMLESS = frozenset((
    "Add", "Sub", "Concat", "Pad", "Resize", "Slice", "Split", "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Expand",
    "Tile", "Identity", "Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Sigmoid", "Tanh", "Clip", "MaxPool",
    "DepthToSpace", "SpaceToDepth",
))  # fmt: skip
FLOAT_INPUTS = {"Resize": (1, 2)}
"""Inputs that ONNX only allows in float32: the region of interest, and scales."""


def to_half(model: onnx.ModelProto) -> None:
    """Convert ``model`` to half precision in place. Raises ValueError for weights beyond the range of float16."""
    graph, types, weights = model.graph, types_of(model), weights_of(model.graph)
    parts = Parts.of(graph)
    nodes: list[onnx.NodeProto] = []
    added: dict[str, onnx.TensorProto] = {}
    half: set[str] = set()  # tensors that exist as NAME/half
    whole = set(weights) | {value.name for value in graph.input}  # tensors that exist in float32
    ends = parts.head | parts.tail | group_norms(graph)

    def narrow(name: str) -> str:
        """Return the name of the tensor in float16."""
        if types.get(name) != FLOAT:
            return name
        if name not in half:
            half.add(name)
            if name in weights:
                added[name] = numpy_helper.from_array(_narrowed(name, weights[name]), f"{name}/half")
            else:
                nodes.append(helper.make_node("Cast", [name], [f"{name}/half"], to=HALF))
        return f"{name}/half"

    def widen(name: str) -> str:
        """Return the name of the tensor in float32."""
        if name not in whole and name in half:
            whole.add(name)
            nodes.append(helper.make_node("Cast", [f"{name}/half"], [name], to=FLOAT))
        return name

    for i, node in enumerate(graph.node):
        node = onnx.NodeProto.FromString(node.SerializeToString())
        if i in ends or node.op_type not in HARMLESS | set(LAYERS) or types.get(node.output[0]) != FLOAT:
            node.input[:] = [widen(name) for name in node.input]
            whole.update(node.output)
        else:
            fixed = FLOAT_INPUTS.get(node.op_type, ())
            node.input[:] = [name if at in fixed else narrow(name) for at, name in enumerate(node.input)]
            half.update(node.output)
            node.output[:] = [f"{name}/half" for name in node.output]
        nodes.append(node)
    for value in graph.output:
        widen(value.name)
    finish(model, nodes, added.values())


def group_norms(graph: onnx.GraphProto) -> set[int]:
    """Return the nodes that reshape a map for a normalisation of groups and back, which are a part of it."""
    norms = [node for node in graph.node if node.op_type == "InstanceNormalization"]
    taken, returned = {node.input[0] for node in norms}, {node.output[0] for node in norms}
    return {
        i
        for i, node in enumerate(graph.node)
        if node.op_type == "Reshape" and (node.output[0] in taken or node.input[0] in returned)
    }


def emulated(model: onnx.ModelProto) -> bytes:
    """Return the graph of ``to_half`` in float32, with each value rounded as float16 and infinite beyond its range.

    ONNX Runtime computes float16 graphs on a CPU in float32, which would not show the loss of a GPU.

    A float32 of 24 binary digits is rounded to the 11 of float16 by hi = c - (c - x), c = (2^13 + 1) x (Dekker 1971,
    https://doi.org/10.1007/BF01397083). Values below 6e-5, where float16 has fewer digits, keep eleven.
    """
    half = {name for node in model.graph.node for name in node.output if name.endswith("/half")}
    wide = onnx.load_model_from_string(widened(model.SerializeToString()))
    constants = {"emulated/split": 2.0**13 + 1, "emulated/end": 65504.0, "emulated/beyond": np.inf}
    nodes: list[onnx.NodeProto] = []
    for node in wide.graph.node:
        rounded = [name for name in node.output if name in half]
        node.output[:] = [f"{name}/exact" if name in half else name for name in node.output]
        nodes.append(node)
        for name in rounded:
            for kind, inputs, output in (
                ("Mul", ("exact", "emulated/split"), "c"),
                ("Sub", ("c", "exact"), "low"),
                ("Sub", ("c", "low"), "high"),
                ("Abs", ("high",), "size"),
                ("LessOrEqual", ("size", "emulated/end"), "fits"),
                ("Mul", ("high", "emulated/beyond"), "infinite"),
                ("Where", ("fits", "high", "infinite"), ""),
            ):
                taken = [each if each in constants else f"{name}/{each}" for each in inputs]
                nodes.append(helper.make_node(kind, taken, [f"{name}/{output}".rstrip("/")]))
    added = [numpy_helper.from_array(np.array(value, np.float32), name) for name, value in constants.items()]
    finish(wide, nodes, added)
    return wide.SerializeToString()


def _narrowed(name: str, values: np.ndarray) -> np.ndarray:
    largest = float(np.abs(values).max(initial=0))
    if largest > float(np.finfo(np.float16).max):
        raise ValueError(f"its weight {name!r} reaches {largest:.3g}, and float16 ends at 65504")
    return values.astype(np.float16)
