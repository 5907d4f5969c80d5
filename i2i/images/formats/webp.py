"""WebP: headers and metadata by our own walk over the chunks, pixels by OpenCV.

Pillow is not used for the header: it reads the whole file and reserves two canvases, up to 2 GB, before it tells a
size.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

import cv2

from i2i.images import resolution
from i2i.images.codecs import Decoded, opencv_decode, opencv_encode
from i2i.images.exif import orientation_of
from i2i.images.image import Header, Image, Metadata

_LOSSLESS = "lossless"
_LIMIT = 16 << 20  # bytes of a profile or of metadata


def header(file: BinaryIO) -> Header:
    """Read the header."""
    file.seek(12)
    kind, length, data = struct.unpack("<4sI10s", file.read(18))
    if kind == b"VP8 ":
        if data[3:6] != b"\x9d\x01\x2a":
            raise ValueError("WebP without a key frame")
        width, height = (value & 0x3FFF for value in struct.unpack_from("<HH", data, 6))
        return Header(width, height)
    if kind == b"VP8L":
        (packed,) = struct.unpack_from("<I", data, 1)
        width, height = (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
        return Header(width, height, alpha=bool(packed >> 28 & 1), coding=_LOSSLESS)
    if kind != b"VP8X":
        raise ValueError("WebP that begins with neither VP8, VP8L nor VP8X")
    width = int.from_bytes(data[4:7], "little") + 1
    height = int.from_bytes(data[7:10], "little") + 1
    frames, icc, exif, xmp = 0, None, None, None
    kinds: set[bytes] = set()
    for kind, length in _chunks(file):
        frames += kind == b"ANMF"
        kinds.add(file.read(20)[16:] if kind == b"ANMF" else kind)  # a frame is a chunk in a chunk
        if kind in (b"ICCP", b"EXIF", b"XMP ") and length <= _LIMIT:
            block = file.read(length)
            icc = block if kind == b"ICCP" else icc
            exif = block if kind == b"EXIF" else exif
            xmp = block if kind == b"XMP " else xmp
    coding = _LOSSLESS if b"VP8L" in kinds and not kinds & {b"VP8 ", b"ALPH"} else ""
    return Header(
        width, height, 3, 8, bool(data[0] & 0x10), max(1, frames), orientation_of(exif, xmp), icc,
        resolution=resolution.of_exif(exif) if exif else None, coding=coding,
    )  # fmt: skip


def metadata(file: BinaryIO) -> Metadata:
    """Return EXIF and XMP."""
    found = {kind: file.read(length) for kind, length in _chunks(file) if kind in (b"EXIF", b"XMP ")}
    exif = found.get(b"EXIF")
    return Metadata(exif.removeprefix(b"Exif\0\0") if exif else None, found.get(b"XMP "))


def decode(data: bytes, header: Header) -> Decoded:
    """Decode the first frame."""
    return opencv_decode(data, header)


def encode(image: Image, quality: int) -> bytes:
    """Encode the image with its profile and metadata: lossless at a quality of 100, or if its source is."""
    lossless = quality == 100 or image.coding == _LOSSLESS
    data = opencv_encode(image, ".webp", [cv2.IMWRITE_WEBP_QUALITY, 101 if lossless else quality])
    exif, xmp = (image.metadata.exif, image.metadata.xmp) if image.metadata else (None, None)
    if not (image.icc or exif or xmp):
        return data
    if data[12:16] == b"VP8X":
        head, body = bytearray(data[20:30]), data[30:]
    else:
        head, body = bytearray(10), data[12:]
        head[0] = 0x10 if image.alpha is not None else 0
        head[4:7] = (image.width - 1).to_bytes(3, "little")
        head[7:10] = (image.height - 1).to_bytes(3, "little")
    head[0] |= 0x20 * bool(image.icc) | 0x08 * bool(exif) | 0x04 * bool(xmp)
    body = (
        _chunk(b"VP8X", bytes(head)) + _chunk(b"ICCP", image.icc) + body + _chunk(b"EXIF", exif) + _chunk(b"XMP ", xmp)
    )
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def _chunk(kind: bytes, data: bytes | None) -> bytes:
    return kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2) if data else b""


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yield kind and length of each chunk, the file placed at its data."""
    at = 12
    for _ in range(100_000):
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            return
        kind, length = struct.unpack("<4sI", head)
        yield kind, length
        at += 8 + length + length % 2
