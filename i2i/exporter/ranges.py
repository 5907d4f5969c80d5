"""Ranges of a graph's tensors on calibration images, for their quantisation to 8 bits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import onnx

from i2i.exporter.precision_loss import Feeds, opened

LEVELS = 256
MARGIN = 1.5
"""Factor by which a range exceeds the calibration values: a clipped bright spot of another image is tens of levels off,
while wider steps cost all images 3 dB.
"""
SILENT = 1e-4


class Range(NamedTuple):
    """Least and largest value of a tensor's quantisation, and its number of values per image."""

    low: float
    high: float
    values: int
    scale: np.ndarray | None = None
    """Scale of each channel if the channels are balanced, float32 [channels]; then low and high are of tensor /
    scale.
    """


def measure(
    model: onnx.ModelProto, names: Sequence[str], images: Sequence[Feeds], weights: Mapping[str, np.ndarray | None]
) -> dict[str, Range]:
    """Measure the range of each tensor in ``names`` over all ``images``.

    The channels of the tensors in ``weights`` are balanced: against the largest weight that is applied to each of them,
    [channels], or, for None, so that all channels have the same range.
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
    """Return the scale of each channel, float32 [channels]: sqrt(values / weights), or ``values`` without ``weights``.

    The tensor is divided by it and the weights multiplied, so that neither has a much larger range in one channel than
    in another (Xiao et al. 2023, SmoothQuant, arXiv:2211.10438, eq. 4 with alpha = 1/2).

    A channel whose values, or weights, are below ``SILENT`` of the largest counts as being as large as that: its values
    on other images are unknown.
    """

    def heard(reach: np.ndarray) -> np.ndarray:
        furthest = float(reach.max())
        return np.where(reach > SILENT * furthest, reach, furthest or 1.0)

    scale = heard(values) if weights is None else np.sqrt(heard(values) / heard(weights))
    return (scale / np.exp(np.log(scale).mean())).astype(np.float32)
