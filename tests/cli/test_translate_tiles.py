"""``--tile``, from the command line to the pixels."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import i2i
from i2i.images import Image, read_image, write_image
from i2i.runtime import ModelError
from tests.conftest import ROOT, Command
from tests.runtime.tiles.networks import SPEC, network, photo, psnr

IMAGE = photo(300, 420)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    network(tmp_path / "net.onnx")
    (tmp_path / "photos").mkdir()
    write_image(tmp_path / "photos" / "a.png", Image(IMAGE))
    return tmp_path


def test_a_folder_in_tiles_and_again_in_others(place: Path, i2i_command: Command) -> None:
    command = ("translate", "photos", "out", "-m", "net.onnx", "--tile")
    done = i2i_command(*command, "192", cwd=place)
    assert done.returncode == 0, done.stderr
    result = read_image(place / "out" / "a.png").pixels
    whole = i2i.load(place / "net.onnx", "cpu")(IMAGE)
    np.testing.assert_array_equal(result, i2i.load(place / "net.onnx", "cpu").tiled(192)(IMAGE))
    assert not np.array_equal(result, whole)
    assert psnr(result, whole) > 25
    done = i2i_command(*command, "off", cwd=place)
    assert (done.returncode, done.stdout) == (2, "")
    assert "tile was 192 and is off" in done.stderr


def test_an_invalid_tile_is_a_usage_error(place: Path, i2i_inside: Command) -> None:
    done = i2i_inside("translate", "photos/a.png", "-m", "net.onnx", "--tile", "some", cwd=place)
    assert (done.returncode, done.stdout) == (2, "")
    assert "tile is 'some'; choose auto, exact, off or the side of a tile in pixels" in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_an_interrupt_leaves_the_terminal_as_it_was(place: Path) -> None:
    import pty

    write_image(place / "large.png", Image(photo(1500, 1500)))
    words = [sys.executable, "-m", "i2i", "translate", "large.png", "out.png", "-m", "net.onnx", "--tile", "160"]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    ours, theirs = pty.openpty()
    process = subprocess.Popen(words, cwd=place, stderr=theirs, env=env)
    os.close(theirs)
    hidden, back, seen = b"\x1b[?25l", b"\x1b[?25h", b""
    while hidden not in seen and (part := read(ours)):
        seen += part
    process.send_signal(signal.SIGINT)
    while part := read(ours):
        seen += part
    os.close(ours)
    assert process.wait(60) == 130
    assert seen.rfind(back) > seen.rfind(hidden)
    assert seen.rstrip().endswith(b"interrupted")
    assert not (place / "out.png").exists()


def read(terminal: int) -> bytes:
    """b"" at its end, which is an error on Linux."""
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""


def test_tiles_from_python(place: Path) -> None:
    model = i2i.load(place / "net.onnx", "cpu")
    tiled = i2i.translate(IMAGE, model=model, tile=192)
    np.testing.assert_array_equal(tiled, model.tiled(192)(IMAGE))
    np.testing.assert_array_equal(i2i.translate(IMAGE, model=model.tiled(192)), tiled)  # as the model has it
    np.testing.assert_array_equal(i2i.translate(IMAGE, model=model, tile="off"), model(IMAGE))
    network(place / "unet.onnx", replace(SPEC, tiling="no"))
    with pytest.raises(ModelError, match="depends on the whole image"):
        i2i.translate(IMAGE, model=place / "unet.onnx", tile=192)
