"""What values the tensors of a graph take on images, and the range of each that eight bits are best spent on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import onnx

from i2i.exporter.compare import Feeds, opened

BINS = 2048
LEVELS = 256
SHARES = np.linspace(0.3, 1, 71)  # of an end of the range, which are tried


class Range(NamedTuple):
    """The least and the largest value that is told apart, and how many values the tensor has of an image."""

    low: float
    high: float
    values: int
    scale: np.ndarray | None = None
    """Of a tensor whose channels are balanced, float32 [channels]: ``low`` and ``high`` are those of tensor / scale."""


def measure(
    model: onnx.ModelProto, names: Sequence[str], images: Sequence[Feeds], weights: Mapping[str, np.ndarray]
) -> dict[str, Range]:
    """The best range of each tensor in ``names``, over all ``images``, which are run through twice.

    Those that ``weights`` names have their channels balanced against these: how far the weights that each of the
    channels meets reach, [channels].
    """
    model = onnx.ModelProto.FromString(model.SerializeToString())
    del model.graph.output[:]
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    session = opened(model)
    ends: dict[str, tuple[np.ndarray, np.ndarray, int]] = {}  # of each channel; and values
    for feeds in images:
        for name, tensor in zip(names, session.run(None, feeds), strict=True):
            low, high = tensor.min((0, 2, 3)), tensor.max((0, 2, 3))
            before = ends.get(name, (low, high, 0))
            ends[name] = np.minimum(low, before[0]), np.maximum(high, before[1]), max(tensor.size, before[2])
    forms = {name: _form(*ends[name], weights.get(name)) for name in names}
    counts = np.zeros((len(names), BINS))
    for feeds in images:
        for i, (name, tensor) in enumerate(zip(names, session.run(None, feeds), strict=True)):
            form = forms[name]
            if form.scale is not None:
                tensor = tensor / form.scale[:, None, None]
            # Zeros, which are half of what a ReLU returns, are exact in any range.
            counts[i] += np.histogram(tensor[tensor != 0], BINS, (form.low, form.high))[0]
    found = {}
    for i, (name, form) in enumerate(forms.items()):
        low_end, high_end = best(counts[i], form.low, form.high)
        found[name] = form._replace(low=low_end, high=high_end)
    return found


def _form(low: np.ndarray, high: np.ndarray, values: int, weights: np.ndarray | None) -> Range:
    """What a tensor's range is, if nothing is clipped. Zero is always within: convolutions pad with it."""
    scale = None
    if weights is not None:
        scale = balance(np.maximum(np.abs(low), np.abs(high)), weights)
        low, high = low / scale, high / scale
    return Range(min(0.0, float(low.min())), max(0.0, float(high.max())), values, scale)


def balance(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """What each channel is divided by, and its weights multiplied with, so that neither reaches much further in one
    channel than in another: sqrt(values / weights) (Xiao et al. 2023, SmoothQuant, arXiv:2211.10438, eq. 4 with
    alpha = 1/2), float32 [channels] of the reach of both.

    A channel that reaches less than a thousandth of the furthest is taken to reach as much.
    """
    values, weights = (np.maximum(each, 1e-3 * float(each.max()) or 1.0) for each in (values, weights))
    scale = np.sqrt(values / weights)
    return (scale / np.exp(np.log(scale).mean())).astype(np.float32)


def best(counts: np.ndarray, low: float, high: float) -> tuple[float, float]:
    """The part of ``low``..``high``, zero within it, whose 256 steps lose least of a tensor in the mean square.

    ``counts`` are the values in each of as many equal bins. What lies outside is clipped, what lies inside is rounded:
    a step costs its square / 12.
    """
    width = (high - low) / len(counts)
    centres = low + width * (np.arange(len(counts)) + 0.5)

    def loss(bottom: float, top: float) -> float:
        off = np.maximum(np.maximum(bottom - centres, centres - top), 0)
        return float((counts * np.where(off > 0, off**2, ((top - bottom) / (LEVELS - 1)) ** 2 / 12)).sum())

    for _ in range(2):  # one end after the other
        low = min((low * share for share in SHARES), key=lambda bottom: loss(bottom, high))
        high = min((high * share for share in SHARES), key=lambda top: loss(low, top))
    return float(low), float(high)
