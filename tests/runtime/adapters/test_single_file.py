"""Models with weights in other files, with several outputs, or without shapes."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from google.protobuf.message import EncodeError
from onnx import helper

import i2i
from i2i.runtime import ModelError
from i2i.runtime.adapters import annotate
from i2i.runtime.adapters.single_file import combined
from i2i.runtime.graphs.onnx_file import has_external_data, read_spec
from tests import tiny
from tests.runtime.adapters import models

IMAGE = np.random.default_rng(0).integers(0, 256, (6, 7, 3), np.uint8)
RGB: dict = {"range": "0..1", "order": "rgb"}


def options(**values: object) -> object:
    from i2i.runtime.adapters.options import NO_OPTIONS

    return type(NO_OPTIONS).of(values)


def test_a_single_file_with_one_output_is_left_as_it_is(tmp_path: Path) -> None:
    path = models.mirror(tmp_path / "m.onnx", 1)
    assert not has_external_data(path)
    assert combined(path) is None


def test_the_copy_contains_the_weights_of_a_third_party_model(tmp_path: Path) -> None:
    path = models.split(models.mirror(tmp_path / "m.onnx", 1))
    assert has_external_data(path)
    spec, model = annotate.describe(path, options(**RGB))
    annotate.write(path, tmp_path / "copy.onnx", spec, model=model)
    (tmp_path / "weights.data").unlink()
    assert read_spec(tmp_path / "copy.onnx") == spec
    np.testing.assert_array_equal(i2i.load(tmp_path / "copy.onnx", "cpu")(IMAGE), 255 - IMAGE)


def test_the_copy_of_an_export_keeps_its_description(tmp_path: Path) -> None:
    path = models.split(tiny.inverter(tmp_path / "m.onnx"))
    spec, model = annotate.describe(path)
    assert spec == tiny.RGB
    annotate.write(path, tmp_path / "copy.onnx", spec, model=model)
    (tmp_path / "weights.data").unlink()
    np.testing.assert_array_equal(i2i.load(tmp_path / "copy.onnx", "cpu")(IMAGE), 255 - IMAGE)
    with pytest.raises(ModelError, match="it describes itself; order can be given"):
        annotate.describe(tiny.inverter(tmp_path / "n.onnx"), options(order="bgr"))


@pytest.mark.parametrize("how", ["../secret", "absolute", "symlink", "hard link", "missing", "short"])
def test_no_file_outside_of_the_folder_is_read(tmp_path: Path, how: str) -> None:
    folder, secret = tmp_path / "models", tmp_path / "secret"
    folder.mkdir()
    path = models.split(models.mirror(folder / "m.onnx", 1))
    os.replace(folder / "weights.data", secret)
    model = onnx.load(path, load_external_data=False)
    entry = next(entry for entry in model.graph.initializer[0].external_data if entry.key == "location")
    entry.value = {"../secret": "../secret", "absolute": str(secret)}.get(how, "weights.data")
    path.write_bytes(model.SerializeToString())
    if how == "symlink":
        (folder / "weights.data").symlink_to(secret)
    elif how == "hard link":
        os.link(secret, folder / "weights.data")
    elif how == "short":
        (folder / "weights.data").write_bytes(b"12")
    with pytest.raises(
        ModelError, match=r"m\.onnx: its weights cannot be read: .*; expected in the model's folder"
    ) as error:
        annotate.describe(path, options(**RGB))
    assert "\n" not in str(error.value)


def test_weights_that_no_file_can_contain_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = models.split(models.mirror(tmp_path / "m.onnx", 1))

    class Large:
        def SerializeToString(self) -> bytes:
            raise EncodeError("Failed to serialize proto")

    monkeypatch.setattr(onnx, "load", lambda path: Large())
    with pytest.raises(ModelError, match="take more than the 2 GiB that one ONNX file can contain"):
        combined(path)


def test_an_output_is_chosen_by_name(tmp_path: Path) -> None:
    path = models.two_outputs(tmp_path / "m.onnx")
    with pytest.raises(
        ModelError, match=r"it has 2 outputs \('d0', 'd1'\); expected one: `i2i describe .*m\.onnx --output"
    ):
        i2i.load(path, "cpu", **RGB)
    for name, expected in (("d0", 255 - IMAGE), ("d1", IMAGE)):
        spec, model = annotate.describe(path, options(**RGB), name)
        annotate.write(path, tmp_path / f"{name}.onnx", spec, model=model)
        np.testing.assert_array_equal(i2i.load(tmp_path / f"{name}.onnx", "cpu")(IMAGE), expected)
    with pytest.raises(ValueError, match=r"m\.onnx: it has no output 'x'; choose from 'd0', 'd1'"):
        annotate.describe(path, options(**RGB), "x")


def test_an_output_whose_weights_are_used_within_a_branch(tmp_path: Path) -> None:
    """``d0`` needs ``one`` only through the graphs of an ``If`` node."""
    value = helper.make_tensor_value_info("b", onnx.TensorProto.FLOAT, None)
    branch = helper.make_graph([helper.make_node("Sub", ["one", "x"], ["b"])], "branch", [], [value])
    nodes = [
        helper.make_node("If", ["yes"], ["d0"], then_branch=branch, else_branch=branch),
        helper.make_node("Identity", ["x"], ["d1"]),
    ]
    free = list(models.FREE)
    outputs = [(name, "float32", free) for name in ("d0", "d1")]
    constants = {"one": np.asarray(1, np.float32), "yes": np.asarray(True)}
    path = tiny.write(tmp_path / "m.onnx", nodes, None, constants, [("x", "float32", free)], outputs)
    spec, model = annotate.describe(path, options(**RGB), "d0")
    annotate.write(path, tmp_path / "copy.onnx", spec, model=model)
    np.testing.assert_array_equal(i2i.load(tmp_path / "copy.onnx", "cpu")(IMAGE), 255 - IMAGE)


def test_a_model_that_does_not_state_its_shape_needs_its_layout(tmp_path: Path) -> None:
    path = models.without_shapes(models.mirror(tmp_path / "m.onnx", 1))
    with pytest.raises(ModelError) as error:
        i2i.load(path, "cpu", **RGB)
    assert "'x': float32 (the model does not state its shape)" in str(error.value)
    assert "Give the rest: --layout nchw|nhwc" in str(error.value)
    model = i2i.load(path, "cpu", layout="nchw", **RGB)
    np.testing.assert_array_equal(model(IMAGE), 255 - IMAGE)
    annotate.write(path, tmp_path / "copy.onnx", model.spec)
    np.testing.assert_array_equal(i2i.load(tmp_path / "copy.onnx", "cpu")(IMAGE), 255 - IMAGE)
    with pytest.raises(ModelError, match="it has the inputs "):
        i2i.load(tiny.write(tmp_path / "two.onnx", [helper.make_node("Add", ["x", "z"], ["y"])], None, {},
                            [(name, "float32", list(models.FREE)) for name in "xz"],
                            [("y", "float32", list(models.FREE))]), "cpu", **RGB)  # fmt: skip


def test_an_output_without_a_shape_is_found_by_running_it(tmp_path: Path) -> None:
    """No shape can be inferred behind a Reshape to a computed shape."""
    nodes = [helper.make_node("Shape", ["x"], ["s"]), helper.make_node("Mul", ["s", "one"], ["t"]),
             helper.make_node("Reshape", ["x", "t"], ["y"])]  # fmt: skip
    path = models.without_shapes(models.graph(tmp_path / "m.onnx", nodes, {"one": np.int64(1)}), ["output"])
    np.testing.assert_array_equal(i2i.load(path, "cpu", **RGB)(IMAGE), IMAGE)
