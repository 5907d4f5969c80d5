"""Estimate the memory and the tensor sizes that an inference needs per pixel, by inferences of blank images."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from math import isqrt, prod
from pathlib import Path

import numpy as np

from i2i.runtime.errors import ModelError, TooLargeError
from i2i.runtime.log import note
from i2i.runtime.session import Output, Session
from i2i.runtime.system.host import PeakMemory, available_memory
from i2i.spec import Spec

SIDE = 512
"""Side in pixels of the image by which a GPU's memory is measured."""
_SIDE_OF_PROCESSOR = 768  # of smaller images the C library keeps freed maps, so that a pixel seems to take less

_AMPLE = 4096  # bytes per pixel, more than any generator needs: if that much is free, nothing is measured
_MOST_VALUES = 2**31  # values of a tensor: CUDA's kernels count them in 32 bits, and give wrong results beyond
_MANY_VALUES = 2048  # values per pixel of the result, more than any generator has: below, nothing is measured

Infer = Callable[[Session, int], object]
"""Infers a blank image of that side in pixels in a session."""


class ProcessorMemory:
    """The processor's memory that an image takes, measured when it first matters."""

    def __init__(self, spec: Spec, infer: Infer) -> None:
        self._spec, self._infer = spec, infer
        self._lock = threading.Lock()
        self.bytes_per_pixel: float | None = None
        self._side = 0  # of the image by which that was measured

    def check(self, session: Session, width: int, height: int) -> None:
        """Raise TooLargeError for an image for which too little memory is free, before the kernel ends the process."""
        free = available_memory()
        if free is None or width * height * _AMPLE <= free:
            return
        with self._lock:
            side = min(_SIDE_OF_PROCESSOR, isqrt(width * height))  # a smaller image may be all that there is room for
            if self.bytes_per_pixel is None or 0 < self._side < side:
                self.bytes_per_pixel, self._side = self._measure(session, side), side
        needed = width * height * self.bytes_per_pixel
        if needed > 0.9 * free:
            raise TooLargeError(
                f"translating {width} x {height} pixels would take about {needed / 2**30:.1f} GiB of memory and "
                f"{free / 2**30:.1f} GiB are free; make the image smaller"
            )

    def _measure(self, session: Session, side: int) -> float:
        """Return bytes per pixel: the larger of two measurements, since memory that was kept or freed hides growth.

        The image and its result are needed in any case.
        """

        def measured() -> int:
            peak = PeakMemory()
            self._infer(session, side)
            return peak.grown() or 0

        values = self._spec.source.channels + self._spec.target.channels * self._spec.scale**2
        least = values * np.dtype(self._spec.dtype).itemsize
        return max(max(measured(), measured()) / side**2, least)


def device_memory(infer: Callable[[int], object]) -> tuple[float, int] | None:
    """Return a GPU's memory in bytes per pixel, and the bytes that were free before; None if unknown.

    The memory that the measurement took is kept for later inferences.
    """
    from i2i.runtime.system import cuda

    try:
        infer(SIDE // 8)  # loads what every inference needs
        before = cuda.free_memory()
        infer(SIDE)
        after = cuda.free_memory()
    except ModelError:
        return None
    return None if before is None or after is None else (max(0, before - after) / SIDE**2, before)


class TensorSizes:
    """Limit on the pixels of one inference, so that no tensor has more values than ONNX Runtime counts on a GPU."""

    def __init__(self, path: Path, spec: Spec, infer: Infer, open_graph: Callable[[bytes], Session]) -> None:
        """``open_graph`` opens a rewritten graph on the processor."""
        self._path, self._spec, self._infer, self._open_graph = path, spec, infer, open_graph
        self._lock = threading.Lock()
        self._values_per_pixel = spec.values_per_pixel

    def allows(self, pixels: int) -> bool:
        """True if no tensor has too many values for so many pixels in one inference."""
        return pixels * _MANY_VALUES * self._spec.scale**2 <= _MOST_VALUES or pixels <= self.most_pixels()

    def check(self, pixels: int) -> None:
        """Raise TooLargeError unless ``allows``."""
        if not self.allows(pixels):
            raise TooLargeError(
                f"for {pixels} pixels at once {self._path.name} makes tensors of more than 2^31 values, which ONNX "
                "Runtime does not count on a GPU; make the image smaller"
            )

    def most_pixels(self) -> float:
        """Return the largest number of pixels in one inference."""
        return (_MOST_VALUES - 1) / self.values_per_pixel()

    def values_per_pixel(self) -> float:
        """Return the values of the largest tensor per image pixel, as the file states, or measured on the first call.

        Returns 1, with a note, if they cannot be measured.
        """
        with self._lock:
            if self._values_per_pixel is None:
                self._values_per_pixel = self._measure()
            return self._values_per_pixel

    def _measure(self) -> float:
        if self._spec.form is not None and self._spec.form.size is not None:
            return 1  # it runs on tiles of one size
        try:
            return measure_values_per_pixel(self._path.read_bytes(), self._spec, self._infer, self._open_graph)
        except ModelError as error:
            note(
                f"{self._path.name}: the sizes of its tensors cannot be measured ({error}); results of large images "
                "may be wrong, since ONNX Runtime does not count more than 2^31 values on a GPU"
            )
            return 1


class ShapeSession(Session):
    """A session of a graph made by ``with_shapes``, which looks like a session of the model itself.

    Attributes:
        values: number of values of each tensor of the last inference.
    """

    def __init__(self, session: Session) -> None:
        self._session, self.values = session, np.zeros(0, np.int64)
        self.provider, self.on_cpu, self.survives_fork = session.provider, session.on_cpu, session.survives_fork
        self.inputs, self.outputs = session.inputs, session.outputs[:1]

    def run(self, feeds: Mapping[str, np.ndarray], output: Output | None = None) -> list[np.ndarray]:
        result, *shapes = self._session.run(feeds)
        self.values = np.array([prod(shape.tolist()) for shape in shapes], np.int64)
        return [result]

    def largest_batch(self, side: int) -> int | None:
        return self._session.largest_batch(side)


def measure_values_per_pixel(model: bytes, spec: Spec, infer: Infer, open_graph: Callable[[bytes], Session]) -> float:
    """Return the values per image pixel of the tensor that grows fastest with the image.

    Tensors made of weights alone do not grow. ``open_graph`` opens a rewritten graph on the processor.

    Raises ModelError for a graph that cannot be measured.
    """
    session = ShapeSession(open_graph(with_shapes(model)))
    side = -(-max(SIDE // 8, spec.minimum) // spec.multiple) * spec.multiple
    infer(session, side)
    few = session.values
    infer(session, 2 * side)
    return max(1.0, float((session.values - few).max()) / (3 * side**2))


def with_shapes(model: bytes) -> bytes:
    """Return the model with the shape of each tensor that its nodes make as further outputs, except of sequences."""
    import onnx  # slow to import
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
