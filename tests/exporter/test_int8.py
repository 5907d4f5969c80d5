"""A convolution whose channels reach differently far keeps them all in eight bits."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from i2i.exporter import int8
from i2i.exporter.compare import Feeds, Limits, Loss


def network(channels: int = 8) -> onnx.ModelProto:
    """Three convolutions; of the channels between the first two each reaches three times as far as the one before."""
    random = np.random.default_rng(0)
    reach = 3.0 ** np.arange(channels)
    weights = {
        "first": random.standard_normal((channels, 3, 3, 3)) * reach[:, None, None, None],
        "middle": random.standard_normal((channels, channels, 3, 3)) / reach[:, None, None],
        "last": random.standard_normal((3, channels, 3, 3)),
    }
    nodes = [
        helper.make_node("Conv", ["x", "first"], ["a"], pads=[1] * 4),
        helper.make_node("LeakyRelu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "middle"], ["c"], pads=[1] * 4),
        helper.make_node("Conv", ["c", "last"], ["y"], pads=[1] * 4),
    ]
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3, "h", "w"]) for name in "xy"]
    stored = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
    return helper.make_model(
        helper.make_graph(nodes, "three", ends[:1], ends[1:], stored),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=9,
    )


def run(model: onnx.ModelProto, feeds: Feeds) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, feeds)[0]


@pytest.fixture(scope="module")
def images() -> list[Feeds]:
    random = np.random.default_rng(1)
    return [{"x": random.standard_normal((1, 3, 16, 16)).astype(np.float32)} for _ in range(4)]


def test_channels_of_every_reach_are_kept(images: list[Feeds]) -> None:
    model = network()
    want = [run(model, feeds) for feeds in images]

    def judge(candidate: onnx.ModelProto, few: int | None) -> Loss:
        pairs = [(run(candidate, feeds), one) for feeds, one in zip(images[:few], want, strict=False)]
        off = np.concatenate([(a - b).ravel() for a, b in pairs]) / np.abs(want).max()
        return Loss(-20 * float(np.log10(np.sqrt(np.square(off).mean()))), 255 * float(np.abs(off).max()), 1.0)

    made, chosen, count = int8.to_int8(model, images, judge, Limits(45, 8).allow)
    assert (chosen, count) == (1, 3)
    assert judge(made, None).psnr > 45  # without a balance 13
    assert "QuantizeLinear" in {node.op_type for node in made.graph.node}
