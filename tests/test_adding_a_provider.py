"""The provider of docs/providers.md is one file and one row, and runs models everywhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import i2i
from i2i.images import Image, read_image, write_image
from tests import tiny
from tests.runtime.tiles.networks import photo

ROOT = Path(i2i.__file__).parent.parent
FILE, ROW = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "providers.md").read_text(encoding="utf-8"), re.S)


@pytest.fixture(scope="module")
def patched(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a copy of the package with the file and the row."""
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(ROOT / "i2i", folder / "i2i", ignore=shutil.ignore_patterns("__pycache__"))
    providers = folder / "i2i" / "runtime" / "providers"
    (providers / "reference_session.py").write_text(FILE, encoding="utf-8")
    table = (providers / "table.py").read_text(encoding="utf-8")
    head, row, tail = table.partition('    "openvino": Provider(')
    assert row
    (providers / "table.py").write_text(f"{head}    {ROW}{row}{tail}", encoding="utf-8")
    return {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}


def run(patched: dict[str, str], *words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, words)], env=patched, cwd="/", capture_output=True, text=True, timeout=120
    )


def test_it_is_one_short_file_and_one_row() -> None:
    assert len(FILE.splitlines()) < 70
    assert len(ROW.splitlines()) == 1


def test_the_command_line_runs_it(patched: dict[str, str], tmp_path: Path) -> None:
    model, image = tiny.inverter(tmp_path / "m.onnx"), photo(20, 30)
    write_image(tmp_path / "a.png", Image(image))
    words = ("-m", "i2i", "translate", tmp_path / "a.png", tmp_path / "b.png", "-m", model, "--provider", "reference")
    done = run(patched, *words)
    assert done.returncode == 0, done.stderr
    assert "on reference" in done.stderr
    np.testing.assert_array_equal(read_image(tmp_path / "b.png").pixels, 255 - image)


def test_doctor_and_help_know_it(patched: dict[str, str]) -> None:
    done = run(patched, "-m", "i2i", "doctor", "--provider", "reference")
    assert "asked for reference, ran on reference: passed in" in done.stdout, done.stdout + done.stderr
    assert "reference" in run(patched, "-m", "i2i", "translate", "--help").stdout


TILES = """
import sys, numpy as np, i2i
image = np.load(sys.argv[2])
results = [i2i.load(sys.argv[1], provider, 1).tiled(256)(image).astype(int) for provider in ("cpu", "reference")]
print(np.abs(results[0] - results[1]).max())
"""


def test_tiles_are_those_of_the_cpu(patched: dict[str, str], tmp_path: Path) -> None:
    from tests.runtime.tiles.networks import network

    np.save(tmp_path / "image.npy", photo(260, 200))
    done = run(patched, "-c", TILES, network(tmp_path / "net.onnx"), tmp_path / "image.npy")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) <= 1
