"""Quantisation to int8 keeps all channels of a convolution whose ranges differ."""

from collections.abc import Sequence

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from i2i.exporter import int8, ranges
from i2i.exporter.precision_loss import Feeds, Limits, Loss

NORM = (
    helper.make_node("InstanceNormalization", ["e", "ones", "zeros"], ["n"]),
    helper.make_node("Mul", ["n", "reach"], ["f"]),
)


def network(behind: Sequence[onnx.NodeProto] = NORM, channels: int = 8) -> onnx.ModelProto:
    """Five convolutions; of the channels between two of them each reaches three times as far as the one before, which
    the weights of the next one make up for.

    What the second returns (d) the third takes; what the third returns (e) takes what is ``behind`` it (to f).
    """
    random = np.random.default_rng(0)
    reach = 3.0 ** np.arange(channels)
    between = np.multiply.outer(reach, 1 / reach)[:, :, None, None]
    weights = {
        "first": random.standard_normal((channels, 3, 3, 3)) * reach[:, None, None, None],
        "second": random.standard_normal((channels, channels, 3, 3)) * between,
        "third": random.standard_normal((channels, channels, 3, 3)) * between,
        "fourth": random.standard_normal((channels, channels, 3, 3)) * between,
        "other": random.standard_normal((channels, channels, 3, 3)) * between,
        "bias": random.standard_normal(channels) * reach,
        "ones": np.ones(channels),
        "zeros": np.zeros(channels),
        "reach": reach[:, None, None],
        "last": random.standard_normal((3, channels, 3, 3)) / reach[:, None, None],
    }
    nodes = [
        helper.make_node("Conv", ["x", "first"], ["a"], pads=[1] * 4),
        helper.make_node("LeakyRelu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "second", "bias"], ["c"], pads=[1] * 4),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("Conv", ["d", "third"], ["e"], pads=[1] * 4),
        *behind,
        helper.make_node("Conv", ["f", "fourth"], ["g"], pads=[1] * 4),
        helper.make_node("LeakyRelu", ["g"], ["h"]),
        helper.make_node("Conv", ["h", "last"], ["y"], pads=[1] * 4),
    ]
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3, "h", "w"]) for name in "xy"]
    stored = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
    return helper.make_model(
        helper.make_graph(nodes, "five", ends[:1], ends[1:], stored),
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


def psnr(candidate: onnx.ModelProto, model: onnx.ModelProto, images: list[Feeds]) -> float:
    want = np.array([run(model, feeds) for feeds in images])
    off = (np.array([run(candidate, feeds) for feeds in images]) - want) / np.abs(want).max()
    return -20 * float(np.log10(np.sqrt(np.square(off).mean())))


def in_eight_bits(model: onnx.ModelProto, images: list[Feeds]) -> onnx.ModelProto:
    """Quantise everything between the first and the last convolution, whatever the loss."""
    return int8.to_int8(model, images, lambda _: Loss(0, 0, 0), lambda _: True)[0]


def test_channels_of_every_range_keep_their_accuracy(images: list[Feeds]) -> None:
    model = network()
    made = in_eight_bits(model, images)
    assert psnr(made, model, images) > 36
    assert [node.op_type for node in made.graph.node].count("QuantizeLinear") == 5


@pytest.mark.parametrize("names", [{"second"}, {"third"}, {"second", "third"}, {"third", "fourth"}])
def test_a_neighbour_in_float32_takes_up_no_balance(
    names: set[str], images: list[Feeds], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(int8, "LEAST", 0)
    model, bad = network(), {"second", "third", "fourth"} - names
    made, chosen, _ = int8.to_int8(model, images, Judge(*bad), Limits(45, 8).allow)
    assert chosen == len(names)
    assert psnr(made, model, images) > 36


@pytest.mark.parametrize(
    "behind",
    [
        [helper.make_node("LeakyRelu", ["e"], ["f"])],
        [helper.make_node("Sigmoid", ["e"], ["s"]), helper.make_node("Mul", ["e", "s"], ["f"])],
        [helper.make_node("AveragePool", ["e"], ["f"], kernel_shape=[2, 2])],
        [helper.make_node("Conv", ["d", "other"], ["o"], pads=[1] * 4), helper.make_node("Add", ["e", "o"], ["f"])],
    ],
    ids=lambda nodes: "-".join(node.op_type for node in nodes),
)
def test_any_operation_may_follow_a_quantised_convolution(
    behind: Sequence[onnx.NodeProto], images: list[Feeds]
) -> None:
    """ONNX Runtime has quantised operations for these, but only with one step per tensor."""
    model = network(behind)
    assert psnr(in_eight_bits(model, images), model, images) > 30


def test_a_bias_where_the_weights_are_zero_has_room(images: list[Feeds]) -> None:
    model = network()
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor).copy()
        if tensor.name in ("second", "bias"):
            values[3] = {"second": 0, "bias": 500}[tensor.name]
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    assert psnr(in_eight_bits(model, images), model, images) > 30


@pytest.mark.parametrize("weights", [None, np.ones(4, np.float32)])
def test_a_channel_that_is_zero_in_calibration_is_not_clipped(weights: np.ndarray | None) -> None:
    scale = ranges.balance(np.array([4.0, 1.0, 0.0, 1e-3], np.float32), weights)
    assert scale[2] == scale[0]
    assert scale[1] < scale[0] / 1.9
    assert scale[3] < scale[1] / 1.9


def chain(inner: int) -> onnx.ModelProto:
    """A chain of first, inner and last convolutions of one channel, with a LeakyRelu between them."""
    names = ["first", *(f"inner{i}" for i in range(inner)), "last"]
    nodes, x = [], "x"
    for name in names:
        nodes += [
            helper.make_node("Conv", [x, name], [f"{name}/y"], pads=[1] * 4),
            helper.make_node("LeakyRelu", [f"{name}/y"], [f"{name}/z"]),
        ]
        x = f"{name}/z"
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 1, "h", "w"]) for name in ("x", x)]
    stored = [numpy_helper.from_array(np.ones((1, 1, 3, 3), np.float32) / 9, name) for name in names]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


class Judge:
    """Rejects a graph in which one of these convolutions is in int8."""

    def __init__(self, *bad: str) -> None:
        self.bad = bad

    def __call__(self, candidate: onnx.ModelProto) -> Loss:
        weights = {tensor.name.split("/")[0] for tensor in candidate.graph.initializer if tensor.name.endswith("whole")}
        return Loss(30, 50, 1) if weights & set(self.bad) else Loss(60, 1, 0)


def test_a_convolution_that_costs_too_much_stays_in_float32() -> None:
    feeds = [{"x": np.random.default_rng(0).standard_normal((1, 1, 8, 8)).astype(np.float32)}]
    made, chosen, count = int8.to_int8(chain(4), feeds, Judge("inner1"), Limits(45, 8).allow)
    assert (chosen, count) == (3, 6)
    assert Judge("inner1")(made).psnr == 60
    assert Judge("inner0")(made).psnr == 30


def test_too_few_convolutions_are_no_gain() -> None:
    feeds = [{"x": np.random.default_rng(0).standard_normal((1, 1, 8, 8)).astype(np.float32)}]
    with pytest.raises(ValueError, match="only 1 of its 3 inner convolutions, 33% of their work"):
        int8.to_int8(chain(3), feeds, Judge("inner0", "inner2"), Limits(45, 8).allow)
