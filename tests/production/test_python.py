"""docs/production.md in Python: its program runs with ONNX Runtime and Pillow alone, and its lines do what it says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image as Picture

import i2i
from i2i.images import read_image
from i2i.runtime import NonFiniteError
from i2i.spec import SCHEMA, Domain, Prior, Spec
from tests import tiny
from tests.production.conftest import BLOCKS, MODEL, PROGRAMS, ROOT, SIZES, TEXT, Pictures, exported, same

PROGRAM, READ_SPEC, ONE_OF, SOME_OF, GENERATE, BROKEN = [code for kind, code in BLOCKS if kind == "python"]
# Run before the program: what it takes from outside the standard library is what the page lets install.
GUARD = """
import sys

class Guard:
    def find_spec(self, name, path=None, target=None):
        if path is None and name not in sys.stdlib_module_names | {"onnxruntime", "PIL", "numpy"}:
            raise ImportError(f"{name} is not installed")

sys.meta_path.insert(0, Guard())
import runpy
program = sys.argv.pop(1)
runpy.run_path(program, run_name="__main__")
"""


def test_nothing_else_is_installed(
    place: Callable[..., Path], pictures: Pictures, expected: dict[str, np.ndarray]
) -> None:
    folder = place("translate.py")
    words = [sys.executable, "-c", GUARD, str(folder / "translate.py"), str(MODEL), str(pictures["333x217"]), "out.png"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    same(folder / "out.png", expected["333x217"])


@pytest.mark.parametrize("name", [f"{w}x{h}" for w, h in SIZES] + ["transparent"])
def test_ten_lines_of_python(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    pictures: Pictures,
    expected: dict[str, np.ndarray],
) -> None:
    monkeypatch.setattr(sys, "argv", ["translate.py", str(MODEL), str(pictures[name]), str(tmp_path / "out.png")])
    exec(PROGRAM, {})
    same(tmp_path / "out.png", expected[name])


def test_the_program_has_ten_lines() -> None:
    assert PROGRAMS["translate.py"] == PROGRAM
    assert len([line for line in PROGRAM.splitlines() if line]) == 10


def test_the_guard_refuses_other_packages(tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text("import cv2")
    words = [sys.executable, "-c", GUARD, str(tmp_path / "other.py")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert "cv2 is not installed" in done.stderr


def test_orientation_is_applied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exif = Picture.Exif()
    exif[0x0112] = 6  # a quarter turn
    pixels = read_image(ROOT / "docs" / "demo.jpg").pixels[:40, :90]
    Picture.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    monkeypatch.setattr(sys, "argv", ["", str(MODEL), str(tmp_path / "turned.png"), str(tmp_path / "out.png")])
    exec(PROGRAM, {})
    same(tmp_path / "out.png", i2i.load(MODEL)(np.rot90(pixels, -1)))


def run_lines(path: Path, *lines: str, images: np.ndarray) -> dict[str, object]:
    """The names that lines of the page set, which come after a session and images."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names: dict[str, object] = {"session": session, "np": np, "images": images}
    for code in (READ_SPEC, *lines):
        exec(code, names)
    if "feeds" in names:
        (names["translation"],) = session.run(None, names["feeds"])
    return names


def test_one_of_several_domains(weather: Path) -> None:
    images = np.arange(2 * 5 * 7 * 3, dtype=np.uint8).reshape(2, 5, 7, 3)
    found = run_lines(weather, ONE_OF, images=images)
    assert found["names"] == ["cloudy", "rain", "shine"]
    assert np.array_equal(found["translation"], images + 30)
    assert np.array_equal(found["translation"], i2i.load(weather)(images, to="shine"))


def test_some_of_several_attributes(tmp_path: Path) -> None:
    path = exported(tiny.brighter(tmp_path / "faces.onnx", tiny.FACES))
    images = np.arange(2 * 5 * 7 * 3, dtype=np.uint8).reshape(2, 5, 7, 3)
    found = run_lines(path, SOME_OF, images=images)
    assert np.array_equal(found["translation"], images + 1 + 2)
    assert np.array_equal(found["translation"], i2i.load(path)(images, to=["male", "young"]))


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_from_noise(tmp_path: Path, place: Callable[..., Path], distribution: str, channels: int) -> None:
    domain = Domain("shapes", channels)
    spec = replace(tiny.SHAPES, source=domain, target=domain, prior=Prior(7, (6, 5), distribution))
    model, folder = tiny.draws(tmp_path / "model.onnx", spec), place("generate.py")
    words = [sys.executable, "-c", GUARD, str(folder / "generate.py"), str(model), "42", str(tmp_path / "out.png")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    i2i.generate(model, tmp_path / "files", 1, seed=42)
    want = read_image(tmp_path / "files" / "000042.png").pixels
    assert np.array_equal(read_image(tmp_path / "out.png").pixels, want)
    assert PROGRAMS["generate.py"] == GENERATE
    assert want.std() > 5


def test_a_result_that_is_not_finite_is_found(tmp_path: Path) -> None:
    path = exported(tiny.checkerboard(tmp_path / "model.onnx"))
    images = np.full((1, 6, 7, 3), 255, np.uint8)
    for value, broken in ((255, True), (254, False), (0, False)):
        images[:] = value
        found = run_lines(path, 'feeds = {"image": images}', images=images)
        exec(BROKEN, found)
        assert found["broken"].tolist() == [broken]  # type: ignore[attr-defined]
    with pytest.raises(NonFiniteError):
        i2i.load(path)(np.full((1, 6, 7, 3), 255, np.uint8))


def test_the_metadata_is_as_the_page_has_it() -> None:
    session = onnxruntime.InferenceSession(MODEL, providers=["CPUExecutionProvider"])
    assert [node.name for node in (*session.get_inputs(), *session.get_outputs())] == ["image", "translation"]
    spec = json.loads(session.get_modelmeta().custom_metadata_map["i2i"])
    (words,) = re.findall(r"^`source` and .*?^$", TEXT, re.S | re.M)
    keys = set(re.findall(r"`(\w+)`", words)) - {"pixels"}
    named = {"source", "target", "domains", "io", "precision", "parity", "loss", "recipe", "values_per_pixel", "schema"}
    assert keys == named | spec["source"].keys()
    assert named <= {each.name for each in fields(Spec)}
    assert f"refuse a `schema` above {SCHEMA}" in words


@pytest.mark.parametrize("target", re.findall(r"[^!]\[[^\]]+\]\(([^)#]+)\)", TEXT))
def test_links_lead_somewhere(target: str) -> None:
    assert target.startswith("https://") or (ROOT / "docs" / target).exists()
