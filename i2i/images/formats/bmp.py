"""BMP: headers by Pillow, pixels by OpenCV or, for what that reads differently, Pillow."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import BinaryIO

from i2i.images import resolution
from i2i.images.codecs import Decoded, opencv_decode, opencv_encode, pillow_decode, pillow_header, plugin
from i2i.images.image import Header, Image

_open = plugin("BmpImagePlugin", "BmpImageFile")


def header(file: BinaryIO) -> Header:
    """Read the header. Its ``hint`` is True where Pillow must decode."""
    found = pillow_header(_open, file)
    file.seek(14)
    head = file.read(20).ljust(20, b"\0")
    if head[0] == 12:
        return found
    depth, compression = struct.unpack_from("<HI", head, 14)
    # Only Pillow reads run lengths that overflow their row, and knows which 32-bit files hold alpha.
    return replace(found, hint=compression in (1, 2) or depth in (16, 32))


def decode(data: bytes, header: Header) -> Decoded:
    """Decode the picture."""
    return pillow_decode(_open, data, header) if header.hint else opencv_decode(data, header)


def encode(image: Image, quality: int) -> bytes:
    """Encode the image with its resolution."""
    data = opencv_encode(image, ".bmp")
    size = resolution.counted(image.resolution, resolution.METRE)
    return data[:38] + struct.pack("<ii", *size) + data[46:] if size else data
