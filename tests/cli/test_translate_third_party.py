"""``i2i translate`` with a third-party model: what its file does not state, `i2i describe` writes into a copy."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest

from i2i.images import Image, read_image, write_image
from i2i.runtime.adapters.options import NAMES
from tests.conftest import Command
from tests.runtime.adapters import models

IMAGE = np.random.default_rng(0).integers(0, 256, (6, 7, 3), np.uint8)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    models.mirror(tmp_path / "negative.onnx", 255)
    (tmp_path / "photos").mkdir()
    write_image(tmp_path / "photos" / "a.png", Image(IMAGE))
    return tmp_path


def test_a_folder_as_described_and_again_otherwise(place: Path, i2i_inside: Command) -> None:
    describe = ("describe", "negative.onnx", "-o", "copy.onnx", "--order", "rgb", "--overwrite", "--range")
    command = ("translate", "photos", "out", "-m", "copy.onnx")
    assert i2i_inside(*describe, "0..255", cwd=place).returncode == 0
    done = i2i_inside(*command, cwd=place)
    assert done.returncode == 0, done.stderr
    assert "model copy.onnx (as asked): image -> negative, on cpu" in done.stderr
    np.testing.assert_array_equal(read_image(place / "out" / "a.png").pixels, 255 - IMAGE)
    assert "0 translated, 1 done before" in i2i_inside(*command, cwd=place).stdout
    # 255 - x of values in -15..270 is their negative as well, so only the description differs.
    assert i2i_inside(*describe, "-15..270", cwd=place).returncode == 0
    done = i2i_inside(*command, cwd=place)
    assert (done.returncode, done.stdout) == (2, "")
    assert "out has results of a job that differs from this one: the model's file has changed" in done.stderr
    assert "1 translated" in i2i_inside(*command, "--overwrite", cwd=place).stdout


def test_a_model_that_does_not_describe_itself_names_the_command_that_describes_it(
    place: Path, i2i_inside: Command
) -> None:
    """With the real names of the files, which a shell takes as they are shown."""
    (place / "negative.onnx").rename(place / "the negative.onnx")
    done = i2i_inside("translate", "photos", "out", "-m", "the negative.onnx", cwd=place)
    assert (done.returncode, done.stdout) == (2, "")
    shown = "`i2i describe 'the negative.onnx' --range LOW..HIGH --order rgb|bgr -o 'the negative-described.onnx'`"
    assert shown in done.stderr
    assert not (place / "out").exists()
    line = shown.strip("`").replace("LOW..HIGH", "0..255").replace("rgb|bgr", "rgb")
    done = i2i_inside(*shlex.split(line)[1:], cwd=place)
    assert done.returncode == 0, done.stderr
    done = i2i_inside("translate", "photos/a.png", "b.png", "-m", "the negative-described.onnx", cwd=place)
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(read_image(place / "b.png").pixels, 255 - IMAGE)


def test_a_model_whose_metadata_are_clear_needs_no_description(place: Path, i2i_inside: Command) -> None:
    says = {"Image.BitmapPixelFormat": "Bgr8", "Image.NominalPixelRange": "NominalRange_0_255"}
    models.mirror(place / "clear.onnx", 255, says=says)
    done = i2i_inside("translate", "photos/a.png", "b.png", "-m", "clear.onnx", cwd=place)
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(read_image(place / "b.png").pixels, 255 - IMAGE)


@pytest.mark.parametrize("name", sorted(NAMES - {"input"}))
def test_the_options_of_describe_are_not_those_of_translate(place: Path, i2i_inside: Command, name: str) -> None:
    option = f"--{name.replace('_', '-')}"
    done = i2i_inside("translate", "photos/a.png", "-m", "negative.onnx", option, "1", cwd=place)
    assert (done.returncode, done.stdout) == (2, "")
    words = f"`i2i describe MODEL {option} ... -o COPY` writes it into a copy of the model."
    assert f"No such option '{option}'. {words}" in " ".join(done.stderr.split())
    assert not list(place.glob("photos/*negative*"))


def test_other_unknown_options_are_answered_as_before(place: Path, i2i_inside: Command) -> None:
    done = i2i_inside("translate", "photos/a.png", "--qualty", "9", cwd=place)
    assert done.returncode == 2
    assert "--qualty" in done.stderr
    assert "--quality" in done.stderr
    assert "describe" not in done.stderr
