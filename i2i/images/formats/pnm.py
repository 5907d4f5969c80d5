"""PBM, PGM and PPM, plain and binary: header and pixels read here, written by OpenCV.

Pillow reduces colours of 16 bits to 8, and OpenCV does not scale values to the largest one that the file states.
"""

from __future__ import annotations

import re
from typing import BinaryIO

import numpy as np

from i2i.images.codecs import Decoded, opencv_encode
from i2i.images.image import Header, Image
from i2i.text import plural


def header(file: BinaryIO) -> Header:
    """Read the header. Its ``hint`` is where the pixels begin, and their largest value."""
    file.seek(0)
    start = file.read(65536)
    kind = start[1] - ord("0")
    space = rb"(?:\s|#[^\r\n]*[\r\n])+"
    found = re.match(rb"P\d" + (space + rb"(\d{1,10})") * (2 if kind in (1, 4) else 3) + rb"\s", start)
    if not found:
        raise ValueError("PNM without its size")
    width, height, peak = (*map(int, found.groups()), 1)[:3]
    if not 1 <= peak <= 65535:
        raise ValueError(f"PNM with a largest value of {peak}")
    channels, bits = 3 if kind in (3, 6) else 1, 16 if peak > 255 else 8
    return Header(width, height, channels, bits, hint=(found.end(), peak))


def decode(data: bytes, header: Header) -> Decoded:
    """Decode the picture, scaled so that its largest value is that of 8 or 16 bits."""
    start, limit = header.hint
    kind, count = data[1] - ord("0"), header.width * header.height * header.channels
    if kind == 4:
        row = -(-header.width // 8)
        packed = np.frombuffer(data, np.uint8, row * header.height, start).reshape(header.height, row)
        values = 1 - np.unpackbits(packed, axis=1)[:, : header.width]
    elif kind == 1:
        digits = np.frombuffer(data, np.uint8, offset=start)
        values = ord("1") - digits[(digits == ord("0")) | (digits == ord("1"))][:count]
    elif kind in (2, 3):
        values = np.array(data[start:].split(None, count)[:count], np.int64)
    else:
        values = np.frombuffer(data, ">u2" if limit > 255 else "u1", count, start)
    if values.size != count:
        raise ValueError(f"it is truncated ({values.size} of {plural(count, 'value')})")
    if values.size and (int(values.max()) > limit or int(values.min()) < 0):
        raise ValueError(f"a value is larger than the {limit} of its header")
    peak = 2**header.bits - 1
    if limit != peak:
        values = (values.astype(np.uint32) * peak + limit // 2) // limit
    pixels = values.astype(np.uint16 if header.bits == 16 else np.uint8)
    return pixels.reshape(header.height, header.width, header.channels), None


def encode(image: Image, quality: int) -> bytes:
    """Encode the image as binary PGM or PPM."""
    return opencv_encode(image, ".pgm" if image.channels == 1 else ".ppm")
