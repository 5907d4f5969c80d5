"""Runs written by hand, with a model of a few nodes, so that no test trains."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from i2i.images import Image, write_image
from i2i.sheets import sheet
from tests import tiny
from tests.evaluation.conftest import drawing
from tests.production.conftest import chromium  # noqa: F401 (a fixture)

MakeRun = Callable[..., Path]
TESTED, TRAINED = range(8), range(20, 26)
SETTINGS = {"method": "pix2pix", "b": None, "size": [32, 32], "batch": 2, "steps": 40, "seed": 0, "lr": 0.0002}


def source_of(number: int) -> np.ndarray:
    """Return a test image of A: all show the same disc, so that noise alone decides how good results are."""
    return drawing(0, level=number)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Pairs by name, in trainA, trainB, testA and testB: B is the negative of A.

    Test image N of B has noise that grows with N, so that the last one is the worst result of a model that inverts.
    """
    noise = np.random.default_rng(0).integers(-12, 13, (32, 32, 3))
    for split, numbers in (("train", TRAINED), ("test", TESTED)):
        for number in numbers:
            source = source_of(number) if split == "test" else drawing(number)
            target = 255 - source.astype(int) + (noise * number if split == "test" else 0)
            target = np.clip(target, 0, 255).astype(np.uint8)
            for side, pixels in (("A", source), ("B", target)):
                path = tmp_path / "data" / f"{split}{side}" / f"n{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                write_image(path, Image(pixels))
    return tmp_path / "data"


@pytest.fixture
def run(tmp_path: Path, data: Path) -> MakeRun:
    """Write a finished run of 40 steps, with facts and settings changed."""

    def write(name: str = "inverter", settings: dict[str, Any] | None = None, **facts: Any) -> Path:
        path = tmp_path / name
        tiny.inverter(path / "onnx" / "a2b.onnx")
        found = {
            "method": "pix2pix",
            "status": "finished",
            "step": 40,
            "steps": 40,
            "images": 6,
            "source": {"name": "photo"},
            "target": {"name": "negative"},
            "settings": {**SETTINGS, "data": str(data), **(settings or {})},
            "hyperparameters": {"generator": "unet_5"},
            "versions": {"i2i": "0.1.0"},
            "machine": {"device": "cpu", "processor": "a processor"},
            **facts,
        }
        (path / "run.json").write_text(json.dumps(found))
        lines = [
            {"step": step, "rate": 1.0, "G/gan": 1 / step, "D/gan": 0.5, "images_per_second": 4.0, "memory_gb": 0.5}
            for step in range(10, 41, 10)
        ]
        (path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        for step in (20, 40):
            sheet([[drawing(step)]], ["x"], path / "samples" / f"{step:09d}.png")
        return path

    return write
