"""fp16 and int8: files stay within the limits of loss, and files that lose too much are not written."""

from __future__ import annotations

import json
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner
from onnx import TensorProto, numpy_helper
from torch import nn

import i2i
from i2i.cli.describe import command as describe
from i2i.cli.export import command
from i2i.demo.paint import paint
from i2i.demo.scenes import scene
from i2i.exporter import ExportError, default_path, export, precision
from i2i.exporter.calibration import gather
from i2i.exporter.graph_partition import Parts
from i2i.exporter.precision_loss import Limits
from i2i.runtime.graphs.onnx_file import read_spec
from i2i.runtime.model.executor import Executor
from i2i.runtime.processing import is_finite
from i2i.runtime.providers.onnxruntime_session import placement
from i2i.runtime.tiles.tiler import Tiling, translate_tiled
from i2i.spec import Spec
from tests.exporter import test_domains
from tests.exporter.conftest import spec

Exports = dict[str, tuple[Path, nn.Module, Spec]]
KINDS = ("fp16", "int8")
CASES = (("resnet", "fp16"), ("resnet", "int8"), ("unet16", "int8"), ("tensor", "fp16"))


@pytest.fixture(scope="module")
def drawings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fourteen pictures of 48 x 48 pixels."""
    folder = tmp_path_factory.mktemp("drawings")
    for seed in range(14):
        assert cv2.imwrite(str(folder / f"{seed}.png"), paint(scene(seed), "day", 48)[..., ::-1])
    return folder


@pytest.fixture(scope="module")
def reduced(
    exports: Exports, drawings: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str], tuple[Path, Path]]:
    """The cases: the file in fp32, and that in another precision."""
    folder = tmp_path_factory.mktemp("reduced")
    return {
        (name, kind): (
            exports[name][0],
            export(exports[name][0], folder / f"{name}.{kind}.onnx", precision=kind, calibrate=drawings),
        )
        for name, kind in CASES
    }


def edited(path: Path, to: Path, factors: dict[int, float]) -> Path:
    """A copy of a model, with the weights of its layers multiplied, by their numbers."""
    model = onnx.load(path)
    graph = model.graph
    for number, factor in factors.items():
        name = graph.node[Parts.of(graph).layers[number]].input[1]
        tensor = next(each for each in graph.initializer if each.name == name)
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(factor), name))
    onnx.save(model, to)
    return to


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_file_has_the_measured_loss_and_takes_any_size_and_batch(
    reduced: dict[tuple[str, str], tuple[Path, Path]], drawings: Path, name: str, kind: str
) -> None:
    path, other = reduced[name, kind]
    whole, small = (Executor(each, "cpu", 1, False) for each in (path, other))
    promise = small.spec
    assert replace(promise, precision="fp32", loss={}) == whole.spec
    assert promise.precision == kind
    assert other.stat().st_size < path.stat().st_size
    assert {entry.domain: entry.version for entry in onnx.load(other).opset_import} == {"": 18}
    assert onnx.load(other).ir_version == 8
    level = promise.target.peak / 255

    def off(batch: np.ndarray) -> np.ndarray:
        got, want = (graph.run(batch).astype(np.float64) / level for graph in (small, whole))
        return np.abs(got - want)

    if kind == "int8":
        held_out = gather(drawings, None, promise, True).held_out
        assert len({image.shape for image in held_out}) > 2  # of odd sizes
        errors = [off(image[None]) for image in held_out]
        assert max(error.max() for error in errors) == pytest.approx(promise.loss["largest"], rel=0.01)
        square = np.concatenate([np.ravel(error**2) for error in errors]).mean()
        assert 10 * math.log10(255**2 / square) == pytest.approx(promise.loss["psnr"], abs=0.01)
    for n, side in ((3, 33), (1, 64)) if promise.io == "pixels" else ((3, 36),):
        drawn = np.stack([paint(scene(100 + i), "day", side)[:, : side - side % 2] for i in range(n)])
        batch = (drawn[..., : promise.source.channels] * (promise.source.peak / 255)).astype(promise.dtype)
        error = np.square(off(batch)).mean()
        assert error == 0 or 10 * math.log10(255**2 / error) >= {"fp16": 60, "int8": 35}[kind]  # untrained


def test_the_spec_contains_the_measurements(reduced: dict[tuple[str, str], tuple[Path, Path]], drawings: Path) -> None:
    for kind, limits in (("fp16", [60, None]), ("int8", [45, 8])):
        promise = read_spec(reduced["resnet", kind][1])
        assert promise is not None
        loss = promise.loss
        assert loss["limits"] == limits
        assert loss["psnr"] is None or loss["psnr"] >= limits[0]
        assert 0 < loss["largest"] <= 8
        assert 0 < loss["differing"] < 1
        assert promise.parity["against"] == "float32"  # of the graph in fp32, as before
        assert Spec.from_json(promise.to_json()) == promise
        used = (loss.get("calibration", 0), loss["held_out"])
        assert used == ((0, 8) if kind == "fp16" else (10, 4))
    old = json.loads(promise.to_json())
    del old["loss"]  # as files have it that were exported before there was such a thing
    assert Spec.from_json(json.dumps(old)) == replace(promise, loss={})


def test_ends_and_norms_stay_in_float32(reduced: dict[tuple[str, str], tuple[Path, Path]]) -> None:
    half = onnx.shape_inference.infer_shapes(onnx.load(reduced["resnet", "fp16"][1]), strict_mode=True).graph
    types = {value.name: value.type.tensor_type.elem_type for value in (*half.value_info, *half.input, *half.output)}
    types |= {tensor.name: tensor.data_type for tensor in half.initializer}
    for node in half.node:
        if node.op_type in ("Conv", "ConvTranspose"):
            assert {types[name] for name in node.input} == {TensorProto.FLOAT16}
        elif node.op_type in ("InstanceNormalization", "Tanh", "Clip", "Round", "ReduceSum"):
            assert types[node.input[0]] == TensorProto.FLOAT, node.op_type

    eight = onnx.load(reduced["resnet", "int8"][1]).graph
    integers = {tensor.name for tensor in eight.initializer if tensor.data_type == TensorProto.INT8}
    made = {name: node for node in eight.node for name in node.output}
    weights = [made.get(node.input[1]) for node in eight.node if node.op_type in ("Conv", "ConvTranspose")]
    quantised = [each is not None and each.op_type == "DequantizeLinear" for each in weights]
    # The stem; two downsampling, a block of two; two transposed, the last.
    assert not any((quantised[0], *quantised[5:]))
    assert sum(quantised[1:5]) >= 2
    for tensor in eight.initializer:
        if tensor.name in integers and tensor.name.endswith("/whole"):
            assert np.abs(numpy_helper.to_array(tensor)).max() <= 63  # else processors differ
            assert tensor.dims[0] > 1


def test_a_large_image_is_not_taken_for_one_that_is_not_finite(
    reduced: dict[tuple[str, str], tuple[Path, Path]],
) -> None:
    """16-bit pixels and sums over an image exceed float16, so they stay in float32."""
    noise = np.random.default_rng(0).integers(0, 256, (1, 560, 560, 3)).astype(np.uint8)
    graph = precision.emulated(onnx.load(reduced["resnet", "fp16"][1]))
    result = precision.open_session(graph, "cpu").run({"image": noise})[0]
    assert is_finite(result[0])


def test_emulated_rounding_is_that_of_float16(reduced: dict[tuple[str, str], tuple[Path, Path]]) -> None:
    values = np.array([1 / 3, -2049, 2051, 4097, 65504, 65519, 65521, -1e6, 0, 1e-3], np.float32)
    helper = onnx.helper
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["x"], ["y/half"], to=TensorProto.FLOAT16),
            helper.make_node("Cast", ["y/half"], ["y"], to=TensorProto.FLOAT),
        ],
        "cast",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [len(values)])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [len(values)])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    with np.errstate(over="ignore"):
        want = values.astype(np.float16).astype(np.float32)
    got = precision.open_session(precision.emulated(model), "cpu").run({"x": values})[0]
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_that_loses_too_much_is_refused(
    exports: Exports, drawings: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last layer amplifies each error a thousand times."""
    model = edited(exports["grey"][0], tmp_path / "steep.onnx", {2: 1000})
    target = tmp_path / "out" / "steep.onnx"
    if kind == "int8":
        with pytest.raises(ExportError, match=r"^no int8 of this model: only 0 of its 1 inner .*use --precision"):
            export(model, target, precision=kind, calibrate=drawings)
        # What passed on the calibration images can still fail on others.
        monkeypatch.setattr(precision, "SAFE", Limits(0, 255))
    wrong = rf"^{kind} loses too much of this model: on \d+ images PSNR [\d.]+ dB, off by at most \d+ .* is required"
    with pytest.raises(ExportError, match=wrong):
        export(model, target, precision=kind, calibrate=drawings)
    result = CliRunner().invoke(
        command, [str(model), "-o", str(target), "--precision", kind, "--calibrate", str(drawings)]
    )
    assert result.exit_code != 0
    assert isinstance(result.exception, ExportError)
    assert not target.parent.exists()
    monkeypatch.setattr(precision, "LIMITS", {kind: Limits(0, 255)})
    export(model, target, precision=kind, calibrate=drawings)  # the bound alone kept it from being there


def test_a_model_that_overflows_float16_is_refused(exports: Exports, drawings: Path, tmp_path: Path) -> None:
    """Its first weights fit into float16, but their results overflow; in float32 a norm after them is correct."""
    model = edited(exports["grey"][0], tmp_path / "large.onnx", {0: 2e5})
    with pytest.raises(ExportError, match=r"fp16 gives no finite result .* beyond its range\. No file was written"):
        export(model, precision="fp16", calibrate=drawings)
    model = edited(exports["grey"][0], tmp_path / "larger.onnx", {0: 1e7})
    with pytest.raises(ExportError, match=r"weight .* reaches .*, and float16 ends at 65504"):
        export(model, precision="fp16", calibrate=drawings)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["large.onnx", "larger.onnx"]


def test_a_model_that_is_not_finite_in_float32_is_an_error(exports: Exports, drawings: Path, tmp_path: Path) -> None:
    model = edited(exports["grey"][0], tmp_path / "broken.onnx", {1: np.nan})
    with pytest.raises(ExportError, match="the model in float32 gives no finite result"):
        export(model, precision="int8", calibrate=drawings)


@pytest.mark.parametrize("kind", KINDS)
def test_nodes_are_distinguished_by_their_names(reduced: dict[tuple[str, str], tuple[Path, Path]], kind: str) -> None:
    """A session needs the names to report which nodes it left to the processor."""
    path = reduced["resnet", kind][1]
    nodes = onnx.load(path).graph.node
    assert len({node.name for node in nodes} - {""}) == len(nodes)
    left = [node for node in nodes if node.op_type in ("DequantizeLinear", "Cast", "Shape")]
    weights = {tensor.name for tensor in onnx.load(path).graph.initializer}
    part = SimpleNamespace(ep_name="CPUExecutionProvider", get_nodes=lambda: left)
    session = SimpleNamespace(get_provider_graph_assignment_info=lambda: [part])
    found = " ".join(placement.left_to_cpu(session, path))
    assert left
    for node in left:
        assert (f"({node.name})" in found) == (node.op_type != "Shape" and node.input[0] not in weights)


@pytest.mark.parametrize("kind", KINDS)
def test_tiles_share_the_statistics_of_the_whole_image(
    reduced: dict[tuple[str, str], tuple[Path, Path]], kind: str
) -> None:
    graph = Executor(reduced["resnet", kind][1], "cpu", 1, False)
    image = paint(scene(3), "day", 200)
    tiled = translate_tiled(graph, image, tiling=Tiling(exact=True, side=128)).astype(int)
    off = np.abs(tiled - graph.run(image[None])[0])
    assert 10 * math.log10(255**2 / max(np.square(off).mean(), 1e-9)) >= 50
    assert off.max() <= 8


def test_several_domains_are_all_measured(
    drawings: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = shutil.copy(test_domains.exported("attributes", tmp_path_factory)[0], tmp_path / "any.onnx")
    asked = []
    original = precision._feeds
    monkeypatch.setattr(precision, "_feeds", lambda *given: asked.append(original(*given)) or asked[-1])
    for kind in KINDS:
        file = export(path, precision=kind, calibrate=drawings)
        assert file.name == f"any.{kind}.onnx"
        model = i2i.load(file, "cpu")
        to = ["rain"]
        assert model.toward(to).name == "rain"
        picture = paint(scene(50), "day", 40)
        off = np.abs(model(picture, to=to).astype(int) - i2i.load(path, "cpu")(picture, to=to))
        assert off.max() <= (1 if kind == "fp16" else 8)
    for feeds in asked:
        if feeds:
            assert len({tuple(np.ravel(each["target"])) for each in feeds}) == 6


def test_names_of_files(tmp_path: Path) -> None:
    names = [
        default_path(tmp_path, "a2b", *form).name for form in (("pixels",), ("pixels", "fp16"), ("tensor", "int8"))
    ]
    assert names == ["a2b.onnx", "a2b.fp16.onnx", "a2b.tensor.int8.onnx"]


def test_the_command_and_the_notes_on_its_file(
    exports: Exports, reduced: dict[tuple[str, str], tuple[Path, Path]], tmp_path: Path
) -> None:
    said = CliRunner().invoke(describe, [str(reduced["resnet", "int8"][1])]).output
    assert "int8: " in said
    assert " dB from fp32, at most " in said
    assert re.search(r"on 4 images \(calibrated on 10 others\); [234] of 6 convolutions in int8", said)
    path = exports["resnet"][0]
    for given, wrong in (
        ({"precision": "bf16"}, "choose fp32, fp16, int8"),
        ({"calibrate": tmp_path}, "only used for fp16 and int8"),
        ({"precision": "fp16"}, "give a folder of them: --calibrate DIR"),
        ({"precision": "fp16", "to": "b"}, "is an exported file"),
        ({}, "is already in fp32; choose another precision, fp16 or int8"),
    ):
        with pytest.raises(ValueError, match=wrong):
            export(path, tmp_path / "x.onnx", **given)
    with pytest.raises(ValueError, match=r"in int8; only an export in fp32"):
        export(reduced["resnet", "int8"][1], precision="fp16", calibrate=tmp_path)


def test_a_network_is_exported_in_another_precision_at_once(drawings: Path, tmp_path: Path) -> None:
    from tests.exporter.conftest import Small

    torch.manual_seed(0)
    generators = {"a2b": (Small().eval(), spec())}
    file = export(generators, tmp_path / "small.int8.onnx", precision="int8", calibrate=drawings)
    promise = read_spec(file)
    assert promise is not None
    assert (promise.precision, promise.receptive_field, promise.loss["convolutions"]) == ("int8", 7, [1, 3])
    assert promise.parity["largest"] <= 1
    assert [path.name for path in tmp_path.iterdir()] == ["small.int8.onnx"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_export_of_an_older_i2i_gets_the_least_ir_version_and_its_values_per_pixel(
    reduced: dict[tuple[str, str], tuple[Path, Path]], drawings: Path, tmp_path: Path, kind: str
) -> None:
    model = onnx.load(reduced["resnet", kind][0])
    model.ir_version = 10
    whole = read_spec(reduced["resnet", kind][0])
    model.metadata_props[0].value = replace(whole, values_per_pixel=None).to_json()
    onnx.save(model, tmp_path / "old.onnx")
    made = export(tmp_path / "old.onnx", precision=kind, calibrate=drawings)
    assert onnx.load(made).ir_version == 8
    assert read_spec(made).values_per_pixel == whole.values_per_pixel is not None
    assert onnx.load(tmp_path / "old.onnx").ir_version == 10
