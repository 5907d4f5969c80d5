"""Run a small model that is made here, to test an installation.

The model inverts colours by a convolution, so a provider that cannot convolve fails.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np

from i2i.images import Image, read_image, write_image
from i2i.runtime.errors import ModelError
from i2i.runtime.graphs.onnx_file import described
from i2i.runtime.model.model import Model
from i2i.spec import Domain, Spec


def run(provider: str = "auto") -> tuple[str, float]:
    """Return the provider that ran the self-test, and its seconds. Raises ModelError or ProviderError if it fails."""
    start = time.perf_counter()
    pixels = np.random.default_rng(0).integers(0, 256, (256, 251, 3), np.uint8)
    with tempfile.TemporaryDirectory(prefix="i2i-") as folder:
        path = Path(folder) / "invert.onnx"
        path.write_bytes(inverter())
        model = Model(path, provider)
        write_image(Path(folder) / "image.png", Image(pixels))
        result = model(read_image(Path(folder) / "image.png").pixels)
    if not np.array_equal(result, 255 - pixels):
        raise ModelError("the self-test ran, and its pixels are wrong")
    return model.provider, time.perf_counter() - start


def inverter() -> bytes:
    """Return an i2i export that maps uint8 [N, H, W, 3] to 255 minus it, by a 1x1 convolution."""
    from onnx import TensorProto, helper, numpy_helper  # slow to import

    spec = Spec("self-test", "a2b", Domain("image"), Domain("negative"))
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "weight", "bias"], ["negative_planes"]),
        helper.make_node("Transpose", ["negative_planes"], ["negative_float"], perm=[0, 2, 3, 1]),
        helper.make_node("Cast", ["negative_float"], ["negative"], to=TensorProto.UINT8),
    ]
    weights = [
        numpy_helper.from_array(-np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1), "weight"),
        numpy_helper.from_array(np.full(3, 255, np.float32), "bias"),
    ]
    image, negative = (
        helper.make_tensor_value_info(name, TensorProto.UINT8, ["N", "H", "W", 3]) for name in ("image", "negative")
    )
    graph = helper.make_graph(nodes, "inverter", [image], [negative], weights)
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 18)], producer_name="i2i")
    content: bytes = model.SerializeToString()
    return content + described(spec)
