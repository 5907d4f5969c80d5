"""Pixels to bytes: what a format cannot hold is converted, and its module writes the rest."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from i2i.atomic import atomically
from i2i.images.formats.table import FORMATS, KEPT, WRITABLE, Holds, holds
from i2i.images.image import Image, ImageError, convert, flatten
from i2i.images.metadata import carried, left_out
from i2i.images.resolution import writable
from i2i.lost import fewer_bits

__all__ = ["KEPT", "WRITABLE", "encode_image", "fitting", "format_of", "losses", "write_image"]


def write_image(path: str | os.PathLike[str], image: Image, format: str | None = None, quality: int = 95) -> None:
    """Write the whole file or none: under a temporary name in the same folder, then renamed.

    ``format`` is that of the suffix unless given. What the format cannot hold is converted (alpha composited on white,
    16 bits rounded to 8, the profile left out); ``losses`` names it. ``quality`` (0 to 100) is that of JPEG, WebP and
    AVIF; a WebP of quality 100 is lossless.
    """
    path = Path(path)
    format = format or format_of(path)
    data = encode_image(image, format, quality, path)
    try:
        # Not durable: to wait for the disk at every image would be slow, and a job makes again what is missing.
        atomically(path, lambda temporary: temporary.write_bytes(data), durable=False)
    except OSError as error:
        raise ImageError(path, f"cannot be written: {error.strerror}") from error


def format_of(path: Path) -> str:
    """Return the format that the suffix of a file to be written means; ImageError for one that is not written."""
    suffix = path.suffix.lower()
    if suffix not in KEPT:
        what = f"cannot write a '{path.suffix}' file" if path.suffix else "no suffix says in which format to write it"
        raise ImageError(path, f"{what}; choose one of {' '.join(WRITABLE.values())}")
    return next(name for name in WRITABLE if suffix in FORMATS[name].names)


def encode_image(image: Image, format: str, quality: int = 95, name: str | os.PathLike[str] = "<bytes>") -> bytes:
    """Return the bytes of a file of that format; ``name`` is for the error. See :func:`write_image`."""
    try:
        pixels, alpha = fitting(image, format)
    except ValueError as error:
        raise ImageError(name, str(error)) from error
    known = writable(image.resolution)
    fitted = replace(
        image, pixels=pixels, alpha=alpha, icc=image.icc if _keeps_profile(image, format) else None,
        metadata=carried(image.metadata, format, image.width, image.height, known),
    )  # fmt: skip
    try:
        return FORMATS[format].encode(fitted, quality)
    except (cv2.error, OSError, ValueError) as error:
        raise ImageError(name, f"cannot be written as {format}: {str(error).strip()}") from error


def losses(image: Image, format: str) -> list[str]:
    """Return the names of all that the image, or its source, has and a file of that format will not hold."""
    lost = ["frames or pages after the first"] if image.frames > 1 else []
    lost += _lost_pixels(image, holds(format))
    lost += [] if _keeps_profile(image, format) else ["colour profile"]
    lost += ["resolution"] if writable(image.resolution) and not holds(format).resolution else []
    lost += left_out(image.metadata, format) if image.metadata is not None else []
    return list(dict.fromkeys(lost + list(image.lost)))


def _keeps_profile(image: Image, format: str) -> bool:
    """True unless a file of that format loses the image's profile: one of grey describes no colours."""
    limits = holds(format)
    coloured = (
        image.channels == 1 and not image.bands and _becomes_colours(image.alpha if limits.alpha else None, limits)
    )
    return image.icc is None or (limits.profile and not coloured)


def fitting(image: Image, format: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the colours and the alpha of an image, converted to what the format can hold.

    Raises ValueError for bands in a format of pictures.
    """
    limits = holds(format)
    pixels, alpha = image.pixels, image.alpha
    if image.bands:
        check_holds_bands(format, image.kind)
        return pixels, None
    if alpha is not None and not limits.alpha:
        pixels, alpha = flatten(image), None
    if image.bits > limits.bits:
        pixels = convert(pixels, image.channels, limits.bits)
        alpha = None if alpha is None else convert(alpha[..., None], 1, limits.bits)[..., 0]
    if pixels.shape[2] == 1 and _becomes_colours(alpha, limits):
        pixels = convert(pixels, 3, 8 * pixels.dtype.itemsize)
    return pixels, alpha


def check_holds_bands(format: str, kind: str) -> None:
    """Raise ValueError unless a file of that format can hold bands; ``kind`` describes them."""
    if not holds(format).bands:
        able = " or ".join(name for name in WRITABLE if holds(name).bands)
        raise ValueError(f"{format} holds grey or RGB of 8 or 16 bits, not {kind}; write {able}: --format tiff")


def _lost_pixels(image: Image, limits: Holds) -> list[str]:
    """Return what is lost of the pixels. An alpha that is opaque throughout is no loss."""
    if image.bands:
        return []
    lost = [fewer_bits(limits.bits)] if image.bits > limits.bits else []
    if image.alpha is not None and not limits.alpha and int(image.alpha.min()) < 2**image.bits - 1:
        lost.append("alpha")
    return lost


def _becomes_colours(alpha: np.ndarray | None, limits: Holds) -> bool:
    """True if a grey image with this alpha is written as colours."""
    return not limits.grey or (alpha is not None and not limits.grey_alpha)
