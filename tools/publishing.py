"""Publish a model: its file, its picture and its entry in weights/index.json (docs/extending.md, "Into weights/").

python tools/publishing.py    # measures the milliseconds of all entries again, on this machine
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import i2i
from i2i.atomic import atomically
from i2i.images import Image, write_image
from i2i.runtime.model import macs, speed
from i2i.sheets import sheet

WEIGHTS = Path(__file__).resolve().parent.parent / "weights"
TOTAL = 12_000_000
"""Bytes that all files of weights/ may have together."""

KEYS = (
    *("name", "file", "sha256", "size", "licence", "credit", "about", "data", "command", "seed", "protocol", "metrics"),
    *("macs", "parameters", "ms", "picture", "recipe", "spec"),
)
"""The keys of an entry, in their order."""


def publish(
    model: Path,
    picture: Sequence[Sequence[np.ndarray]],
    captions: Sequence[str],
    *,
    name: str,
    licence: str,
    credit: str,
    about: str,
    data: str,
    command: str,
    seed: int,
    protocol: str,
    metrics: dict[str, dict[str, dict[str, float]]],
    weights: Path = WEIGHTS,
) -> dict[str, Any]:
    """Copy a model into weights/ with a picture, and write its entry; return the entry.

    The rest of the entry is measured on the file here. An entry of the same name is replaced where it stands; a new one
    is added at the end, since the first is the default model. The files are written first, so that no entry lacks one.

    Args:
        model: the ONNX file.
        picture: rows of images, uint8 [h, w, 1|3], the source first; and
        captions: one for each column.
        metrics: data set or condition -> candidate ("result" is the model) -> metric -> value, by ``protocol``.

    Raises ValueError if all files together would exceed ``TOTAL`` bytes.
    """
    weights.mkdir(exist_ok=True)
    target, jpeg = weights / f"{name}.onnx", weights / f"{name}.jpg"
    others = sum(path.stat().st_size for path in weights.iterdir() if path not in (target, jpeg))
    with tempfile.TemporaryDirectory() as scratch:
        drawn = Path(scratch, jpeg.name)
        write_image(drawn, Image(sheet(picture, captions)), quality=85)
        together = others + model.stat().st_size + drawn.stat().st_size
        if together > TOTAL:
            raise ValueError(f"{name}: weights/ would have {together} bytes, at most {TOTAL}")
        atomically(target, lambda temporary: shutil.copyfile(model, temporary))
        atomically(jpeg, lambda temporary: shutil.copyfile(drawn, temporary))
    entry = {
        "name": name,
        "file": target.name,
        "licence": licence,
        "credit": credit,
        "about": about,
        "data": data,
        "command": command,
        "seed": seed,
        "protocol": protocol,
        "metrics": metrics,
        "picture": jpeg.name,
        **_measured(target),
    }
    entry = {key: entry[key] for key in KEYS}
    index = weights / "index.json"
    entries = json.loads(index.read_text()) if index.exists() else []
    places = {old["name"]: place for place, old in enumerate(entries)}
    place = places.get(name, len(entries))
    entries[place : place + 1] = [entry]
    atomically(index, lambda temporary: temporary.write_text(json.dumps(entries, indent=2) + "\n"))
    return entry


def measure_again(weights: Path = WEIGHTS) -> None:
    """Measure the milliseconds of every entry again, on a machine that has nothing else to do."""
    index = weights / "index.json"
    entries = json.loads(index.read_text())
    for entry in entries:
        entry["ms"] = milliseconds(i2i.load(weights / entry["file"], provider="cpu"))
        print(entry["name"], entry["ms"])
    atomically(index, lambda temporary: temporary.write_text(json.dumps(entries, indent=2) + "\n"))


def milliseconds(model: i2i.runtime.Model) -> dict[str, Any]:
    """Return the milliseconds of a model for 256 x 256 pixels, and the machine."""
    # the least of several medians, since other programs only add to it
    least = min(speed.milliseconds(model) for _ in range(9))
    return {"value": round(least, 1), "machine": speed.machine(model.provider)}


def _measured(path: Path) -> dict[str, Any]:
    """Return what an entry says of its file: digest, size, cost, time on this machine, recipe and Spec."""
    model = i2i.load(path, provider="cpu")
    spec = model.spec
    return {
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "size": os.path.getsize(path),
        "macs": macs.count(path, spec, speed.SIDE),
        "parameters": macs.parameters(path),
        "ms": milliseconds(model),
        "recipe": spec.recipe,
        "spec": json.loads(spec.to_json()),
    }


if __name__ == "__main__":
    measure_again()
