"""``i2i describe``: what is found, what is asked for, and the copy that says it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

import i2i
from i2i.images import Image, read_image, write_image
from tests import tiny
from tests.conftest import Command
from tests.runtime.adapters import models


def test_a_model_is_asked_about_described_and_run(tmp_path: Path, i2i_command: Command) -> None:
    models.mirror(tmp_path / "negative.onnx", 255)
    done = i2i_command("describe", "negative.onnx", "-o", "copy.onnx", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: negative.onnx: it holds no i2i description")
    assert "--range LOW..HIGH --order rgb|bgr" in done.stderr
    assert not (tmp_path / "copy.onnx").exists()
    told = ("--range", "0..255", "--order", "bgr")
    done = i2i_command("describe", "negative.onnx", *told, "-o", "copy.onnx", cwd=tmp_path)
    words = (
        "image -> negative  layout nchw, order bgr, range 0..255, "
        "any size (in multiples of 1, at least 1, by padding), scale 1"
    )
    assert (done.returncode, done.stdout) == (0, f"negative.onnx  {words}\ncopy.onnx\n"), done.stderr
    assert i2i_command("describe", "copy.onnx", cwd=tmp_path).stdout == f"copy.onnx  {words}\n"
    image = np.random.default_rng(0).integers(0, 256, (6, 7, 3), np.uint8)
    write_image(tmp_path / "a.png", Image(image))
    done = i2i_command("translate", "a.png", "b.png", "-m", "copy.onnx", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "image -> negative, on cpu" in done.stderr
    np.testing.assert_array_equal(read_image(tmp_path / "b.png").pixels, 255 - image)


def test_wrong_words_and_names_are_errors(tmp_path: Path, i2i_inside: Command) -> None:
    path = models.mirror(tmp_path / "m.onnx", 1)
    tiny.inverter(tmp_path / "export.onnx")
    told = ("--range", "-1..1", "--order", "rgb")
    for arguments, words in (
        (("m.onnx", "--range", "wide"), "range is 'wide'; expected LOW..HIGH"),
        (("m.onnx", "--fit", "crop"), "'crop' is not one of 'resize', 'tile'"),
        (("m.onnx", "--range", "0..1", "--order", "rgb", "-o", "m.onnx"), "m.onnx is the model itself"),
        (("m.onnx", "--range", "0..1", "--order", "rgb", "-o", "export.onnx"), "export.onnx is there already"),
        (("export.onnx", *told), "it describes itself"),
        (("export.onnx", "-o", "b.onnx"), "export.onnx: `i2i export` wrote it, and it describes itself already"),
        (("none.onnx",), "none.onnx: no such model file"),
    ):
        done = i2i_inside("describe", *arguments, cwd=tmp_path)
        assert done.returncode == 2
        assert words in done.stderr.replace("\n", " "), done.stderr
    assert i2i_inside("describe", "export.onnx", cwd=tmp_path).stdout.startswith("export.onnx  photo -> negative")
    assert path.stat().st_size < 300


def test_weights_in_another_file_are_written_into_one(tmp_path: Path, i2i_inside: Command) -> None:
    models.mirror(tmp_path / "m.onnx", 1)
    external = {"save_as_external_data": True, "size_threshold": 0, "location": "weights.bin"}
    onnx.save(onnx.load(tmp_path / "m.onnx"), tmp_path / "m.onnx", **external)
    told = ("--range", "0..1", "--order", "rgb")
    done = i2i_inside("describe", "m.onnx", *told, cwd=tmp_path)
    assert done.returncode == 2
    assert "it keeps weights in another file ('weights.bin')" in done.stderr
    assert "`i2i describe m.onnx -o COPY` writes one" in done.stderr
    done = i2i_inside("describe", "m.onnx", "-o", "copy.onnx", cwd=tmp_path)
    assert (done.returncode, done.stderr.split(":")[1]) == (2, " m.onnx")  # what is missing is said of the model itself
    done = i2i_inside("describe", "m.onnx", *told, "-o", "copy.onnx", cwd=tmp_path)
    assert (done.returncode, done.stdout.split()[0]) == (0, "m.onnx"), done.stderr
    (tmp_path / "weights.bin").unlink()
    image = np.random.default_rng(0).integers(0, 256, (6, 7, 3), np.uint8)
    np.testing.assert_array_equal(i2i.load(tmp_path / "copy.onnx", "cpu")(image), 255 - image)
    done = i2i_inside("describe", "m.onnx", *told, "-o", "other.onnx", cwd=tmp_path)
    assert done.returncode == 2
    assert "m.onnx: its weights in other files cannot be read: " in done.stderr


def test_weights_outside_of_the_models_folder_are_never_read(tmp_path: Path, i2i_inside: Command) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    model = onnx.load(models.mirror(inner / "m.onnx", 1))
    onnx.external_data_helper.convert_model_to_external_data(model, location="weights.bin", size_threshold=0)
    onnx.save(model, inner / "m.onnx")
    (inner / "weights.bin").rename(tmp_path / "weights.bin")
    for tensor in (model := onnx.load(inner / "m.onnx", load_external_data=False)).graph.initializer:
        tensor.external_data[0].value = "../weights.bin"
    (inner / "m.onnx").write_bytes(model.SerializeToString())
    done = i2i_inside("describe", "m.onnx", "--range", "0..1", "--order", "rgb", "-o", "copy.onnx", cwd=inner)
    assert done.returncode == 2
    assert "m.onnx: its weights in other files cannot be read: " in done.stderr
    assert not (inner / "copy.onnx").exists()


def test_one_of_several_outputs_is_kept(tmp_path: Path, i2i_inside: Command) -> None:
    model = onnx.load(models.mirror(tmp_path / "m.onnx", 1))
    model.graph.node.append(onnx.helper.make_node("Identity", ["x"], ["same"]))
    model.graph.output.append(onnx.helper.make_tensor_value_info("same", onnx.TensorProto.FLOAT, models.FREE))
    onnx.save(model, tmp_path / "m.onnx")
    told = ("--range", "0..1", "--order", "rgb")
    done = i2i_inside("describe", "m.onnx", *told, cwd=tmp_path)
    assert done.returncode == 2
    assert "it has 2 outputs (y, same); `i2i describe m.onnx --output y -o COPY` writes a copy" in done.stderr
    image = np.random.default_rng(0).integers(0, 256, (6, 7, 3), np.uint8)
    for name, expected in (("y", 255 - image), ("same", image)):
        done = i2i_inside("describe", "m.onnx", *told, "--output", name, "-o", f"{name}.onnx", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        np.testing.assert_array_equal(i2i.load(tmp_path / f"{name}.onnx", "cpu")(image), expected)
    done = i2i_inside("describe", "m.onnx", *told, "--output", "z", cwd=tmp_path)
    assert "m.onnx: it has no output 'z'; it has 'y', 'same'" in done.stderr


def test_a_shape_that_the_file_does_not_state_is_said(tmp_path: Path, i2i_inside: Command) -> None:
    model = onnx.load(models.mirror(tmp_path / "m.onnx", 1))
    model.graph.input[0].type.tensor_type.ClearField("shape")
    onnx.save(model, tmp_path / "m.onnx")
    done = i2i_inside("describe", "m.onnx", "--range", "0..1", "--order", "rgb", cwd=tmp_path)
    assert done.returncode == 2
    assert "m.onnx: the file does not state the shape of 'x'; onnx.shape_inference" in done.stderr
