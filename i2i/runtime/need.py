"""What an inference needs for each pixel, found by inferences of blank images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import numpy as np

from i2i.runtime.machine import PeakMemory

SIDE = 512
"""Of the image by which memory is measured."""

Try = Callable[[int], object]
"""An inference of a blank image of so many pixels a side."""


def of_processor(once: Try) -> float:
    """Bytes for each pixel; other threads can only add to it."""

    def measured() -> int:
        peak = PeakMemory()
        once(SIDE)
        return peak.grown() or 0

    return min(measured(), measured()) / SIDE**2


def of_card(once: Try) -> tuple[float, int] | None:
    """Bytes of a card's memory for each pixel, and those that are free for it; None where the card does not tell."""
    from i2i.runtime import cuda

    once(SIDE // 8)  # what is loaded with the first inference
    before = cuda.free_memory()
    once(SIDE)
    after = cuda.free_memory()
    # What it took is kept for the inferences that come.
    return None if before is None or after is None else (max(0, before - after) / SIDE**2, before)


class Sizes:
    """A session of ``with_shapes`` as one of the model.

    Attributes:
        largest: values of the largest tensor that its nodes made so far.
    """

    def __init__(self, session: Any) -> None:
        self._session, self.largest = session, 0

    def get_inputs(self) -> list[Any]:
        return self._session.get_inputs()

    def get_outputs(self) -> list[Any]:
        return self._session.get_outputs()[:1]

    def run(self, names: None, feeds: Mapping[str, np.ndarray], options: Any = None) -> list[np.ndarray]:
        result, *shapes = self._session.run(names, feeds, options)
        self.largest = max(self.largest, *(prod(shape.tolist()) for shape in shapes))
        return [result]


def with_shapes(model: bytes) -> bytes:
    """The model, which behind its output returns the shape of each tensor that its nodes make."""
    import onnx  # which takes a while
    from onnx import TensorProto, helper

    edited = onnx.load_model_from_string(model)
    graph = edited.graph
    del graph.output[1:]
    for number, name in enumerate([name for node in graph.node for name in node.output if name]):
        shape = f"i2i/shape/{number}"
        graph.node.append(helper.make_node("Shape", [name], [shape]))
        graph.output.append(helper.make_tensor_value_info(shape, TensorProto.INT64, [None]))
    return edited.SerializeToString()
