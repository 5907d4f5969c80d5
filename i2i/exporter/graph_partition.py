"""Parts of an exported graph: before its first layer, its layers, and after its last layer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""Operations with weights, which do most of the work."""


@dataclass(frozen=True)
class Parts:
    """Parts of a graph, as positions of its nodes.

    ``head`` has no layer before it: from pixels to numbers, padding, labels. ``tail`` has no layer after it: back to
    pixels, cropping, the mark of results that are not finite. ``first`` and ``last`` are the layers with no layer
    before and after them. All other nodes are between layers.
    """

    head: frozenset[int]
    tail: frozenset[int]
    layers: tuple[int, ...]
    first: frozenset[int]
    last: frozenset[int]

    @classmethod
    def of(cls, graph: onnx.GraphProto) -> Parts:
        """Find the parts of a graph. Raises ValueError for a graph with control flow or without layers."""
        nodes = graph.node
        if any(attribute.HasField("g") for node in nodes for attribute in node.attribute):
            raise ValueError(
                "its graph has branches, and only a graph without them can be converted to another precision"
            )
        layers = tuple(i for i, node in enumerate(nodes) if node.op_type in LAYERS)
        if not layers:
            raise ValueError("it has no layer with weights to convert to another precision")
        maker = {name: i for i, node in enumerate(nodes) for name in node.output if name}
        before: list[bool] = []  # whether a layer comes before the node
        behind = [False] * len(nodes)
        for node in nodes:  # which are in order
            made = [maker[name] for name in node.input if name in maker]
            before.append(any(before[i] or i in layers for i in made))
        for i in reversed(range(len(nodes))):
            for at in (maker[name] for name in nodes[i].input if name in maker):
                behind[at] |= behind[i] or i in layers
        others = set(range(len(nodes))) - set(layers)
        return cls(
            frozenset(i for i in others if not before[i]),
            frozenset(i for i in others if before[i] and not behind[i]),
            layers,
            frozenset(i for i in layers if not before[i]),
            frozenset(i for i in layers if not behind[i]),
        )


def weights_of(graph: onnx.GraphProto) -> Mapping[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}


def types_of(model: onnx.ModelProto) -> dict[str, int]:
    """Return the element type of every tensor that ONNX can infer."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    values: Iterable[onnx.ValueInfoProto] = (*graph.input, *graph.value_info, *graph.output)
    return {value.name: value.type.tensor_type.elem_type for value in values} | {
        tensor.name: tensor.data_type for tensor in graph.initializer
    }


def finish(model: onnx.ModelProto, nodes: Iterable[onnx.NodeProto], added: Iterable[onnx.TensorProto]) -> None:
    """Set the nodes of ``model``, keep the constants that they use, its own and ``added``, and drop type
    annotations.
    """
    nodes, graph = list(nodes), model.graph
    used = {name for node in nodes for name in node.input} | {value.name for value in graph.output}
    kept = [tensor for tensor in (*graph.initializer, *added) if tensor.name in used]
    for field, entries in ((graph.node, nodes), (graph.initializer, kept)):
        del field[:]
        field.extend(entries)
    del graph.value_info[:]
    model.ir_version = helper.find_min_ir_version_for(model.opset_import)  # it may be the export of an older i2i
    onnx.checker.check_model(model)


FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16
