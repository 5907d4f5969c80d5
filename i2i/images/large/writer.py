"""An image that comes strip by strip, made a file at its end."""

from __future__ import annotations

import errno
import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from i2i.atomic import atomically, scratch
from i2i.images import tags
from i2i.images.encode import fitting
from i2i.images.exif import upright_xmp
from i2i.images.formats import png_chunks
from i2i.images.image import Image, ImageError, Metadata
from i2i.images.large.reader import vips
from i2i.images.metadata import embed
from i2i.images.resolution import INCH, UNIT, Resolution, jfif

_SAVERS: dict[str, tuple[str, dict[str, Any]]] = {
    "TIFF": ("tiffsave", {"compression": "lzw", "predictor": "horizontal", "resunit": "inch"}),
    "PNG": ("pngsave", {"compression": 1, "filter": "sub"}),
    "JPEG": ("jpegsave", {"subsample_mode": "on"}),  # chroma at half the size, as OpenCV writes it
}
_FIELDS = {"icc": "icc-profile-data", "xmp": "xmp-data"}
_BLOCK = 16 << 20
_HEADS = {"PNG": 33, "JPEG": 2}  # bytes that come before all that is said of an image
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # libvips says them in words
_CLASSIC = 2**32  # bytes that a TIFF holds unless it is a BigTIFF
_WORST = 1.5  # of LZW on noise


def write_strips(
    path: Path,
    strips: Iterable[Image],
    format: str,
    quality: int = 95,
    *,
    keep_grey: bool = False,
    icc: bytes | None = None,
    resolution: Resolution | None = None,
    metadata: Metadata | None = None,
) -> None:
    """Writes an image, given from top to bottom in strips of one width and form, whole or not at all.

    ``format`` is one of ``strips.STRIPWISE``; what it cannot hold is converted as ``write_image`` does it. The strips
    wait uncompressed in a temporary file beside ``path``, since only the last shows whether all of them are grey.

    Args:
        keep_grey: if no pixel has colour, the image is written as one of grey.
        icc: the colour profile, which is written if it is of the colours that the image then has.
        resolution: pixels for a millimetre, across and down. Without it the file says of no unit what it counts in.

    Raises ImageError where the file cannot be written, and what the strips raise.
    """
    with ExitStack() as stack:
        height, grey, first = 0, True, None
        with _told(path, format):
            raw = stack.enter_context(scratch(path.parent, path.name))
        for strip in strips:
            colours, alpha = fitting(strip, format)
            grey = grey and bool((colours == colours[..., :1]).all())
            rows = colours if alpha is None else np.concatenate([colours, alpha[..., None]], axis=2)
            # Opened for each, so that what the system says when it is closed is told as well.
            with _told(path, format), open(raw, "ab") as file:
                file.write(np.ascontiguousarray(rows).data)
            height += len(rows)
            first = first or (rows.shape[2], rows.dtype, alpha is not None, strip)
        assert first is not None
        bands, dtype, has_alpha, strip = first
        with _told(path, format):
            pixels = vips().Image.rawload(
                os.fspath(raw), strip.width, height, bands, format="ushort" if dtype == np.uint16 else "uchar",
                access="sequential",
            )  # fmt: skip
            colours_left = bands - has_alpha
            # A TIFF of grey with alpha is one that few programs read, this one included.
            if keep_grey and grey and colours_left == 3 and not (has_alpha and format == "TIFF"):
                pixels = pixels[0].bandjoin(pixels[3]) if has_alpha else pixels[0]
                colours_left = 1
            _save(pixels, path, format, quality, colours_left, resolution, metadata, icc)


@contextmanager
def _told(path: Path, format: str) -> Iterator[None]:
    """What fails here is the output, and not what the strips come from: an ImageError, caused by an OSError if the
    system is at fault."""
    try:
        yield
    except OSError as error:
        raise ImageError(path, f"cannot be written: {error.strerror}") from error
    except vips().Error as error:
        text = str(error).strip()
        full = next((OSError(number, os.strerror(number)) for number in _FULL if os.strerror(number) in text), None)
        reason = text.splitlines()[-1].strip() if full is None else full.strerror
        raise ImageError(path, f"cannot be written as {format}: {reason}") from full or error


def _save(
    pixels: Any,
    path: Path,
    format: str,
    quality: int,
    channels: int,
    resolution: Resolution | None,
    metadata: Metadata | None,
    icc: bytes | None,
) -> None:
    library = vips()
    deep = pixels.format == "ushort"
    space = {1: "grey16" if deep else "b-w", 3: "rgb16" if deep else "srgb"}[channels]
    across, down = resolution or (1 / INCH, 1 / INCH)
    pixels = pixels.copy(interpretation=space, xres=across, yres=down)
    blobs: dict[str, bytes | None] = {"icc": icc if icc and icc[16:20] == {1: b"GRAY", 3: b"RGB "}[channels] else None}
    if format == "TIFF" and metadata is not None and metadata.xmp is not None:
        blobs["xmp"] = upright_xmp(metadata.xmp, pixels.width, pixels.height)
    blobs = {name: blob for name, blob in blobs.items() if blob}
    for name, blob in blobs.items():
        pixels.set_type(library.GValue.blob_type, _FIELDS[name], blob)
    saver, options = _SAVERS[format]
    options = {**options, "keep": ":".join(blobs) or "none"}
    if format == "JPEG":
        options = {**options, "Q": quality}
    if format == "TIFF":
        size = pixels.width * pixels.height * pixels.bands * (1 + deep)
        options = {**options, "bigtiff": size * _WORST > _CLASSIC}

    # What libvips writes is EXIF made anew, which leads astray what points into it, and XMP where a PNG has none.
    more = jfif(resolution) if format == "JPEG" and resolution is not None else b""
    if format in _HEADS and metadata is not None:
        head = bytes(_HEADS[format])
        more += embed(head, format, metadata, pixels.width, pixels.height, False, resolution)[len(head) :]

    def write(temporary: Path) -> None:
        getattr(pixels, saver)(os.fspath(temporary), **options)
        if resolution is None:
            _take_back_unit(temporary, format)
        if more:
            _insert(temporary, _HEADS[format], more)

    atomically(path, write, durable=False)  # as in ``write_image``


def _insert(path: Path, at: int, more: bytes) -> None:
    """Moves what is behind that place in the file, from its end on, since all of it may be more than the memory."""
    with open(path, "r+b") as file:
        end = file.seek(0, os.SEEK_END)
        while end > at:
            start = max(at, end - _BLOCK)
            file.seek(start)
            block = file.read(end - start)
            file.seek(start + len(more))
            file.write(block)
            end = start
        file.seek(at)
        file.write(more)


def _take_back_unit(path: Path, format: str) -> None:
    """Leaves of the resolution, which libvips always writes, no more than how wide a pixel is for its height."""
    with open(path, "r+b") as file:
        if format == "TIFF":
            tags.set_short(file, 0, UNIT, 1)
        for kind, length in png_chunks(file) if format == "PNG" else ():
            if kind == b"IDAT":
                break
            if kind != b"pHYs":
                continue
            start = file.tell()
            file.seek(start + 8)
            file.write(b"\0")
            file.seek(start)
            checksum = zlib.crc32(kind + file.read(length))
            file.write(struct.pack(">I", checksum))
