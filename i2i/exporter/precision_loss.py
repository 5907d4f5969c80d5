"""Comparison of the results of two graphs on the same images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx

from i2i.runtime.processing import check_finite
from i2i.runtime.providers.table import open_session
from i2i.runtime.session import Session
from i2i.spec import Spec

Feeds = dict[str, np.ndarray]
"""The inputs of a graph by name."""


class Loss(NamedTuple):
    """Difference from the results of the float32 graph, in levels: 1/255 of the data's range."""

    psnr: float
    """PSNR in dB, over all values together; infinite for equal results."""
    largest: float
    differing: float
    """Share of the values that differ by half a level or more."""

    def __str__(self) -> str:
        return f"PSNR {self.psnr:.1f} dB, off by at most {self.largest:.3g} of 255 levels"


class Limits(NamedTuple):
    """Limits of an acceptable loss."""

    psnr: float
    largest: float

    def allow(self, loss: Loss) -> bool:
        return loss.psnr >= self.psnr and loss.largest <= self.largest

    def __str__(self) -> str:
        return f"at least {self.psnr:g} dB" + f" and at most {self.largest:g} levels" * math.isfinite(self.largest)


def opened(model: onnx.ModelProto) -> Session:
    """Open a session on the CPU."""
    return open_session(model.SerializeToString(), "cpu")


def results(session: Session, images: Sequence[Feeds], spec: Spec) -> list[np.ndarray]:
    """Run the graph on each image. Raises NonFiniteError for a result that is not finite."""
    found = []
    for feeds in images:
        result = session.run(feeds)[0]
        for each in result if spec.io == "pixels" else result.transpose(0, 2, 3, 1):
            check_finite(each)
        found.append(result)
    return found


def loss(got: Sequence[np.ndarray], want: Sequence[np.ndarray], spec: Spec) -> Loss:
    """Compute the loss of results in the range of ``spec``."""
    level: Any = 1.0
    if spec.dtype != "uint8":
        level = (2 if spec.io == "tensor" else 2 * np.array(spec.target.half)) / 255
    squares, values, differing, largest = 0.0, 0, 0, 0.0
    for one, other in zip(got, want, strict=True):
        off = np.abs(one.astype(np.float64) - other) / level
        squares, values = squares + float(np.square(off).sum()), values + off.size
        differing, largest = differing + int((off >= 0.5).sum()), max(largest, float(off.max()))
    psnr = 10 * math.log10(255**2 * values / squares) if squares else math.inf
    return Loss(psnr, largest, differing / values)
