"""Small folders of images of every shape that the package understands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

Draw = Callable[..., Path]


@pytest.fixture
def draw(tmp_path: Path) -> Draw:
    """Write a picture that its mean level and red corner identify."""

    def write(name: str, level: int = 100, size: tuple[int, int] = (32, 32), mode: str = "RGB", bits: int = 8) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        channels = {"L": 1, "RGB": 3, "RGBA": 4}[mode]
        rng = np.random.default_rng(level)
        pixels = np.clip(level + rng.integers(-8, 8, (*size, channels)), 0, 255).astype(np.uint8)
        if mode == "RGBA":
            pixels[..., 3] = 255
            pixels[: size[0] // 2, :, 3] = 0
        if bits == 16:
            pixels = pixels.astype(np.uint16) * 257
        assert cv2.imwrite(str(path), pixels)
        return path

    return write


@pytest.fixture
def two_folders(draw: Draw, tmp_path: Path) -> Path:
    """horses with 5 images of levels 20, 40 ..., zebras with 3 of levels 150, 170, 190."""
    for number in range(5):
        draw(f"horses/{number}.png", 20 + 20 * number)
    for number in range(3):
        draw(f"zebras/z{number}.png", 150 + 20 * number)
    return tmp_path
