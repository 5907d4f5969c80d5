"""Convolutional networks as ONNX graphs, built node by node from their tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 18


def folding(
    weights: Mapping[str, np.ndarray], weight: str, normalisation: str, epsilon: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the weight and the bias of a convolution with the batch normalisation behind it, float32."""
    of = {part: weights[f"{normalisation}.{part}"].astype(np.float64)
          for part in ("weight", "bias", "running_mean", "running_var")}  # fmt: skip
    factor = of["weight"] / np.sqrt(of["running_var"] + epsilon)
    bias = (of["bias"] - of["running_mean"] * factor).astype(np.float32)
    return (weights[weight] * factor[:, None, None, None]).astype(np.float32), bias


class Graph:
    """A graph under construction: each method adds a node and returns the name of its output."""

    def __init__(self, weights: Mapping[str, np.ndarray], epsilon: float) -> None:
        """``epsilon`` is that of the batch normalisations, which are folded into the convolutions before them."""
        self.weights, self.epsilon = weights, epsilon
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}

    def node(self, kind: str, inputs: Sequence[str], name: str | None = None, **attributes: Any) -> str:
        name = name or f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, value: np.ndarray | np.generic, name: str | None = None) -> str:
        name = name or f"c{len(self.constants)}"
        self.constants[name] = np.asarray(value)
        return name

    def pixels(self, name: str, mean: float, deviation: float) -> str:
        """Add the normalisation of the input, pixels [n, h, w, 3]; return [n, 3, h, w]."""
        shifted = self.node("Sub", [name, self.constant(np.float32(mean))])
        scaled = self.node("Div", [shifted, self.constant(np.float32(deviation))])
        return self.node("Transpose", [scaled], perm=[0, 3, 1, 2])

    def convolution(self, x: str, weight: str, normalisation: str, **attributes: Any) -> str:
        """Add the convolution of a weight with the batch normalisation of that name behind it."""
        folded, bias = folding(self.weights, weight, normalisation, self.epsilon)
        inputs = [x, self.constant(folded, weight), self.constant(bias, f"{normalisation}.folded")]
        return self.node("Conv", inputs, **attributes)

    def pooled(self, x: str, name: str | None = None) -> str:
        """Add the mean over height and width; return [n, c]."""
        return self.node("ReduceMean", [x, self.constant(np.array([2, 3]))], name, keepdims=0)

    def linear(self, x: str, layer: str, name: str) -> str:
        parts = [f"{layer}.{part}" for part in ("weight", "bias")]
        return self.node("Gemm", [x, *(self.constant(self.weights[part], part) for part in parts)], name, transB=1)

    def model(self, size: int, outputs: Mapping[str, Sequence[int | str]]) -> bytes:
        """Return the file: input "pixels", float32 [n, size, size, 3] of 0 to 255, RGB."""
        ends = [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", size, size, 3])]
        results = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", *s]) for n, s in outputs.items()]
        tensors = [numpy_helper.from_array(value, name) for name, value in self.constants.items()]
        graph = helper.make_graph(self.nodes, "features", ends, results, tensors)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
        data: bytes = model.SerializeToString()
        return data
