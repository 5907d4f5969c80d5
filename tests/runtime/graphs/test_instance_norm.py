"""Every rewritten form of a graph, against the original graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from i2i.runtime import ModelError
from i2i.runtime.graphs.instance_norm import CORE, WEIGHTS, Statistics
from tests import tiny
from tests.runtime.tiles.networks import SPEC, network, photo

CHANNELS, STRIDES = [4, 6, 6, 4], [1, 2, 2, 1]
IMAGE = photo(64, 96)[None]


def run(model: bytes | Path, **inputs: np.ndarray) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    model = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"]).run(None, inputs)


@pytest.fixture(scope="module", params=[18, 17, 12])
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both opsets, which name axes and lengths in different ways."""
    return network(tmp_path_factory.mktemp("net") / "net.onnx", opset=request.param)


@pytest.fixture(scope="module")
def used(path: Path) -> np.ndarray:
    """The statistics of IMAGE, [1, 20, 2], by the one form that also translates."""
    return run(
        Statistics(path).blended(), x=IMAGE, own=np.array(1, np.float32), given=np.zeros((1, 20, 2), np.float32)
    )[1]


def test_norms_are_found_with_their_order(path: Path) -> None:
    forms = Statistics(path)
    assert [norm.channels for norm in forms.norms] == CHANNELS
    assert [norm.level for norm in forms.norms] == [1, 2, 2, 3]  # the two branches do not rest on each other
    assert {norm.epsilon for norm in forms.norms} == {np.float32(1e-4)}
    assert [shape.tolist()[1:] for shape in run(forms.shapes(), x=IMAGE)] == [
        [channels, 64 // stride, 96 // stride] for channels, stride in zip(CHANNELS, STRIDES, strict=True)
    ]


def test_the_first_statistics_are_those_of_its_map(path: Path, used: np.ndarray) -> None:
    model = onnx.load(path)
    model.graph.output.append(helper.make_tensor_value_info("a", onnx.TensorProto.FLOAT, None))
    (_, a) = run(model.SerializeToString(), x=IMAGE)
    np.testing.assert_allclose(used[0, :4, 0], a.mean((0, 2, 3), dtype=np.float64), atol=1e-5)
    np.testing.assert_allclose(used[0, :4, 1], a.var((0, 2, 3), dtype=np.float64), rtol=1e-4)


def test_with_its_own_statistics_the_graph_is_unchanged(path: Path, used: np.ndarray) -> None:
    (plain,) = run(path, x=IMAGE)
    forms = Statistics(path)
    zeros = np.zeros_like(used)
    results = [
        run(forms.blended(), x=IMAGE, own=np.array(1, np.float32), given=zeros)[0],
        run(forms.blended(), x=IMAGE, own=np.array(0, np.float32), given=used)[0],
        run(forms.fixed(forms.split(used)), x=IMAGE)[0],
    ]
    for result in results:
        off = np.abs(result.astype(int) - plain)
        assert off.max() <= 1
        assert (off > 0).mean() < 1e-3


def test_statistics_are_blended_by_share(path: Path, used: np.ndarray) -> None:
    """Statistics of the first norm, whose map does not depend on other statistics."""
    given = used + np.float32(2)
    blend = run(Statistics(path).blended(), x=IMAGE, own=np.array(0.25, np.float32), given=given)[1]
    np.testing.assert_allclose(blend[0, :4], used[0, :4] + 1.5, rtol=1e-5)


def test_images_of_a_batch_keep_apart_where_they_blend(path: Path) -> None:
    forms = Statistics(path)
    batch = np.concatenate([IMAGE, 255 - IMAGE])
    own, given = np.array(1, np.float32), np.zeros((1, 20, 2), np.float32)
    both = run(forms.blended(), x=batch, own=own, given=given)[1]
    alone = [run(forms.blended(), x=batch[i : i + 1], own=own, given=given)[1][0] for i in range(2)]
    np.testing.assert_allclose(both, alone, rtol=1e-4, atol=1e-5)
    assert np.abs(both[0] - both[1]).max() > 0.1


def test_fixed_statistics_do_not_depend_on_the_image(path: Path, used: np.ndarray) -> None:
    """So a part of an image is translated as it is within the whole, away from the cut."""
    forms = Statistics(path)
    model = forms.fixed(forms.split(used))
    whole, part = run(model, x=IMAGE)[0], run(model, x=IMAGE[:, :, :64])[0]
    assert np.abs(part[:, :, :48].astype(int) - whole[:, :, :48]).max() <= 1
    assert np.abs(run(path, x=IMAGE[:, :, :64])[0][:, :, :48].astype(int) - whole[:, :, :48]).max() > 10


def test_joint_statistics_are_the_weighted_ones_of_the_batch(path: Path, used: np.ndarray) -> None:
    joint = Statistics(path).joint()
    batch = np.concatenate([IMAGE, 255 - IMAGE])
    only_first = run(joint, x=batch, **{WEIGHTS: np.array([1, 0], np.float32).reshape(2, 1, 1, 1)})[0]
    np.testing.assert_allclose(only_first, used, rtol=1e-4, atol=1e-5)
    model = onnx.load(path)
    model.graph.output.append(helper.make_tensor_value_info("a", onnx.TensorProto.FLOAT, None))
    a = run(model.SerializeToString(), x=batch)[1].astype(np.float64)
    mean = (a * np.array([0.75, 0.25]).reshape(2, 1, 1, 1)).sum(0).mean((1, 2))
    square = (a**2 * np.array([0.75, 0.25]).reshape(2, 1, 1, 1)).sum(0).mean((1, 2))
    both = run(joint, x=batch, **{WEIGHTS: np.array([0.75, 0.25], np.float32).reshape(2, 1, 1, 1)})[0]
    np.testing.assert_allclose(both[0, :4, 0], mean, atol=1e-5)
    np.testing.assert_allclose(both[0, :4, 1], square - mean**2, rtol=1e-3)


def test_gathering_goes_level_by_level_over_cores(path: Path, used: np.ndarray) -> None:
    forms = Statistics(path)
    known: dict[int, np.ndarray] = {}
    everything = np.array([0, 0, 2**31 - 1, 2**31 - 1])
    for level in (1, 2, 3):
        results = run(forms.gathering(level, known, STRIDES), x=IMAGE, **{CORE: everything})
        norms = [norm for norm in forms.norms if norm.level == level]
        assert len(results) == 3 * len(norms)
        for i, norm in enumerate(norms):
            known[norm.index] = np.stack([results[3 * i].ravel(), results[3 * i + 1].ravel()], 1)
    for have, want in zip([known[i] for i in range(4)], forms.split(used), strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-3, atol=1e-5)
    _, _, shape, *_ = run(forms.gathering(2, known, STRIDES), x=IMAGE, **{CORE: np.array([32, 0, 64, 2**31 - 1])})
    assert shape.tolist() == [1, 6, 16, 48]


def test_a_rewritten_graph_contains_only_what_it_needs(path: Path) -> None:
    first = onnx.load_model_from_string(Statistics(path).gathering(1, {}, STRIDES))
    assert [node.op_type for node in first.graph.node].count("Conv") == 1
    assert "e.w" not in {tensor.name for tensor in first.graph.initializer}
    assert Statistics(network(path.with_name("plain.onnx"), norms=False)).norms == ()


def test_graphs_that_cannot_be_rewritten_are_refused(tmp_path: Path) -> None:
    scale = helper.make_node("Constant", [], ["s"], value_floats=[1.0, 1.0, 1.0])
    norm = helper.make_node("InstanceNormalization", ["x", "s", "b"], ["y"])
    ends = [[(name, "float32", ["n", 3, "h", "w"])] for name in "xy"]
    model = tiny.write(tmp_path / "computed.onnx", [scale, norm], SPEC, {"b": np.zeros(3, np.float32)}, *ends)
    with pytest.raises(ModelError, match="computes the scale of a normalisation, which cannot be rewritten"):
        Statistics(model)
