"""The parts of an exported graph: what lies before its first layer, its layers, and what lies behind the last one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""What has weights and does the work."""


@dataclass(frozen=True)
class Parts:
    """Of a graph, by the positions of its nodes.

    ``head`` is what no layer comes before: from pixels to numbers, padding, labels. ``tail`` is what no layer comes
    behind: back to pixels, cropping, the mark of what is not finite. Of the layers, ``first`` and ``last`` are those
    with none before and none behind them. Whatever is left lies between layers.
    """

    head: frozenset[int]
    tail: frozenset[int]
    layers: tuple[int, ...]
    first: frozenset[int]
    last: frozenset[int]

    @classmethod
    def of(cls, graph: onnx.GraphProto) -> Parts:
        """Raises ValueError for a graph that branches, or has no layers."""
        nodes = graph.node
        if any(attribute.HasField("g") for node in nodes for attribute in node.attribute):
            raise ValueError("its graph branches, and only a graph without branches is brought to another precision")
        layers = tuple(i for i, node in enumerate(nodes) if node.op_type in LAYERS)
        if not layers:
            raise ValueError("it has no layer with weights, so there is nothing to bring to another precision")
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
    """The element type of every tensor whose type ONNX can tell."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    values: Iterable[onnx.ValueInfoProto] = (*graph.input, *graph.value_info, *graph.output)
    return {value.name: value.type.tensor_type.elem_type for value in values} | {
        tensor.name: tensor.data_type for tensor in graph.initializer
    }


def finish(model: onnx.ModelProto, nodes: Iterable[onnx.NodeProto], added: Iterable[onnx.TensorProto]) -> None:
    """Gives ``model`` these nodes, the constants that they need of its own and of ``added``, and no notes on types."""
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
