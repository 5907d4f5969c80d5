"""The default model of a command, the list of models, and the destination of results."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from i2i.images import Image, read_image, write_image
from tests.conftest import Command
from tests.runtime.model.test_catalog import a_run


def test_the_newest_finished_run_is_taken_and_named(tmp_path: Path, i2i_inside: Command) -> None:
    a_run(tmp_path / "runs" / "one", at=1e9)
    a_run(tmp_path / "runs" / "two", at=1e9 + 5)
    a_run(tmp_path / "runs" / "three", "running", at=1e9 + 9)
    (tmp_path / "in").mkdir()
    write_image(tmp_path / "in" / "a.png", Image(np.zeros((4, 4, 3), np.uint8)))

    done = i2i_inside("translate", "in", cwd=tmp_path)
    assert done.returncode == 0
    assert "model runs/two/onnx/a2b.onnx (the newest finished run, runs/two): horses -> zebras" in done.stderr
    assert done.stdout.startswith(f"{tmp_path / 'in-zebras'}: 1 translated")
    done = i2i_inside("translate", "in/a.png", "--to", "horses", "-m", "one", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "in/a-horses.png\n")
    assert int(read_image(tmp_path / "in" / "a-horses.png").pixels.min()) == 255
    done = i2i_inside("translate", "in/a.png", "out/", "--to", "b2a", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "out/a.png\n")
    done = i2i_inside("translate", "in", "--to", "cows", cwd=tmp_path)
    assert done.returncode == 2
    assert "does not translate to 'cows'; it translates to zebras (a2b), horses (b2a)" in done.stderr

    lines = i2i_inside("models", cwd=tmp_path).stdout.splitlines()
    assert lines[:3] == [
        "  runs/one  cyclegan  horses -> zebras, zebras -> horses  finished, step 7, a2b, b2a",
        "  runs/three  cyclegan  horses -> zebras, zebras -> horses  running, step 7, a2b, b2a",
        "* runs/two  cyclegan  horses -> zebras, zebras -> horses  finished, step 7, a2b, b2a",
    ]


def test_without_a_run_the_default_model_is_taken(tmp_path: Path, i2i_command: Command) -> None:
    write_image(tmp_path / "a.png", Image(np.full((40, 50, 3), 200, np.uint8)))
    done = i2i_command("translate", "a.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "(the default; no finished run under runs/)" in done.stderr
    assert read_image(tmp_path / done.stdout.strip()).pixels.shape == (40, 50, 3)
    assert "\n* " in "\n" + i2i_command("models", cwd=tmp_path).stdout


def test_a_damaged_run_is_listed_with_what_is_wrong(tmp_path: Path, i2i_inside: Command) -> None:
    a_run(tmp_path / "runs" / "one", at=1e9)
    (a_run(tmp_path / "runs" / "two", at=1e9 + 5) / "weights" / "a2b.safetensors").write_bytes(b"")
    done = i2i_inside("models", cwd=tmp_path)
    assert done.returncode == 0
    assert "  runs/one  cyclegan  horses -> zebras, zebras -> horses" in done.stdout
    assert (
        "* runs/two  cyclegan  cannot be used  finished, step 7, runs/two/weights/a2b.safetensors: damaged"
        in done.stdout
    )
    write_image(tmp_path / "a.png", Image(np.zeros((4, 4, 3), np.uint8)))
    done = i2i_inside("translate", "a.png", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: runs/two/weights/a2b.safetensors: damaged")
