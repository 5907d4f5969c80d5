"""ICO, read by Pillow: the largest of its pictures."""

from __future__ import annotations

import struct
from functools import partial
from typing import BinaryIO

from i2i.images.codecs import pillow_decode, plugin, quiet
from i2i.images.image import Header

_open = plugin("IcoImagePlugin", "IcoImageFile")


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


decode = partial(pillow_decode, _open)
