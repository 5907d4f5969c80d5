"""Write an image that arrives strip by strip."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np

from i2i.atomic import atomically, scratch
from i2i.images.encode import fitting
from i2i.images.formats.table import FORMATS, Strips
from i2i.images.image import Image, ImageError, Metadata
from i2i.images.libvips import vips
from i2i.images.metadata import carried
from i2i.images.resolution import INCH, Resolution

_FIELDS = {"icc": "icc-profile-data", "xmp": "xmp-data"}
_BLOCK = 16 << 20
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # libvips says them in words


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
    coding: str = "",
) -> int:
    """Write an image, given from top to bottom in strips of one width and form, whole or not at all.

    ``format`` is one of ``table.STRIPWISE``; what it cannot hold is converted as ``write_image`` does it. The strips
    wait uncompressed in a temporary file beside ``path``, since only the last shows whether all of them are grey.

    Args:
        keep_grey: if no pixel has colour, the image is written as one of grey.
        icc: the colour profile, which is written if it is of the colours that the image then has.
        resolution: pixels for a millimetre, across and down. Without it the file states no unit.
        coding: how the pixels are to be stored, as in a Header.

    Return the number of colour channels of the file, 1 or 3.

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
            # Opened for each, so that an error on closing is reported as well.
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
            _save(pixels, path, format, quality, colours_left, resolution, metadata, icc, coding)
            return colours_left


@contextmanager
def _told(path: Path, format: str) -> Iterator[None]:
    """Raise an error of the output as an ImageError about ``path``, caused by an OSError if the system is at fault."""
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
    coding: str,
) -> None:
    library = vips()
    row = FORMATS[format]
    strips = cast(Strips, row.strips)
    deep = pixels.format == "ushort"
    space = {1: "grey16" if deep else "b-w", 3: "rgb16" if deep else "srgb"}[channels]
    across, down = resolution or (1 / INCH, 1 / INCH)
    pixels = pixels.copy(interpretation=space, xres=across, yres=down)
    kept = carried(metadata, format, pixels.width, pixels.height, resolution)
    blobs: dict[str, bytes | None] = {"icc": icc if icc and icc[16:20] == {1: b"GRAY", 3: b"RGB "}[channels] else None}
    # What libvips writes is new EXIF, in which what points into the old is wrong, and XMP in a place of its own.
    blobs["xmp"] = kept.xmp if kept is not None and not strips.head else None
    more = row.code.blocks(kept, resolution) if strips.head else b""
    blobs = {name: blob for name, blob in blobs.items() if blob}
    for name, blob in blobs.items():
        pixels.set_type(library.GValue.blob_type, _FIELDS[name], blob)
    size = pixels.width * pixels.height * pixels.bands * (1 + deep)
    options = {**strips.options, **row.code.strip_options(size, quality, coding), "keep": ":".join(blobs) or "none"}

    def write(temporary: Path) -> None:
        getattr(pixels, strips.save)(os.fspath(temporary), **options)
        if resolution is None:
            with open(temporary, "r+b") as file:
                row.code.drop_unit(file)
        if more:
            _insert(temporary, strips.head, more)

    atomically(path, write, durable=False)  # as in ``write_image``


def _insert(path: Path, at: int, more: bytes) -> None:
    """Insert bytes into a file: what follows is moved block by block, since it may be larger than the memory."""
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
