"""EXIF and XMP, carried from one file to another: upright, without thumbnails, and otherwise as they were.

EXIF is changed in place, since what cameras note of their own in it points to places by number.
"""

from __future__ import annotations

from typing import BinaryIO

from i2i.images.exif import upright_exif, upright_xmp
from i2i.images.formats.table import FORMATS, Holds
from i2i.images.header import DAMAGE
from i2i.images.image import Metadata
from i2i.images.resolution import Resolution


def read_metadata(file: BinaryIO, format: str) -> Metadata:
    """Return EXIF and XMP of an open image file; empty for a format of which none are read."""
    file.seek(0)
    try:
        return FORMATS[format].metadata(file)
    except DAMAGE:  # the pixels may be sound
        return Metadata(unread=("EXIF",))


def left_out(metadata: Metadata, format: str) -> list[str]:
    """Return the names of what a file of that format, written here, does not hold of the metadata."""
    holds = FORMATS[format].holds or Holds()
    exif, xmp = metadata.exif, metadata.xmp
    lost = exif is not None and (len(exif) > holds.exif or upright_exif(exif, 1, 1) is None)
    return ["EXIF"] * lost + ["XMP"] * (xmp is not None and len(xmp) > holds.xmp) + list(metadata.unread)


def carried(
    metadata: Metadata | None, format: str, width: int, height: int, resolution: Resolution | None
) -> Metadata | None:
    """Return the metadata that a file of that format holds, made to describe an upright image of that size."""
    if metadata is None:
        return None
    lost, exif, xmp = left_out(metadata, format), metadata.exif, metadata.xmp
    return Metadata(
        None if exif is None or "EXIF" in lost else upright_exif(exif, width, height, resolution),
        None if xmp is None or "XMP" in lost else upright_xmp(xmp, width, height),
    )
