"""The page for browsers alone: a folder for any host of files, in which ONNX Runtime Web runs the models."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from i2i.atomic import atomically
from i2i.images.derive import HOLE
from i2i.runtime.errors import ModelError
from i2i.runtime.graphs.onnx_file import read_spec
from i2i.runtime.model import targets
from i2i.runtime.model.model import Model
from i2i.runtime.model.styles import encoder_path
from i2i.serving import ort_web
from i2i.serving.work.served import first_way
from i2i.serving.work.sources import paths_of
from i2i.spec import Spec
from i2i.text import printable

SAMPLE = (64, 96)
"""Height and width of the picture by which a browser's pixels are compared with those of i2i."""
LEVELS = {"fp32": 2, "fp16": 16, "int8": 16}
"""Levels by which a pixel may differ there, by precision: sums in another order cross the border of a rounding."""
_SHARED = ("app.js", "viewer.js", "webcam.js", "style.css", "icon.svg")
_OWN = {"browser.js": "page/backend.js", "isolation.js": "isolation.js"} | {
    name: f"page/{name}" for name in ("worker.js", "model.js", "pixels.js", "transparency.js", "noise.js")
}
# No other host, whatever a changed file of the page asks for. WebAssembly is compiled by the page's own scripts.
_POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'"
)
_CHARSET, _LOADING = '<meta charset="utf-8">', "Loading …"
_FROM_FILE = f"{_LOADING} (Browsers load this page from a web server, not from a file: python3 -m http.server)"


def write(sources: Sequence[str], folder: Path, ort: Path | None = None) -> list[str]:
    """Write the page with these models, and return their names. Other files in the folder stay.

    Args:
        sources: models as ``paths_of`` takes them.
        ort: the package onnxruntime-web, see ``ort_web.copy``.

    Raises ModelError for a model that a browser cannot run, ValueError for wrong sources, and OSError.
    """
    paths = paths_of(sources)
    if not paths:
        raise ValueError("no .onnx file of a translator; a page needs a model")
    specs = {name: _checked(path) for name, path in paths.items()}
    (folder / "models").mkdir(parents=True, exist_ok=True)
    ort_web.copy(ort, folder / "ort")
    models = [_add(name, path, specs[name], folder) for name, path in paths.items()]
    page = resources.files("i2i.serving.web") / "page"
    for name in _SHARED:
        _put(folder / "page" / name, (page / name).read_bytes())
    for name, place in _OWN.items():
        _put(folder / place, (page / "browser" / name).read_bytes())
    _put(folder / "models.json", json.dumps({"models": models}, indent=1).encode())
    policy = f'{_CHARSET}\n<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    text = (page / "index.html").read_text(encoding="utf-8")
    _put(folder / "index.html", text.replace(_CHARSET, policy).replace(_LOADING, _FROM_FILE).encode())
    return list(paths)


def _checked(path: Path) -> Spec:
    """Return the description of a model. Raises ModelError unless a browser's pictures fit it."""
    spec = targets.check_kind(read_spec(path), targets.TRANSLATOR, printable(path))
    if spec is None or spec.io != "pixels":
        raise ModelError(f"{printable(path)}: the page runs exports that take pixels; export the run with --io pixels")
    for domain in (spec.source, spec.target):
        if domain.bands or domain.range or domain.bits != 8:
            raise ModelError(
                f"{printable(path)}: browsers have pictures of 8 bits, and {domain.name} has {domain.dtype}: use "
                "`i2i serve` without --static"
            )
    return spec


def _put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    atomically(path, lambda temporary: temporary.write_bytes(data), durable=False)


def _add(name: str, path: Path, spec: Spec, folder: Path) -> dict[str, Any]:
    """Copy a model, and return the facts of it that the page needs."""
    encoder = encoder_path(path, spec.precision)
    facts = _file(name, path, f"models/{name}.onnx", spec, folder) | {
        "way": targets.way(spec), "domains": spec.domains, "attributes": spec.attributes,
        "styles": 0 if spec.style is None else spec.style.length, "encoder": None,
        "sample": _sample(name, path, folder),
    }  # fmt: skip
    if spec.style is not None and encoder.is_file():
        described = read_spec(encoder)
        assert described is not None
        facts["encoder"] = _file(f"{name}, styles", encoder, f"models/{name}.style.onnx", described, folder)
    return facts


def _file(name: str, path: Path, place: str, spec: Spec, folder: Path) -> dict[str, Any]:
    atomically(folder / place, lambda temporary: shutil.copyfile(path, temporary), durable=False)
    return {
        "name": name, "file": place, "bytes": path.stat().st_size, "channels": spec.source.channels,
        "to": spec.target.channels, "background": spec.background, "inpaints": spec.inpaints, "hole": round(255 * HOLE),
    }  # fmt: skip


def _sample(name: str, path: Path, folder: Path) -> dict[str, Any]:
    """Write a picture and its translation, one after the other, and return what the page needs to compare with it."""
    model = first_way(Model(path, "cpu"))
    spec = model.spec
    picture = _picture(spec.source.channels)
    translated = model.run(picture[None])[0]
    place = f"models/{name}.sample"
    _put(folder / place, picture.tobytes() + translated.tobytes())
    return {
        "file": place, "size": SAMPLE, "levels": LEVELS[spec.precision],
        "target": targets.vector(spec, model.to or ()).ravel().tolist() if spec.domains else None,
        "style": None if model.style is None else model.style.values,
    }  # fmt: skip


def _picture(channels: int) -> np.ndarray:
    """Return smooth colours with some noise, uint8 [h, w, channels]."""
    rows, columns = np.mgrid[: SAMPLE[0], : SAMPLE[1]][..., None] / max(SAMPLE)
    waves = np.sin(7 * rows + np.arange(channels)) + np.cos(9 * columns - np.arange(channels))
    noise = np.random.RandomState(0).uniform(-20, 20, waves.shape)
    return np.clip(128 + 50 * waves + noise, 0, 255).astype(np.uint8)
