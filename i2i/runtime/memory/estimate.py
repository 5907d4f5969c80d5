"""What an inference needs for each pixel, found by inferences of blank images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import numpy as np

from i2i.runtime.system.host import PeakMemory
from i2i.spec import Spec

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
    from i2i.runtime.system import cuda

    once(SIDE // 8)  # what is loaded with the first inference
    before = cuda.free_memory()
    once(SIDE)
    after = cuda.free_memory()
    # What it took is kept for the inferences that come.
    return None if before is None or after is None else (max(0, before - after) / SIDE**2, before)


class Sizes:
    """A session of ``with_shapes`` as one of the model.

    Attributes:
        values: of each tensor that its nodes made last.
    """

    def __init__(self, session: Any) -> None:
        self._session, self.values = session, np.zeros(0, np.int64)

    def get_inputs(self) -> list[Any]:
        return self._session.get_inputs()

    def get_outputs(self) -> list[Any]:
        return self._session.get_outputs()[:1]

    def run(self, names: None, feeds: Mapping[str, np.ndarray], options: Any = None) -> list[np.ndarray]:
        result, *shapes = self._session.run(names, feeds, options)
        self.values = np.array([prod(shape.tolist()) for shape in shapes], np.int64)
        return [result]


def of_largest_tensor(sizes: Sizes, once: Try, spec: Spec) -> float:
    """Values for each pixel of the tensor that grows fastest with the image; those made of weights do not grow."""
    side = -(-max(SIDE // 8, spec.minimum) // spec.multiple) * spec.multiple
    once(side)
    few = sizes.values
    once(2 * side)
    return max(1.0, float((sizes.values - few).max()) / (3 * side**2))


def with_shapes(model: bytes) -> bytes:
    """The model, which behind its output returns the shape of each tensor that its nodes make; a sequence has none."""
    import onnx  # which takes a while
    from onnx import TensorProto, helper, shape_inference

    edited = onnx.load_model_from_string(model)
    graph = edited.graph
    known = {info.name: info.type.WhichOneof("value") for info in shape_inference.infer_shapes(edited).graph.value_info}
    made = [name for node in graph.node for name in node.output if name]
    del graph.output[1:]
    for number, name in enumerate(name for name in made if known.get(name) in (None, "tensor_type")):
        shape = f"i2i/shape/{number}"
        graph.node.append(helper.make_node("Shape", [name], [shape]))
        graph.output.append(helper.make_tensor_value_info(shape, TensorProto.INT64, [None]))
    return edited.SerializeToString()
