"""Editing of ONNX graphs: add nodes and constants, choose outputs, drop what is unused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper


class Edit:
    """One rewrite of a model. Nodes may be added in any order; ``finish`` sorts them and drops the unused ones.

    Attributes:
        model: the model, with its inputs and weights.
        nodes: the nodes of its graph, which ``finish`` writes back.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model, self.nodes = model, list(model.graph.node)
        self._opset = max(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))

    def constant(self, name: str, value: np.ndarray | np.generic) -> str:
        """Add a constant and return its name."""
        self.model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def add(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Add a node with the operator ``kind`` and return the name of its output."""
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def split(self, x: str, sizes: Sequence[int], parts: Sequence[str], axis: int) -> None:
        """Split ``x`` along an axis into ``parts`` of these sizes, in the form of the model's opset."""
        if self._opset < 13:
            self.nodes.append(helper.make_node("Split", [x], list(parts), axis=axis, split=list(sizes)))
            return
        lengths = self.constant(f"{x}/split", np.array(sizes, np.int64))
        self.nodes.append(helper.make_node("Split", [x, lengths], list(parts), axis=axis))

    def reduce(self, kind: str, x: str, name: str, axes: Sequence[int]) -> str:
        """Reduce ``x`` along axes, which are kept with size 1, in the form of the model's opset; return the name."""
        if self._opset < (13 if kind == "ReduceSum" else 18):
            return self.add(kind, [x], name, axes=list(axes), keepdims=1)
        return self.add(kind, [x, self.constant(f"{name}/axes", np.array(axes, np.int64))], name, keepdims=1)

    def finish(self, outputs: Sequence[onnx.ValueInfoProto] | None = None) -> bytes:
        """Return the bytes of the model with these ``outputs`` or its own, and only the nodes and weights they need."""
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
