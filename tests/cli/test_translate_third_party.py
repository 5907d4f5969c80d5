"""``i2i translate`` with a third-party model, whose value range and channel order are options."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from i2i.images import Image, read_image, write_image
from tests import tiny
from tests.conftest import Command
from tests.runtime.adapters import models

IMAGE = np.random.default_rng(0).integers(0, 256, (6, 7, 3), np.uint8)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    models.mirror(tmp_path / "negative.onnx", 255)
    (tmp_path / "photos").mkdir()
    write_image(tmp_path / "photos" / "a.png", Image(IMAGE))
    return tmp_path


def test_a_folder_as_told_and_again_told_otherwise(place: Path, i2i_inside: Command) -> None:
    command = ("translate", "photos", "out", "-m", "negative.onnx", "--order", "rgb", "--range")
    done = i2i_inside(*command, "0..255", cwd=place)
    assert done.returncode == 0, done.stderr
    assert "model negative.onnx (as asked): image -> negative, on cpu" in done.stderr
    np.testing.assert_array_equal(read_image(place / "out" / "a.png").pixels, 255 - IMAGE)
    assert "0 translated, 1 done before" in i2i_inside(*command, "0..255", cwd=place).stdout
    # 255 - x of values in -15..270 is their negative as well, so only what is told differs.
    done = i2i_inside(*command, "-15..270", cwd=place)
    assert (done.returncode, done.stdout) == (2, "")
    assert "-15" in done.stderr
    done = i2i_inside(*command, "-15..270", "--overwrite", cwd=place)
    assert "1 translated" in done.stdout


def test_without_a_word_it_is_asked_for(place: Path, i2i_inside: Command) -> None:
    done = i2i_inside("translate", "photos", "out", "-m", "negative.onnx", cwd=place)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Give the rest: --range LOW..HIGH --order rgb|bgr" in done.stderr
    assert not (place / "out").exists()


def test_an_export_is_told_nothing(place: Path, i2i_inside: Command) -> None:
    tiny.inverter(place / "export.onnx")
    done = i2i_inside("translate", "photos/a.png", "-m", "export.onnx", "--order", "bgr", cwd=place)
    assert (done.returncode, done.stdout) == (2, "")
    assert "export.onnx: it describes itself; order can be given for third-party models" in done.stderr
