"""What values the tensors of a graph take on images, and the range of each that eight bits are best spent on."""

from __future__ import annotations

from collections.abc import Collection, Sequence
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
    centre: np.ndarray | None = None
    gain: np.ndarray | None = None
    """Of a tensor whose channels have a scale and a place of their own [channels]: ``low`` and ``high`` are those of
    (tensor - centre) gain."""


def measure(
    model: onnx.ModelProto, names: Sequence[str], images: Sequence[Feeds], free: Collection[str] = ()
) -> dict[str, Range]:
    """The best range of each tensor in ``names``, over all ``images``, which are run through twice.

    Those that are ``free`` get a centre and a gain for each channel, by which all channels have the same reach.
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
    forms = {name: _form(*ends[name], name in free) for name in names}
    counts = np.zeros((len(names), BINS))
    for feeds in images:
        for i, (name, tensor) in enumerate(zip(names, session.run(None, feeds), strict=True)):
            form = forms[name]
            if form.centre is not None and form.gain is not None:
                tensor = (tensor - form.centre[:, None, None]) * form.gain[:, None, None]
            counts[i] += np.histogram(tensor, BINS, (form.low, form.high))[0]
    found = {}
    for i, (name, form) in enumerate(forms.items()):
        low_end, high_end = best(counts[i], form.low, form.high)
        found[name] = form._replace(low=low_end, high=high_end)
    return found


def _form(low: np.ndarray, high: np.ndarray, values: int, free: bool) -> Range:
    """What a tensor's range is, if nothing is clipped."""
    if not free:  # zero is always exact: convolutions pad with it
        return Range(min(0.0, float(low.min())), max(0.0, float(high.max())), values)
    centre, reach = (low + high) / 2, (high - low) / 2
    most = float(reach.max())
    gain = most / np.maximum(reach, max(1e-3 * most, 1e-30))  # a channel that is flat stays so
    return Range(-most, most, values, centre, gain)


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
