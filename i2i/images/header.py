"""Headers of image files, read without decoding a pixel.

An image is decoded only after this: its format is one of the table, and its size is within the limit, so a file of 50
kB that would unfold to gigabytes costs nothing.
"""

from __future__ import annotations

import os
import re
import stat
import struct
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from i2i.images.formats.table import FORMATS, sniff
from i2i.images.image import Header, ImageError, UnsupportedError
from i2i.text import plural

MAX_PIXELS = 100_000_000
NO_LIMIT = 2**62
"""A number of pixels that no file has."""
_PROFILE_LIMIT = 16 << 20  # bytes of a colour profile

DAMAGE = (
    ValueError, OSError, SyntaxError, EOFError, IndexError, KeyError, TypeError, OverflowError, ZeroDivisionError,
    AttributeError, MemoryError, RuntimeError, struct.error,
)  # fmt: skip
"""Errors that libraries raise on damaged data. A programming error would show in the tests of good files."""


def read_header(path: str | os.PathLike[str], max_pixels: int = MAX_PIXELS) -> Header:
    """Read the header of a file.

    Raises ImageError where the file cannot be opened, is no image of a known format, is damaged or too large.
    """
    try:
        with open_regular(path) as file:
            return parse_header(file, path, max_pixels)
    except OSError as error:
        raise ImageError(path, error.strerror or str(error)) from error


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a file for reading; OSError for a pipe or a device, on which a read might never return."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(None, "not a regular file", os.fspath(path))
    return open(path, "rb")


def parse_header(file: BinaryIO, path: str | os.PathLike[str], max_pixels: int = MAX_PIXELS) -> Header:
    """Read the header of an open file; ``path`` is for the error."""
    start, suffix = file.read(64), Path(path).suffix
    name = sniff(start, suffix)
    if name is None:
        raise ImageError(path, _unknown(start))
    row = FORMATS[name]
    if not row.module:
        raise ImageError(path, f"{name} files are not supported; convert it to PNG or TIFF")
    try:
        header = replace(row.header(file), format=name)
    except UnsupportedError as error:
        raise ImageError(path, str(error)) from error
    except DAMAGE as error:
        raise ImageError(path, f"damaged {name} header: {reason(error)}") from error
    return _checked(header, path, max_pixels)


def reason(error: BaseException) -> str:
    """Return the last line of an error's text, or words where the text says nothing to a user."""
    lines = str(error).strip().splitlines()
    if not lines or isinstance(error, (struct.error, IndexError, KeyError, TypeError, AttributeError)):
        return "its data is incomplete or contradicts itself"
    return "it is truncated" if lines[-1] == "Truncated File Read" else lines[-1]


def _checked(header: Header, path: str | os.PathLike[str], max_pixels: int) -> Header:
    """Return the header upright, with a profile only if it fits; ImageError for a size that cannot be."""
    width, height = header.width, header.height
    if width < 1 or height < 1:
        raise ImageError(path, f"damaged header: a size of {width} x {height}")
    pixels, size = width * height, f"{width} x {height}"
    if header.bands:  # four of them take as much memory as RGBA
        pixels *= max(1, header.channels // 4)
        size += f" with {plural(header.channels, 'channel')}"
    if pixels > max_pixels:
        raise ImageError(
            path,
            f"{size} is {pixels:,} pixels, more than the limit of {max_pixels:,}; if the file is "
            f"to be trusted, allow them: --max-pixels {pixels} (in Python max_pixels)",
        )
    if header.orientation >= 5:
        resolution = header.resolution and (header.resolution[1], header.resolution[0])
        header = replace(header, width=height, height=width, resolution=resolution)
    icc = header.icc
    space = {1: b"GRAY", 3: b"RGB "}.get(header.channels)  # a profile of CMYK does not fit the RGB that we return
    if icc is not None and (icc[16:20] != space or len(icc) > _PROFILE_LIMIT):
        header = replace(header, icc=None)
    return header


def _unknown(start: bytes) -> str:
    if not start:
        return "the file is empty"
    if re.match(rb"\s*(<!doctype|<html|<\?xml|<svg)", start, re.IGNORECASE):
        return "this is HTML, XML or SVG text, not an image"
    if start[4:8] == b"ftyp":
        return "this is a video (MP4 or QuickTime), not an image; a video is recognized by its suffix, such as .mp4"
    return f"not an image of a known format (it begins with the bytes {start[:8].hex(' ')})"
