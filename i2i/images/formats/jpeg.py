"""JPEG and MPO: headers and metadata by Pillow, pixels by OpenCV."""

from __future__ import annotations

import re
import struct
from typing import Any, BinaryIO

import cv2

from i2i.images import resolution
from i2i.images.codecs import Decoded, opencv_decode, opencv_encode, pillow_header, pillow_metadata
from i2i.images.image import Header, Image, Metadata, UnsupportedError

_XMP = b"http://ns.adobe.com/xap/1.0/\0"


def _open(file: BinaryIO) -> Any:
    from PIL import JpegImagePlugin

    return JpegImagePlugin.jpeg_factory(file)


def header(file: BinaryIO) -> Header:
    """Read the header; ``frames`` counts the pictures of an MPO."""
    try:
        return pillow_header(_open, file)
    except SyntaxError as error:
        if deep := re.search(r"(\d+)-bit layers", str(error)):
            raise UnsupportedError(
                f"a JPEG of {deep[1]} bits, which is not supported; convert it to PNG or TIFF"
            ) from error
        raise


def metadata(file: BinaryIO) -> Metadata:
    """Return EXIF and XMP."""
    return pillow_metadata(_open, file)


def decode(data: bytes, header: Header) -> Decoded:
    """Decode the first picture."""
    if data.rfind(b"\xff\xd9", data.find(b"\xff\xda")) < 0:
        raise ValueError("it is truncated (no end-of-image marker)")  # OpenCV's message would not say so
    return opencv_decode(data, header)


def encode(image: Image, quality: int) -> bytes:
    """Encode the image with its profile, resolution and metadata."""
    data = opencv_encode(image, ".jpg", [cv2.IMWRITE_JPEG_QUALITY, quality])
    at = 4 + struct.unpack(">H", data[4:6])[0] if data[2:4] == b"\xff\xe0" else 2
    jfif = resolution.jfif(image.resolution)
    segments = blocks(image.metadata, image.resolution) if jfif else data[2:at] + blocks(image.metadata, None)
    return data[:2] + segments + _profile(image.icc or b"") + data[at:]


def blocks(metadata: Metadata | None, found: resolution.Resolution | None) -> bytes:
    """Return the segments of resolution and metadata, which come first in a file."""
    jfif = resolution.jfif(found)
    if metadata is None:
        return jfif
    parts = [b"Exif\0\0" + metadata.exif] if metadata.exif else []
    parts += [_XMP + metadata.xmp] if metadata.xmp else []
    return jfif + b"".join(b"\xff\xe1" + struct.pack(">H", 2 + len(part)) + part for part in parts)


def stripwise(file: BinaryIO, header: Header) -> bool:
    """True: libvips reads every JPEG as OpenCV does."""
    return True


def strip_options(size: int, quality: int) -> dict[str, object]:
    """Return options of libvips for a file of ``size`` bytes before compression."""
    return {"Q": quality}


def drop_unit(file: BinaryIO) -> None:
    """Do nothing: one pixel an inch, which libvips writes for no resolution, is read as none."""


def _profile(icc: bytes) -> bytes:
    """Return the profile in as many segments as it needs; nothing where 255 are too few."""
    parts = [icc[at : at + 65519] for at in range(0, len(icc), 65519)]
    if len(parts) > 255:
        return b""
    return b"".join(
        b"\xff\xe2" + struct.pack(">H", 16 + len(part)) + b"ICC_PROFILE\0" + bytes([number, len(parts)]) + part
        for number, part in enumerate(parts, 1)
    )
