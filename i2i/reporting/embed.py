"""Pictures as text within a page: reduced to a stated size, as WebP in a data URI."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as PilImage

SMALL = 128  # pixels of the longest side, up to which a picture is kept without loss and shown enlarged
QUALITY = 85


@dataclass(frozen=True)
class Embedded:
    """A picture in a page: its data URI, and its size in pixels."""

    uri: str
    width: int
    height: int

    @property
    def small(self) -> bool:
        """True if it is to be shown with sharp pixels."""
        return max(self.width, self.height) <= SMALL


def embed(pixels: np.ndarray, side: int) -> Embedded:
    """Return uint8 pixels [h, w, 1|3] as a picture whose longest side is at most ``side``."""
    return _embedded(PilImage.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels), side)


def embed_file(path: Path, side: int) -> Embedded:
    """Return an image file as a picture. Raises OSError for a file that is no image, or damaged."""
    with PilImage.open(path) as image:
        return _embedded(image, side)


def _embedded(image: PilImage.Image, side: int) -> Embedded:
    image = image.convert("RGB")
    image.thumbnail((side, side), PilImage.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=QUALITY, method=4, lossless=max(image.size) <= SMALL)
    return Embedded(f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}", *image.size)
