"""NumPy's own format: one array [h, w] or [h, w, c], read and written by NumPy.

uint8 and uint16 with 1 or 3 channels are pictures; anything else is bands.
"""

from __future__ import annotations

import io
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy

from i2i.images.codecs import Decoded, bands_of, fewer_bits_of
from i2i.images.image import Header, Image, UnsupportedError

FLAT = "[h, w]"
"""Coding of an array without an axis for its channels."""
_FIRST, _FEW = 32, 16  # an array [c, h, w] has fewer than 32 channels first, and 16 columns or more last


def header(file: BinaryIO) -> Header:
    """Read the header. Raises UnsupportedError for an array that is no image."""
    file.seek(0)
    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(file)
    if len(shape) not in (2, 3):
        raise UnsupportedError(f"an array {list(shape)}; an image is [h, w] or [h, w, c]")
    height, width, channels = (*shape, 1)[:3]
    if height < _FIRST and channels >= _FEW and channels > height:
        raise UnsupportedError(
            f"an array {list(shape)}: its channels seem to come first, and an image is [h, w, c]; move them to the end "
            "with numpy.moveaxis(array, 0, -1)"
        )
    if channels < 1:
        raise UnsupportedError(f"an empty array, {list(shape)}")
    bands = bands_of(dtype, channels)
    bits = np.dtype(bands).itemsize * 8 if bands else dtype.itemsize * 8
    coding = FLAT if len(shape) == 2 else ""
    return Header(width, height, channels, bits, bands=bands, lost=fewer_bits_of(dtype), coding=coding)


def decode(data: bytes, header: Header) -> Decoded:
    """Decode the array; float16 and float64 become float32."""
    array = npy.read_array(io.BytesIO(data), allow_pickle=False)
    dtype = header.bands or f"uint{header.bits}"
    with np.errstate(over="ignore"):  # what does not fit becomes infinite, which is reported
        return np.ascontiguousarray(array.reshape(header.height, header.width, header.channels), dtype), None


def encode(image: Image, quality: int) -> bytes:
    """Encode the pixels as an array [h, w, c]; as [h, w] for one channel unless its source is [h, w, 1]."""
    flat = image.channels == 1 and (image.coding == FLAT or image.format != "NPY")
    buffer = io.BytesIO()
    npy.write_array(buffer, np.ascontiguousarray(image.pixels[..., 0] if flat else image.pixels), allow_pickle=False)
    return buffer.getvalue()
