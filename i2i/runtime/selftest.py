"""A translator of a few hundred bytes, made here, to see that this installation runs one.

It inverts colours by a convolution, so a provider that cannot convolve fails. ``onnx`` is not in the base install, so
the file is written as what it is: tags, lengths and bytes of protobuf (onnx.proto names the numbers).
"""

from __future__ import annotations

import struct
import tempfile
import time
from pathlib import Path

import numpy as np

from i2i.images import Image, read_image, write_image
from i2i.runtime.errors import ModelError
from i2i.runtime.graphs.onnx_file import Field, described, message
from i2i.runtime.model.model import load
from i2i.spec import Domain, Spec

_FLOAT, _UINT8 = 1, 2  # TensorProto.DataType
_INT, _INTS = 2, 7  # AttributeProto.AttributeType


def run(provider: str = "auto") -> tuple[str, float]:
    """Where the self-test ran, and the seconds it took. Raises ModelError or ProviderError if it went wrong."""
    start = time.perf_counter()
    pixels = np.random.default_rng(0).integers(0, 256, (256, 251, 3), np.uint8)
    with tempfile.TemporaryDirectory(prefix="i2i-") as folder:
        path = Path(folder) / "invert.onnx"
        path.write_bytes(inverter())
        model = load(path, provider)
        write_image(Path(folder) / "image.png", Image(pixels))
        result = model(read_image(Path(folder) / "image.png").pixels)
    if not np.array_equal(result, 255 - pixels):
        raise ModelError("the self-test ran, and its pixels are wrong")
    return model.provider, time.perf_counter() - start


def inverter() -> bytes:
    """An i2i export that maps uint8 [N, H, W, 3] to 255 minus it, by a 1x1 convolution with weights -1 and bias 255."""
    spec = Spec("self-test", "a2b", Domain("image"), Domain("negative"))
    weight = struct.pack("<9f", *(-1.0 if at % 4 == 0 else 0.0 for at in range(9)))
    graph: list[Field] = [
        (1, _node("Cast", "image", "float", _attribute("to", _FLOAT))),
        (1, _node("Transpose", "float", "planes", _attribute("perm", (0, 3, 1, 2)))),
        (1, _node("Conv", "planes weight bias", "negative_planes")),
        (1, _node("Transpose", "negative_planes", "negative_float", _attribute("perm", (0, 2, 3, 1)))),
        (1, _node("Cast", "negative_float", "negative", _attribute("to", _UINT8))),
        (2, "inverter"),
        (5, _tensor("weight", (3, 3, 1, 1), weight)),
        (5, _tensor("bias", (3,), struct.pack("<3f", 255, 255, 255))),
        (11, _image("image")),
        (12, _image("negative")),
    ]
    opset = message((1, ""), (2, 18))
    return message((1, 8), (2, "i2i"), (7, message(*graph)), (8, opset)) + described(spec)


def _node(kind: str, inputs: str, output: str, *attributes: bytes) -> bytes:
    names = [(1, name) for name in inputs.split()]
    return message(*names, (2, output), (4, kind), *((5, attribute) for attribute in attributes))


def _attribute(name: str, value: int | tuple[int, ...]) -> bytes:
    if isinstance(value, int):
        return message((1, name), (3, value), (20, _INT))
    return message((1, name), *((8, number) for number in value), (20, _INTS))


def _tensor(name: str, shape: tuple[int, ...], data: bytes) -> bytes:
    return message(*((1, size) for size in shape), (2, _FLOAT), (8, name), (9, data))


def _image(name: str) -> bytes:
    sizes = [(1, message((2, axis))) for axis in "NHW"] + [(1, message((1, 3)))]
    return message((1, name), (2, message((1, message((1, _UINT8), (2, message(*sizes)))))))
