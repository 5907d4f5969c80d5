"""ICO, read by Pillow: the largest of its pictures."""

from __future__ import annotations

import struct
from typing import Any, BinaryIO

from i2i.images.codecs import Decoded, pillow_decode, quiet
from i2i.images.image import Header


def _open(file: BinaryIO) -> Any:
    from PIL import IcoImagePlugin

    return IcoImagePlugin.IcoImageFile(file)


def header(file: BinaryIO) -> Header:
    """Read the size of the picture itself: Pillow would decode it at once, and the directory may state another."""
    from PIL import IcoImagePlugin

    file.seek(0)
    with quiet():
        entries = IcoImagePlugin.IcoFile(file).entry
    file.seek(entries[0].offset)
    head = file.read(24)
    if head.startswith(b"\x89PNG"):
        width, height = struct.unpack_from(">II", head, 16)
    else:
        width, height = struct.unpack_from("<ii", head, 4)
        height //= 2  # the mask counts as rows
    return Header(width, height, alpha=True)


def decode(data: bytes, header: Header) -> Decoded:
    """Decode the picture."""
    return pillow_decode(_open, data, header)
