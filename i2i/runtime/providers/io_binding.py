"""Inferences whose inputs and outputs lie in memory that the device copies from and to by itself.

ONNX Runtime's ``run`` takes arrays as they come, whose pages a driver first has to copy to memory that stays in place,
and allocates its outputs anew. Here both are bound to buffers that are used again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

Allocate = Callable[[int], np.ndarray]
"""Makes uint8 [size]."""


class Binding:
    """Buffers for inferences of any sizes, from any number of threads; they grow to the largest that was asked for."""

    def __init__(self, allocate: Allocate) -> None:
        self._allocate = allocate
        self._idle: deque[dict[str, np.ndarray]] = deque()  # by the name of the input or output; one for each inference

    def run(
        self, session: Any, feeds: Mapping[str, np.ndarray], shape: Sequence[int], dtype: str, options: Any = None
    ) -> np.ndarray:
        """What ``session.run`` returns as its one output, which has that shape and type.

        ``session`` is ONNX Runtime's, on whatever provider.
        """
        try:
            buffers = self._idle.pop()
        except IndexError:
            buffers = {}
        binding = session.io_binding()
        for name, value in feeds.items():
            place = self._part(buffers, name, value.shape, value.dtype)
            np.copyto(place, value)
            binding.bind_cpu_input(name, place)
        name = session.get_outputs()[0].name
        result = self._part(buffers, name, shape, np.dtype(dtype))
        binding.bind_output(name, "cpu", 0, result.dtype, list(shape), result.ctypes.data)
        session.run_with_iobinding(binding, options)
        binding.synchronize_outputs()  # copies to page-locked memory may still be under way
        returned = result.copy()
        self._idle.append(buffers)
        return returned

    def _part(
        self, buffers: dict[str, np.ndarray], name: str, shape: Sequence[int], dtype: np.dtype[Any]
    ) -> np.ndarray:
        """An array of that shape and type at the beginning of the buffer of that name."""
        size = prod(shape) * dtype.itemsize
        if name not in buffers or buffers[name].size < size:
            buffers.pop(name, None)  # before the larger one is made
            buffers[name] = self._allocate(size)
        return buffers[name][:size].view(dtype).reshape(shape)
