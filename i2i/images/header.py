"""What a file says about its image, read without decoding a pixel.

An image is decoded only after this: the format is known by its first bytes and is one of a short list, and the size is
within the limit, so a file of 50 kB that would unfold to gigabytes costs nothing.
"""

from __future__ import annotations

import os
import re
import stat
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from i2i.images import formats, jp2, other_formats, tiff
from i2i.images.pixels import Header, ImageError, UnsupportedError

MAX_PIXELS = 100_000_000


def read_header(path: str | os.PathLike[str], max_pixels: int = MAX_PIXELS) -> Header:
    """Raises ImageError where the file cannot be opened, is no image of a known format, or is too large."""
    try:
        with open_regular(path) as file:
            return parse_header(file, path, max_pixels)
    except OSError as error:
        raise ImageError(path, error.strerror or str(error)) from error


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """The file, open for reading; an OSError for a pipe or a device, on which a read might never return."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(None, "not a regular file", os.fspath(path))
    return open(path, "rb")


def parse_header(file: BinaryIO, path: str | os.PathLike[str], max_pixels: int = MAX_PIXELS) -> Header:
    """The header of an open file; ``path`` is for the error."""
    start = file.read(32)
    parse = _parser(start)
    if parse is None:
        raise ImageError(path, _unknown(start, Path(path).suffix))
    try:
        header = parse(file)
    except UnsupportedError as error:
        raise ImageError(path, str(error)) from error
    except (struct.error, ValueError, IndexError, OverflowError, zlib.error) as error:
        vague = isinstance(error, (struct.error, IndexError))
        raise ImageError(path, f"damaged: {'its header is incomplete' if vague else error}") from error
    if header.width < 1 or header.height < 1:
        raise ImageError(path, f"damaged header: a size of {header.width} x {header.height}")
    if header.width * header.height > max_pixels:
        raise ImageError(
            path,
            f"{header.width} x {header.height} is {header.width * header.height:,} pixels, "
            f"more than the limit of {max_pixels:,}; if the file is to be trusted, allow them: "
            f"--max-pixels {header.width * header.height} (in Python max_pixels)",
        )
    if header.orientation >= 5:
        resolution = header.resolution and (header.resolution[1], header.resolution[0])
        header = replace(header, width=header.height, height=header.width, resolution=resolution)
    space = {1: b"GRAY", 3: b"RGB "}[header.channels]  # a profile of CMYK does not fit the RGB that we return
    if header.icc is not None and header.icc[16:20] != space:
        header = replace(header, icc=None)
    return header


def _parser(start: bytes) -> Callable[[BinaryIO], Header] | None:
    if tiff.is_tiff(start):
        return other_formats.tiff_header
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return formats.webp_header
    if re.match(rb"P[1-6][\s#]", start):
        return other_formats.pnm_header
    return next((parse for magic, parse in _MAGIC.items() if start.startswith(magic)), None)


def _unknown(start: bytes, suffix: str) -> str:
    if not start:
        return "the file is empty"
    if re.match(rb"\s*(<!doctype|<html|<\?xml|<svg)", start, re.IGNORECASE):
        return "this is HTML, XML or SVG text, not an image"
    known = {
        b"qoif": "QOI", b"8BPS": "Photoshop", b"Pf": "float PFM", b"PF": "float PFM", b"P7": "PAM",
        b"v/1\x01": "OpenEXR", b"#?RADIANCE": "Radiance HDR", b"\xff\x0a": "JPEG XL", b"DDS ": "DDS", b"%PDF": "PDF",
    }  # fmt: skip
    name = next((name for magic, name in known.items() if start.startswith(magic)), None)
    if start[4:8] == b"ftyp":
        if not re.search(rb"avif|avis|heic|heix|mif1|msf1|crx ", start[8:]):
            return "this is a video (MP4 or QuickTime), not an image; give it the suffix .mp4 or .mov"
        name = "AVIF or HEIC"
    elif name is None and suffix.lower() == ".tga":
        name = "TGA"
    if name:
        return f"{name} files are not supported; convert it to PNG or TIFF"
    return f"not an image of a known format (it begins with the bytes {start[:8].hex(' ')})"


_MAGIC: dict[bytes, Callable[[BinaryIO], Header]] = {
    b"\x89PNG\r\n\x1a\n": formats.png_header,
    b"\xff\xd8\xff": formats.jpeg_header,
    b"GIF87a": other_formats.gif_header,
    b"GIF89a": other_formats.gif_header,
    b"BM": other_formats.bmp_header,
    b"\0\0\1\0": other_formats.ico_header,
    b"\0\0\0\x0cjP  \r\n\x87\n": jp2.jp2_header,
    b"\xff\x4f\xff\x51": jp2.jp2_header,
}
