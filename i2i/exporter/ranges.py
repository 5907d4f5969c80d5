"""What values the tensors of a graph take on images, and the range of each that its eight bits are spread over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import onnx

from i2i.exporter.compare import Feeds, opened

LEVELS = 256
MARGIN = 1.5
"""How much further a range reaches than the values did: what is clipped in one bright spot of an image that was not
among those is tens of levels off, while wider steps cost all images alike, and 3 dB."""
SILENT = 1e-4


class Range(NamedTuple):
    """The least and the largest value that is told apart, and how many values the tensor has of an image."""

    low: float
    high: float
    values: int
    scale: np.ndarray | None = None
    """Of a tensor whose channels are balanced, float32 [channels]: ``low`` and ``high`` are those of tensor / scale."""


def measure(
    model: onnx.ModelProto, names: Sequence[str], images: Sequence[Feeds], weights: Mapping[str, np.ndarray | None]
) -> dict[str, Range]:
    """The range of each tensor in ``names``, over all ``images``.

    Those that ``weights`` names have their channels balanced: against how far the weights reach that each of the
    channels meets, [channels], or, for None, so that all reach as far as each other.
    """
    model = onnx.ModelProto.FromString(model.SerializeToString())
    del model.graph.output[:]
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    session = opened(model)
    ends: dict[str, tuple[np.ndarray, np.ndarray, int]] = {}  # of each channel; and values
    for feeds in images:
        for name, tensor in zip(names, session.run(feeds), strict=True):
            low, high = tensor.min((0, 2, 3)), tensor.max((0, 2, 3))
            before = ends.get(name, (low, high, 0))
            ends[name] = np.minimum(low, before[0]), np.maximum(high, before[1]), max(tensor.size, before[2])
    found = {}
    for name, (low, high, values) in ends.items():
        scale = balance(np.maximum(np.abs(low), np.abs(high)), weights[name]) if name in weights else None
        if scale is not None:
            low, high = low / scale, high / scale
        # Zero is always within: convolutions pad with it.
        found[name] = Range(MARGIN * min(0.0, float(low.min())), MARGIN * max(0.0, float(high.max())), values, scale)
    return found


def balance(values: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """What each channel is divided by, and its weights multiplied with, so that neither reaches much further in one
    channel than in another: sqrt(values / weights) (Xiao et al. 2023, SmoothQuant, arXiv:2211.10438, eq. 4 with
    alpha = 1/2), float32 [channels] of the reach of both. Without ``weights`` it is the reach of the values.

    A channel whose values, or weights, are less than ``SILENT`` of the furthest is taken to reach as far as that:
    of what it may show on other images nothing is known.
    """

    def heard(reach: np.ndarray) -> np.ndarray:
        furthest = float(reach.max())
        return np.where(reach > SILENT * furthest, reach, furthest or 1.0)

    scale = heard(values) if weights is None else np.sqrt(heard(values) / heard(weights))
    return (scale / np.exp(np.log(scale).mean())).astype(np.float32)
