"""QOI, read by Pillow."""

from __future__ import annotations

from typing import Any, BinaryIO

from i2i.images.codecs import Decoded, pillow_decode, pillow_header
from i2i.images.image import Header


def _open(file: BinaryIO) -> Any:
    from PIL import QoiImagePlugin

    return QoiImagePlugin.QoiImageFile(file)


def header(file: BinaryIO) -> Header:
    """Read the header."""
    return pillow_header(_open, file)


def decode(data: bytes, header: Header) -> Decoded:
    """Decode the picture."""
    return pillow_decode(_open, data, header)
