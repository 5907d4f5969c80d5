"""Bytes to pixels, once the header has been found acceptable."""

from __future__ import annotations

import io
import os

import cv2
import numpy as np

from i2i.images.formats.table import FORMATS
from i2i.images.header import DAMAGE, MAX_PIXELS, open_regular, parse_header, reason
from i2i.images.image import Image, ImageError, UnsupportedError
from i2i.images.metadata import read_metadata


def read_image(path: str | os.PathLike[str], max_pixels: int = MAX_PIXELS, metadata: bool = False) -> Image:
    """Read a file; see :func:`decode_image`. Raises ImageError also where the file cannot be opened."""
    try:
        with open_regular(path) as file:
            data = file.read()
    except OSError as error:
        raise ImageError(path, error.strerror or str(error)) from error
    return decode_image(data, path, max_pixels, metadata)


def decode_image(
    data: bytes, name: str | os.PathLike[str] = "<bytes>", max_pixels: int = MAX_PIXELS, metadata: bool = False
) -> Image:
    """Decode the bytes of a file; ``name`` is for the error.

    With ``metadata`` EXIF and XMP come too, and are written with the image. Raises ImageError for bytes of no known
    format, and for truncated, damaged or too large images.
    """
    header = parse_header(io.BytesIO(data), name, max_pixels)
    try:
        pixels, alpha = FORMATS[header.format].decode(data, header)
    except UnsupportedError as error:
        raise ImageError(name, str(error)) from error
    except (*DAMAGE, cv2.error) as error:
        raise ImageError(name, f"damaged {header.format} data: {reason(error)}") from error
    if not FORMATS[header.format].turned:
        pixels = _upright(pixels, header.orientation)
        alpha = None if alpha is None else _upright(alpha, header.orientation)
    if pixels.shape[:2] != (header.height, header.width):
        raise ImageError(
            name,
            f"damaged {header.format} data: the header says {header.width} x {header.height}, "
            f"the data {pixels.shape[1]} x {pixels.shape[0]}",
        )
    found = read_metadata(io.BytesIO(data), header.format) if metadata else None
    return Image(
        pixels, alpha, header.icc, header.format, header.frames, found, header.resolution, header.lost, header.coding
    )


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    if orientation == 1:
        return pixels
    if orientation >= 5:  # 5: transposed; 6, 7, 8: and then turned over
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
