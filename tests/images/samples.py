"""Pictures drawn by formula, and their files as Pillow encodes them, independently of the package."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import PIL.Image


def picture(height: int = 48, width: int = 64, channels: int = 3, bits: int = 8) -> np.ndarray:
    """Draw a picture without equal rows, columns or channels, and without symmetry, to detect wrong rotations."""
    y, x, c = np.mgrid[0:height, 0:width, 0:channels]
    peak = 2**bits - 1
    values = (y * 3 + x * 2 + c * 50 + (x * y) // 7) / (height * 3 + width * 2 + 150 + height * width // 7)
    return (values * peak).astype(np.uint8 if bits == 8 else np.uint16)


def alpha_of(height: int = 48, width: int = 64, bits: int = 8) -> np.ndarray:
    """Return alpha from 0 on the left to opaque on the right."""
    ramp = np.linspace(0, 2**bits - 1, width).astype(np.uint8 if bits == 8 else np.uint16)
    return np.repeat(ramp[None], height, axis=0)


def pillow_bytes(pixels: np.ndarray, format: str, mode: str | None = None, **options: Any) -> bytes:
    image = PIL.Image.fromarray(pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels)
    buffer = io.BytesIO()
    (image.convert(mode) if mode else image).save(buffer, format, **options)
    return buffer.getvalue()


def orientation_exif(orientation: int) -> PIL.Image.Exif:
    exif = PIL.Image.Exif()
    exif[274] = orientation
    return exif
