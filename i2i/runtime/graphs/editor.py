"""An ONNX graph on its way to another: what is added to its nodes, and what is left of them in the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper


class Edit:
    """Nodes are added at the end, in any order; those that the outputs do not rest on are gone when it is finished.

    Attributes:
        model: with its inputs and weights.
        nodes: of its graph, until ``finish`` puts them in.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model, self.nodes = model, list(model.graph.node)
        self._opset = max(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))

    def constant(self, name: str, value: np.ndarray | np.generic) -> str:
        self.model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def add(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def split(self, x: str, sizes: Sequence[int], parts: Sequence[str], axis: int) -> None:
        """``x`` cut along an axis, as the model's opset says how long the parts are."""
        if self._opset < 13:
            self.nodes.append(helper.make_node("Split", [x], list(parts), axis=axis, split=list(sizes)))
            return
        lengths = self.constant(f"{x}/split", np.array(sizes, np.int64))
        self.nodes.append(helper.make_node("Split", [x, lengths], list(parts), axis=axis))

    def reduce(self, kind: str, x: str, name: str, axes: Sequence[int]) -> str:
        """``x`` reduced along these axes, which stay, as the model's opset says them."""
        if self._opset < (13 if kind == "ReduceSum" else 18):
            return self.add(kind, [x], name, axes=list(axes), keepdims=1)
        return self.add(kind, [x, self.constant(f"{name}/axes", np.array(axes, np.int64))], name, keepdims=1)

    def finish(self, outputs: Sequence[onnx.ValueInfoProto] | None = None) -> bytes:
        """The bytes of the model, which returns these ``outputs`` or its own, and holds only what they need."""
        graph = self.model.graph
        if outputs is not None:
            outputs = list(outputs)
            del graph.output[:]
            graph.output.extend(outputs)
        nodes = _needed(self.nodes, [value.name for value in graph.output])
        used = {name for node in nodes for name in node.input}
        weights = [tensor for tensor in graph.initializer if tensor.name in used]
        for field, kept in ((graph.node, nodes), (graph.initializer, weights)):
            del field[:]
            field.extend(kept)
        del graph.value_info[:]
        return self.model.SerializeToString()


def _needed(nodes: Sequence[onnx.NodeProto], outputs: Sequence[str]) -> list[onnx.NodeProto]:
    """Return the nodes that the outputs depend on, in topological order."""
    maker = {name: node for node in nodes for name in node.output if name}
    done: set[str] = set()
    order: list[onnx.NodeProto] = []
    waiting = [(name, False) for name in reversed(outputs)]
    while waiting:
        name, ready = waiting.pop()
        node = maker.get(name)
        if node is None or node.output[0] in done:
            continue
        if ready:
            done.add(node.output[0])
            order.append(node)
        else:
            waiting.append((name, True))
            waiting.extend((part, False) for part in reversed(node.input))
    return order
