"""The features of EfficientNet-Lite0 as a function of tensors that passes gradients to its images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from i2i.evaluation import lite0
from i2i.evaluation.network_graph import folding
from i2i.evaluation.networks import lite0_weights

SMALLER = (2, 4, 8, 16)
"""The resolutions whose maps are compared; the coarsest of the network sees objects instead of shapes."""


class Lite0Features:
    """Feature maps of images of any size from 16 pixels; the weights are moved to the device of the first images.

    Raises DataError if the package with the weights is not installed.
    """

    def __init__(self) -> None:
        self._eager = _Eager(lite0_weights())

    def __call__(self, images: Tensor) -> list[Tensor]:
        """Map [n, c, h, w] in [-1, 1] to maps [n, c', h', w']; grey is repeated, alpha left out."""
        colour = images[:, :3] if images.shape[1] >= 3 else images[:, :1].expand(-1, 3, -1, -1)
        with torch.autocast(images.device.type, enabled=False):
            ends = lite0.stages(self._eager, ((colour.float() + 1) * 127.5 - 127) / 128)
        return [ends[smaller] for smaller in SMALLER]


class _Eager:
    """The methods of a ``Graph`` that ``lite0.stages`` calls, on tensors, each computed at once."""

    def __init__(self, weights: Mapping[str, np.ndarray]) -> None:
        self.weights = weights
        self._folded: dict[str, tuple[Tensor, Tensor]] = {}

    def constant(self, value: np.generic) -> float:
        return float(value)

    def node(self, kind: str, inputs: Sequence[Any]) -> Tensor:
        x: Tensor = inputs[0]
        return x + inputs[1] if kind == "Add" else x.clamp(inputs[1], inputs[2])

    def convolution(
        self, x: Tensor, weight: str, normalisation: str, auto_pad: str = "", strides: Sequence[int] = (1, 1),
        kernel_shape: Sequence[int] = (), group: int = 1,
    ) -> Tensor:  # fmt: skip
        """Convolve with "same" padding, of which the larger part comes after the image."""
        if weight not in self._folded:
            folded, bias = map(torch.from_numpy, folding(self.weights, weight, normalisation, lite0.EPSILON))
            self._folded[weight] = folded.to(x.device), bias.to(x.device)
        w, b = self._folded[weight]
        total = [
            max((-(-side // step) - 1) * step + kernel - side, 0)
            for side, step, kernel in zip(x.shape[2:], strides, w.shape[2:], strict=True)
        ]
        (top, left), (bottom, right) = [each // 2 for each in total], [each - each // 2 for each in total]
        return conv2d(pad(x, (left, right, top, bottom)), w, b, stride=tuple(strides), groups=group)
