"""``i2i describe``: facts found in the file, missing options, and the copy that describes itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np

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
        (("export.onnx", "-o", "b.onnx"), "export.onnx: written by `i2i export`, which describes its files already"),
        (("none.onnx",), "none.onnx: no such model file"),
    ):
        done = i2i_inside("describe", *arguments, cwd=tmp_path)
        assert done.returncode == 2
        assert words in done.stderr.replace("\n", " "), done.stderr
    assert i2i_inside("describe", "export.onnx", cwd=tmp_path).stdout.startswith("export.onnx  photo -> negative")
    assert path.stat().st_size < 300
