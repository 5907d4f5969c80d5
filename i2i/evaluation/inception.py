"""The Inception network of FID as an ONNX graph, from the file of its weights, which the user brings.

It is Inception v3 (https://arxiv.org/abs/1512.00567) as the authors of FID (https://arxiv.org/abs/1706.08500) took it
from TensorFlow in 2015: averages leave out the padding, and the last block pools by the maximum.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from i2i.evaluation.network_graph import Graph

SIZE = 299
SHA256 = "6726825d"  # begins so; its usual name, pt_inception-2015-12-05-6726825d.pth, says the same

# Branches of the blocks: layers one after the other; a tuple's layers lie side by side; "/2" halves the resolution.
_Branch = Sequence[str | tuple[str, ...]]
_POOL: _Branch = ["average", "branch_pool"]
_A: list[_Branch] = [
    ["branch1x1"],
    ["branch5x5_1", "branch5x5_2"],
    ["branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"],
    _POOL,
]
_B: list[_Branch] = [["branch3x3/2"], ["branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3/2"], ["maximum/2"]]
_C: list[_Branch] = [
    ["branch1x1"], ["branch7x7_1", "branch7x7_2", "branch7x7_3"],
    [f"branch7x7dbl_{n}" for n in range(1, 6)], _POOL,
]  # fmt: skip
_D: list[_Branch] = [
    ["branch3x3_1", "branch3x3_2/2"],
    ["branch7x7x3_1", "branch7x7x3_2", "branch7x7x3_3", "branch7x7x3_4/2"], ["maximum/2"],
]  # fmt: skip
_E: list[_Branch] = [
    ["branch1x1"], ["branch3x3_1", ("branch3x3_2a", "branch3x3_2b")],
    ["branch3x3dbl_1", "branch3x3dbl_2", ("branch3x3dbl_3a", "branch3x3dbl_3b")],
]  # fmt: skip
_BLOCKS: dict[str, list[_Branch]] = {
    **dict.fromkeys(("5b", "5c", "5d"), _A), "6a": _B, **dict.fromkeys(("6b", "6c", "6d", "6e"), _C), "7a": _D,
    "7b": [*_E, _POOL], "7c": [*_E, ["maximum", "branch_pool"]],
}  # fmt: skip
# The last maps of 35, 17 and 8 pixels: channels, side.
MAPS = {"5d": (288, 35), "6e": (768, 17), "7c": (2048, 8)}


def build(weights: Mapping[str, np.ndarray]) -> bytes:
    """Return the ONNX file: "features" [n, 2048], and maps of three resolutions."""
    graph = Graph(weights, epsilon=1e-3)
    x = graph.pixels("pixels", 128, 128)
    for layer in ("Conv2d_1a_3x3/2", "Conv2d_2a_3x3!", "Conv2d_2b_3x3", "maximum/2", "Conv2d_3b_1x1", "Conv2d_4a_3x3!",
                  "maximum/2"):  # fmt: skip
        x = _layer(graph, x, "", layer)
    for name, branches in _BLOCKS.items():
        ends: list[str] = []
        for branch in branches:
            at = x
            for layers in branch:
                side_by_side = layers if isinstance(layers, tuple) else (layers,)
                found = [_layer(graph, at, f"Mixed_{name}.", layer) for layer in side_by_side]
                at = found[0] if len(found) == 1 else graph.node("Concat", found, axis=1)
            ends.append(at)
        x = graph.node("Concat", ends, f"map{name}" if name in MAPS else None, axis=1)
    graph.pooled(x, "features")
    maps = {f"map{name}": (channels, side, side) for name, (channels, side) in MAPS.items()}
    return graph.model(SIZE, {"features": [2048], **maps})


def _layer(graph: Graph, x: str, block: str, layer: str) -> str:
    """Add a convolution with its normalisation and ReLU, or a pooling of 3x3.

    Where the resolution is halved ("/2") and in two layers of the stem ("!") nothing is padded.
    """
    name, stride = layer.removesuffix("/2").removesuffix("!"), 2 if layer.endswith("/2") else 1
    padded = stride == 1 and not layer.endswith("!")
    if name in ("average", "maximum"):
        kind = "AveragePool" if name == "average" else "MaxPool"
        return graph.node(kind, [x], pads=[int(padded)] * 4, kernel_shape=[3, 3], strides=[stride] * 2)
    weight = f"{block}{name}.conv.weight"
    height, width = graph.weights[weight].shape[2:]
    pads = [height // 2, width // 2] * 2 if padded else [0] * 4
    x = graph.convolution(x, weight, f"{block}{name}.bn", strides=[stride] * 2, pads=pads)
    return graph.node("Relu", [x])
