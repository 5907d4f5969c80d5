"""The inputs of a third-party graph beside its image: constants, and the mask of what is to be filled in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from i2i.runtime.errors import ModelError
from i2i.runtime.session import Port
from i2i.spec import MASKS, Form, Input

_NUMBERS = ("float32", "float16", "float64", "int64", "int32", "uint8", "bool")


def feeds(ports: Sequence[Port], form: Form, tensor: np.ndarray, mask: np.ndarray | None) -> dict[str, np.ndarray]:
    """Return what the graph takes for an image: its tensor, and an array for each of ``form.inputs``.

    A number fills its input, which has the height and width of the tensor where these are free; several numbers are all
    of its values. ``mask`` [h, w] is 1 in the holes, and None for an image without any.
    """
    given = dict(form.inputs)
    height, width = tensor.shape[2:] if form.layout == "nchw" else tensor.shape[1:3]
    if mask is None:
        mask = np.zeros((height, width), np.float32)
    return {
        port.name: _array(port, given[port.name], form.layout, mask) if port.name in given else tensor for port in ports
    }


def image_port(ports: Sequence[Port], form_inputs: Sequence[tuple[str, Input]]) -> Port:
    """Return the input of the image: the one that has no value. Raises ModelError, with what is missing, otherwise."""
    given, names = dict(form_inputs), [port.name for port in ports]
    if unknown := [name for name in given if name not in names]:
        raise ModelError(f"it has no input {unknown[0]!r}; it has {', '.join(map(repr, names))}")
    images = [port for port in ports if port.name not in given]
    if len(images) == 1:
        return images[0]
    if not images:
        raise ModelError("each of its inputs has a value, and none is left for the image")
    how = f"values for the others, as --input NAME=VALUE: a number, numbers with commas between, {' or '.join(MASKS)}"
    raise ModelError(f"it has the inputs {', '.join(map(repr, names))}; expected one, an image, and {how}")


def check(ports: Sequence[Port], form_inputs: Sequence[tuple[str, Input]], layout: str) -> None:
    """Raise ModelError for a value that its input cannot take."""
    known = {port.name: port for port in ports}
    image = image_port(ports, form_inputs)
    height, width = _shape(image, layout, 8, 8)[slice(2, 4) if layout == "nchw" else slice(1, 3)] or (8, 8)
    for name, value in form_inputs:
        _array(known[name], value, layout, np.zeros((height, width), np.float32))


def _array(port: Port, value: Input, layout: str, mask: np.ndarray) -> np.ndarray:
    """Return the value of an input: one that fills it, all of its values, or the mask."""
    if port.dtype not in _NUMBERS:
        raise ModelError(f"{port.name!r} is {port.dtype}; a value is given for inputs of {', '.join(_NUMBERS)}")
    shape = _shape(port, layout, *mask.shape)
    if isinstance(value, str):
        if len(shape) not in (3, 4) or np.prod(shape) != mask.size:
            raise ModelError(f"{port.name!r} is {list(port.shape)}; a mask is [n, 1, h, w], [n, h, w, 1] or [n, h, w]")
        holes = mask if value == MASKS[0] else 1 - mask
        return (holes * (255 if port.dtype == "uint8" else 1)).reshape(shape).astype(port.dtype)
    if isinstance(value, tuple):
        if np.prod(shape) != len(value):
            raise ModelError(
                f"{port.name!r} is {list(port.shape)}, and has not as many values as were given: {len(value)}"
            )
        return _cast(np.array(value).reshape(shape), port)
    return _cast(np.full(shape, value), port)


def _cast(values: np.ndarray, port: Port) -> np.ndarray:
    """Return values in the type of an input. Raises ModelError for those that an integer input cannot have."""
    cast = values.astype(port.dtype)
    if cast.dtype.kind in "iu" and (wrong := values[cast != values]).size:
        raise ModelError(f"{port.name!r} is {port.dtype}, which cannot be {wrong.flat[0]:g}")
    return cast


def _shape(port: Port, layout: str, height: int, width: int) -> list[int]:
    """Return an input's shape for one image: free axes are the height and width of an image, or else 1."""
    free = {4: {"nchw": (1, 1, height, width), "nhwc": (1, height, width, 1)}[layout], 3: (1, height, width)}
    sizes = free.get(len(port.shape), (1,) * len(port.shape))
    return [
        size if isinstance(size, int) and size > 0 else usual for size, usual in zip(port.shape, sizes, strict=True)
    ]
