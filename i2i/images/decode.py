"""Bytes to pixels, once the header has been found acceptable."""

from __future__ import annotations

import io
import os

import cv2
import numpy as np

from i2i.images.formats.table import FORMATS
from i2i.images.header import DAMAGE, MAX_PIXELS, open_regular, parse_header, reason
from i2i.images.image import Header, Image, ImageError, UnsupportedError
from i2i.images.metadata import read_metadata
from i2i.text import plural


def read_image(
    path: str | os.PathLike[str],
    max_pixels: int = MAX_PIXELS,
    metadata: bool = False,
    least: tuple[float, float] | None = None,
    halves: bool = False,
) -> Image:
    """Read a file; see :func:`decode_image`. Raises ImageError also where the file cannot be opened."""
    try:
        with open_regular(path) as file:
            data = file.read()
    except OSError as error:
        raise ImageError(path, error.strerror or str(error)) from error
    return decode_image(data, path, max_pixels, metadata, least, halves)


def decode_image(
    data: bytes,
    name: str | os.PathLike[str] = "<bytes>",
    max_pixels: int = MAX_PIXELS,
    metadata: bool = False,
    least: tuple[float, float] | None = None,
    halves: bool = False,
    header: Header | None = None,
) -> Image:
    """Decode the bytes of a file; ``name`` is for the error. ``header`` is theirs, if it has been parsed.

    With ``metadata`` EXIF and XMP come too, and are written with the image. With ``least``, the height and the width
    that are needed at least, the image may be smaller than the file says: its sides are divided by ``reduction``, which
    is 8, 4, 2 or 1, and rounded up, so that the last row or column may show less of the source than the others. With
    ``halves`` the middle column stays between two pixels: the file has two images side by side. Raises ImageError for
    bytes of no known format, and for truncated, damaged or too large images.
    """
    header = header or parse_header(io.BytesIO(data), name, max_pixels)
    reduction = _reduction(header, least, halves) if least and FORMATS[header.format].reduces else 1
    try:
        pixels, alpha = FORMATS[header.format].decode(data, header, reduction)
    except UnsupportedError as error:
        raise ImageError(name, str(error)) from error
    except (*DAMAGE, cv2.error) as error:
        raise ImageError(name, f"damaged {header.format} data: {reason(error)}") from error
    if not FORMATS[header.format].turned:
        pixels = _upright(pixels, header.orientation)
        alpha = None if alpha is None else _upright(alpha, header.orientation)
    if pixels.shape[:2] != (-(-header.height // reduction), -(-header.width // reduction)):
        raise ImageError(
            name,
            f"damaged {header.format} data: the header says {header.width} x {header.height}, "
            f"the data {pixels.shape[1]} x {pixels.shape[0]}",
        )
    if bad := pixels.size - int(np.isfinite(pixels).sum()) if pixels.dtype.kind == "f" else 0:
        raise ImageError(
            name,
            f"{bad} of {plural(pixels.size, 'value')} are NaN or infinite; replace them, with the mean for example",
        )
    found = read_metadata(io.BytesIO(data), header.format) if metadata else None
    return Image(
        pixels, alpha, header.icc, header.format, header.frames, found, header.resolution, header.lost, header.coding,
        reduction, (header.height, header.width) if reduction > 1 else None,
    )  # fmt: skip


def _reduction(header: Header, least: tuple[float, float], halves: bool) -> int:
    """Return the largest of 8, 4, 2 and 1 by which both sides can be divided and still be twice those needed.

    With less to spare, what is resized from it would differ more from what is resized from the whole image: on photos
    it differs by 40 to 53 dB, and at the size that is needed by 35. A part of a pixel must be at the right or at the
    bottom, where ``fit`` expects it, and a middle column at the border of a JPEG's blocks of 8 pixels, which mix what
    lies in them.
    """
    sides = list(zip((header.height, header.width), least, strict=True))
    if halves and header.width % 16:
        return 1
    placed = header.orientation in (1, 5)  # 5: transposed
    fits = (n for n in (8, 4, 2) if all((placed or side % n == 0) and side >= 2 * n * few for side, few in sides))
    return next(fits, 1)


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
