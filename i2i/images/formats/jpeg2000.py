"""JPEG 2000: headers by Pillow, pixels by Pillow in 8 bits and by OpenCV in 16 (ISO/IEC 15444-1, annex I)."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import Any, BinaryIO

import cv2

from i2i.images.codecs import Decoded, opencv_decode, opencv_encode, pillow_decode, pillow_header
from i2i.images.image import Header, Image, Metadata, UnsupportedError
from i2i.text import plural

_HEAD = 16 << 20  # bytes in which all that describes the image must lie
_SPACES = (12, 16, 17, 18, 20, 21)  # CMYK, sRGB, grey, YCbCr, and two of RGB with more colours
_EXIF, _XMP = b"JpgTiffExif->JP2", bytes.fromhex("be7acfcb97a942e89c71999491e3afac")


def _open(file: BinaryIO) -> Any:
    from PIL import Jpeg2KImagePlugin

    return Jpeg2KImagePlugin.Jpeg2KImageFile(file)


def header(file: BinaryIO) -> Header:
    """Read the header. Pillow tells neither the bits of the components nor the colour profile."""
    found = pillow_header(_open, file)
    file.seek(0)
    head = file.read(_HEAD)
    at = head.find(b"\xff\x4f\xff\x51")
    (count,) = struct.unpack_from(">H", head, at + 40)
    depths = {1 + (depth & 127) for depth in head[at + 42 : at + 42 + 3 * count : 3]}
    bits = max(depths)
    if at < 0 or not 1 <= count <= 4 or (bits > 8 and (depths != {16} or count == 2)):
        said = " and ".join(map(str, sorted(depths)))
        raise UnsupportedError(f"a JPEG 2000 of {plural(count, 'component')} of {said} bits; convert it to PNG")
    colours = _box(head[:at], b"colr")
    space = struct.unpack(">I", colours[3:7])[0] if colours[:1] == b"\1" else None
    icc = colours[3:] if colours[:1] in (b"\2", b"\3") else None
    if space not in (None, *_SPACES) or (icc is not None and icc[16:20] in (b"CMYK", b"Lab ")):
        raise UnsupportedError("a JPEG 2000 whose colours are neither RGB, YCbCr nor grey; convert it to PNG")
    return replace(found, bits=16 if bits > 8 else 8, icc=icc)


def metadata(file: BinaryIO) -> Metadata:
    """Return EXIF and XMP, which are in boxes with an identifier of their own."""
    file.seek(0)
    data = file.read()
    if data.startswith(b"\xff\x4f\xff\x51"):  # a bare code stream has no boxes
        return Metadata()
    exif, xmp = (_box(data, b"uuid" + name) or None for name in (_EXIF, _XMP))
    return Metadata(exif and exif.removeprefix(b"Exif\0\0"), xmp)


def decode(data: bytes, header: Header) -> Decoded:
    """Decode the picture. OpenCV reads no grey with alpha, no palette and no subsampled chroma; Pillow no 16 bits."""
    return opencv_decode(data, header) if header.bits == 16 else pillow_decode(_open, data, header)


def encode(image: Image, quality: int) -> bytes:
    """Encode the image without loss."""
    return opencv_encode(image, ".jp2", [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000])


def _box(data: bytes, key: bytes) -> bytes:
    """Return what follows ``key`` in the first box that begins with it; b"" where there is none."""
    at = data.find(key)
    if at < 4:
        return b""
    (length,) = struct.unpack_from(">I", data, at - 4)
    return data[at + len(key) : at - 4 + length]
