"""``i2i describe``: facts found in the file, missing options, and the copy that describes itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

from i2i.images import Image, read_image, write_image
from tests import tiny
from tests.conftest import Command
from tests.runtime.adapters import models

RGB = ("--range", "0..1", "--order", "rgb")


def test_a_model_is_examined_described_and_run(tmp_path: Path, i2i_command: Command) -> None:
    models.mirror(tmp_path / "negative.onnx", 255)
    done = i2i_command("describe", "negative.onnx", "-o", "copy.onnx", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: negative.onnx: it contains no i2i description")
    assert "--range LOW..HIGH --order rgb|bgr" in done.stderr
    assert not (tmp_path / "copy.onnx").exists()
    given = ("--range", "0..255", "--order", "bgr")
    done = i2i_command("describe", "negative.onnx", *given, "-o", "copy.onnx", cwd=tmp_path)
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


def test_invalid_options_and_files_are_errors(tmp_path: Path, i2i_inside: Command) -> None:
    path = models.mirror(tmp_path / "m.onnx", 1)
    tiny.inverter(tmp_path / "export.onnx")
    models.two_outputs(tmp_path / "two.onnx")
    given = ("--range", "-1..1", "--order", "rgb")
    for arguments, words in (
        (("m.onnx", "--range", "wide"), "range is 'wide'; expected LOW..HIGH"),
        (("m.onnx", "--fit", "crop"), "'crop' is not one of 'resize', 'tile'"),
        (("m.onnx", "--range", "0..1", "--order", "rgb", "-o", "m.onnx"), "m.onnx is the model itself"),
        (("m.onnx", "--range", "0..1", "--order", "rgb", "-o", "export.onnx"), "export.onnx exists already"),
        (("export.onnx", *given), "it describes itself"),
        (("export.onnx", "-o", "b.onnx"), "export.onnx: written by `i2i export`, which describes its files already"),
        (("two.onnx", *given, "--output", "d9"), "two.onnx: it has no output 'd9'; choose from 'd0', 'd1'"),
        (
            ("two.onnx", *given),
            "it has 2 outputs ('d0', 'd1'); expected one: `i2i describe two.onnx --output NAME -o two-described.onnx`",
        ),
        (
            ("two.onnx", "--output", "d0", "--range", "-1..1"),
            "`i2i describe two.onnx --output d0 --range -1..1 --order rgb|bgr -o two-described.onnx` writes it",
        ),
        (("none.onnx",), "none.onnx: no such model file"),
    ):
        done = i2i_inside("describe", *arguments, cwd=tmp_path)
        assert done.returncode == 2
        assert words in done.stderr.replace("\n", " "), done.stderr
    assert i2i_inside("describe", "export.onnx", cwd=tmp_path).stdout.startswith("export.onnx  photo -> negative")
    assert path.stat().st_size < 300


def test_one_of_several_outputs_is_kept(tmp_path: Path, i2i_inside: Command) -> None:
    models.two_outputs(tmp_path / "two.onnx")
    image = np.random.default_rng(0).integers(0, 256, (6, 7, 3), np.uint8)
    write_image(tmp_path / "a.png", Image(image))
    for name, expected in (("d0", 255 - image), ("d1", image)):
        done = i2i_inside("describe", "two.onnx", "--output", name, *RGB, "-o", f"{name}.onnx", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert [output.name for output in onnx.load(tmp_path / f"{name}.onnx").graph.output] == [name]
        done = i2i_inside("translate", "a.png", f"{name}.png", "-m", f"{name}.onnx", "--provider", "cpu", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        np.testing.assert_array_equal(read_image(tmp_path / f"{name}.png").pixels, expected)


def test_weights_in_another_file_are_put_into_the_copy(tmp_path: Path, i2i_inside: Command) -> None:
    models.split(models.mirror(tmp_path / "x.onnx", 1))
    image = np.random.default_rng(0).integers(0, 256, (6, 7, 3), np.uint8)
    write_image(tmp_path / "a.png", Image(image))
    done = i2i_inside("translate", "a.png", "b.png", "-m", "x.onnx", cwd=tmp_path)
    assert done.returncode == 2
    assert "`i2i describe x.onnx -o x-described.onnx` writes one file that contains them" in done.stderr
    done = i2i_inside("describe", "x.onnx", *RGB, "-o", "y.onnx", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("x.onnx  image -> x  layout nchw, order rgb, range 0..1")
    (tmp_path / "weights.data").unlink()
    done = i2i_inside("translate", "a.png", "b.png", "-m", "y.onnx", "--provider", "cpu", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(read_image(tmp_path / "b.png").pixels, 255 - image)
