"""Shared by the tests of docs/production.md: its programs, pictures, models, and the tools that they need."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from i2i.images import Image, read_image, write_image
from tests import tiny

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "production.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, re.S | re.M)
# The programs, by the names that the page gives them.
PROGRAMS = dict(re.findall(r"`([\w.]+)`[^`]*?:\n\n```\w+\n(.*?)^```$", TEXT, re.S | re.M))
MODEL = ROOT / "weights" / "day2night.onnx"
SIZES = ((1000, 300), (333, 217), (7, 5), (1, 1))  # width, height
Pictures = dict[str, Path]


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Pictures:
    """PNG files by name, which every decoder reads alike: colours of several sizes, and one transparent in parts."""
    folder, found = tmp_path_factory.mktemp("pictures"), {}
    whole = read_image(ROOT / "docs" / "demo.jpg").pixels
    for width, height in SIZES:
        rows, columns = np.linspace(0, len(whole) - 1, height), np.linspace(0, whole.shape[1] - 1, width)
        found[f"{width}x{height}"] = folder / f"{width}x{height}.png"
        write_image(found[f"{width}x{height}"], Image(whole[rows.astype(int)][:, columns.astype(int)]))
    some = whole[100:140, 100:150]
    found["transparent"] = folder / "transparent.png"
    alpha = np.full((40, 50), 255, np.uint8)
    alpha[:, :20] = 0
    write_image(found["transparent"], Image(some, alpha))
    return found


@pytest.fixture(scope="session")
def expected(pictures: Pictures) -> dict[str, np.ndarray]:
    """Return the result of ``i2i.load(model)`` for each picture on white: uint8 [h, w, 3]."""
    import i2i

    translate, found = i2i.load(MODEL), {}
    for name, path in pictures.items():
        image = read_image(path)
        parts = [image.pixels] if image.alpha is None else [image.pixels, image.alpha[..., None]]
        found[name] = translate(np.concatenate(parts, axis=2), background=255)[..., :3]
    return found


def same(got: Path, expected: np.ndarray) -> None:
    """Assert that a file contains that picture, to 1 level; alpha is not compared."""
    pixels = read_image(got).pixels
    assert pixels.shape == expected.shape
    assert np.abs(pixels.astype(int) - expected).max() <= 1
    assert expected.size < 1000 or expected.std() > 5  # a blank picture would be like any other


@pytest.fixture(scope="session")
def weather(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of three domains, with the names of an export: it adds 10, 20 or 30 levels."""
    return exported(tiny.brighter(tmp_path_factory.mktemp("weather") / "model.onnx"))


def exported(path: Path) -> Path:
    """Rename the inputs and outputs of one of ``tests.tiny``'s models as in exports."""
    model, names = onnx.load(path), {"x": "image", "y": "translation"}
    for node in model.graph.node:
        for ends in (node.input, node.output):
            ends[:] = [names.get(name, name) for name in ends]
    for value in (*model.graph.input, *model.graph.output):
        value.name = names.get(value.name, value.name)
    onnx.save(model, path)
    return path


def needed(name: str, path: str | None, how: str) -> str:
    """``path``, or a skipped test; a failed one where ``$I2I_REQUIRE`` names what is missing."""
    if path is None:
        missing = f"{name} is not there: {how}"
        (pytest.fail if name in os.environ.get("I2I_REQUIRE", "").split(",") else pytest.skip)(missing)
    return path


@pytest.fixture(scope="session")
def node() -> str:
    path = shutil.which("node")
    if path is not None:
        version = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
        if int(version.lstrip("v").split(".")[0]) < 20:
            path = None
    return needed("node", path, "install Node 20 or later, with npm")


@pytest.fixture(scope="session")
def chromium() -> str:
    names = ("chromium", "chromium-browser", "google-chrome")
    return needed("chromium", next(filter(None, map(shutil.which, names)), None), "install Chromium or Chrome")


@pytest.fixture(scope="session")
def node_modules(node: str) -> Path:
    """The packages of package-lock.json beside this file, installed once for each state of it, outside the checkout."""
    lock = Path(__file__).with_name("package-lock.json").read_bytes()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "i2i-tests"
    folder = cache / f"npm-{hashlib.sha256(lock).hexdigest()[:16]}"
    if not folder.exists():
        npm = needed("node", shutil.which("npm"), "install npm")
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as temporary:
            for name in ("package.json", "package-lock.json"):
                shutil.copy(Path(__file__).with_name(name), temporary)
            # No scripts: one would fetch libraries for CUDA, and none is needed.
            words = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            # Where nothing answers, as behind some firewalls, it gives up after a minute; a long download is let be.
            words += ["--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-timeout=10000"]
            try:
                done = subprocess.run(words, cwd=temporary, capture_output=True, text=True, timeout=240)
                failed = done.stderr[-500:] if done.returncode else ""
            except subprocess.TimeoutExpired as error:
                failed = str(error)
            needed("node", None if failed else npm, f"npm ci failed: {failed}")
            try:
                Path(temporary).rename(folder)
                Path(temporary).mkdir()  # which is what will be cleared away
            except OSError:
                assert folder.exists()  # another process was first
    return folder / "node_modules"


@pytest.fixture
def place(tmp_path: Path) -> Callable[..., Path]:
    """Write programs of the page into a folder, as its readers do."""

    def write(*names: str) -> Path:
        for name in names:
            (tmp_path / name).write_text(PROGRAMS[name], encoding="utf-8")
        return tmp_path

    return write
