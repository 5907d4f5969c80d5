"""EXIF and XMP, carried from one file to another: upright, without thumbnails, and otherwise as they were.

EXIF is changed in place, since what cameras note of their own in it points to places by number.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from i2i.images import jp2, resolution, tags
from i2i.images.exif import EXIF_TAG, GPS_TAG, XMP_TAG, upright_exif, upright_xmp
from i2i.images.formats import inflate, jpeg_segments, png_chunks
from i2i.images.image import Metadata

_XMP_NAME = b"http://ns.adobe.com/xap/1.0/\0"
_IN_BOXES = {b"JpgTiffExif->JP2": "exif", bytes.fromhex("be7acfcb97a942e89c71999491e3afac"): "xmp"}
_SEGMENT = 65533  # bytes that a segment of a JPEG holds


def read_metadata(file: BinaryIO, format: str) -> Metadata:
    """From an open image file; of formats other than JPEG, PNG, WebP, TIFF and JPEG 2000 nothing."""
    try:
        return _read(file, format)
    except (ValueError, struct.error, OverflowError):  # damaged, where the pixels may be sound
        return Metadata(unread=True)


def _read(file: BinaryIO, format: str) -> Metadata:
    read = {"JPEG": _of_jpeg, "PNG": _of_png, "WEBP": _of_webp, "JPEG2000": _of_jp2}.get(format)
    if format == "TIFF":
        entries = tags.read_directory(file, (XMP_TAG, EXIF_TAG, GPS_TAG)).tags
        xmp = entries.get(XMP_TAG)
        return Metadata(None, xmp if isinstance(xmp, bytes) else None, EXIF_TAG in entries or GPS_TAG in entries)
    exif = xmp = None
    for kind, value in read(file) if read is not None else ():
        if kind == "exif" and exif is None:
            exif = value.removeprefix(b"Exif\0\0")
        elif kind == "xmp" and xmp is None:
            xmp = value
    return Metadata(exif, xmp)


def _of_jpeg(file: BinaryIO) -> Iterator[tuple[str, bytes]]:
    for marker, length in jpeg_segments(file):
        if marker in (0xDA, 0xD9):
            return
        if marker == 0xE1:
            segment = file.read(max(length, 0))
            if segment.startswith(b"Exif\0\0"):
                yield "exif", segment
            elif segment.startswith(_XMP_NAME):
                yield "xmp", segment[len(_XMP_NAME) :]


def _of_png(file: BinaryIO) -> Iterator[tuple[str, bytes]]:
    for kind, length in png_chunks(file):
        if kind == b"eXIf":
            yield "exif", file.read(length)
        elif kind in (b"iTXt", b"zTXt", b"tEXt"):
            word, _, text = file.read(length).partition(b"\0")
            packed = text[:1] == b"\1" if kind == b"iTXt" else kind == b"zTXt"
            if kind == b"iTXt":
                text = text[2:].split(b"\0", 2)[-1]  # behind two flags, the language and the translated keyword
            elif packed:
                text = text[1:]
            unpacked = inflate(text) if packed else text
            if unpacked is None:
                continue
            if word == b"XML:com.adobe.xmp":
                yield "xmp", unpacked
            elif kind != b"iTXt" and word == b"Raw profile type exif":  # ImageMagick's: a length and hex digits
                digits = b"".join(unpacked.split()[2:])
                if re.fullmatch(rb"(?:[0-9a-fA-F]{2})+", digits):
                    yield "exif", bytes.fromhex(digits.decode("ascii"))


def _of_webp(file: BinaryIO) -> Iterator[tuple[str, bytes]]:
    data, at = file.read(), 12
    while at + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, at)
        if kind in (b"EXIF", b"XMP "):
            yield kind.strip().lower().decode(), data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2


def _of_jp2(file: BinaryIO) -> Iterator[tuple[str, bytes]]:
    for name, content in jp2.identified(file):
        if name in _IN_BOXES:
            yield _IN_BOXES[name], content


def left_out(metadata: Metadata, format: str) -> list[str]:
    """What a file of that format, written here, does not hold of it."""
    exif, xmp = metadata.exif, metadata.xmp
    lost = []
    room = _SEGMENT if format == "JPEG" else 2**31
    if metadata.unread or (
        exif is not None
        and (format not in ("JPEG", "PNG", "WEBP") or len(exif) + 6 > room or upright_exif(exif, 1, 1) is None)
    ):
        lost.append("EXIF")
    if xmp is not None and (format not in ("JPEG", "PNG", "WEBP", "TIFF") or len(xmp) + 64 > room):
        lost.append("XMP")
    return lost


def embed(
    data: bytes,
    format: str,
    metadata: Metadata,
    width: int,
    height: int,
    alpha: bool,
    found: resolution.Resolution | None,
) -> bytes:
    """The bytes of an image file with what of the metadata its format holds."""
    lost = left_out(metadata, format)
    exif = None if metadata.exif is None or "EXIF" in lost else upright_exif(metadata.exif, width, height, found)
    xmp = None if metadata.xmp is None or "XMP" in lost else upright_xmp(metadata.xmp, width, height)
    if format == "JPEG":
        at = 4 + struct.unpack(">H", data[4:6])[0] if data[2:4] == b"\xff\xe0" else 2  # JFIF comes first
        parts = [b"Exif\0\0" + exif] if exif else []
        parts += [_XMP_NAME + xmp] if xmp else []
        segments = b"".join(b"\xff\xe1" + struct.pack(">H", 2 + len(part)) + part for part in parts)
        return data[:at] + segments + data[at:]
    if format == "PNG":
        chunks = png_chunk(b"eXIf", exif) if exif else b""
        chunks += png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp) if xmp else b""
        return data[:33] + chunks + data[33:]  # behind the signature and IHDR
    if format == "WEBP":
        head, body = webp_parts(data, width, height, alpha)
        for name, flag, value in ((b"EXIF", 0x08, exif), (b"XMP ", 0x04, xmp)):
            if value:
                head[0] |= flag
                body += name + struct.pack("<I", len(value)) + value + b"\0" * (len(value) % 2)
        return webp_file(head, body)
    return tags.with_tags(data, [(XMP_TAG, 1, len(xmp), xmp)]) if xmp else data


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def webp_parts(data: bytes, width: int, height: int, alpha: bool) -> tuple[bytearray, bytes]:
    """The extended header of a WebP, made where it has none, and all behind it."""
    if data[12:16] == b"VP8X":
        return bytearray(data[20:30]), data[30:]
    head = bytearray(10)
    head[0] = 0x10 if alpha else 0
    head[4:7] = (width - 1).to_bytes(3, "little")
    head[7:10] = (height - 1).to_bytes(3, "little")
    return head, data[12:]


def webp_file(head: bytearray, body: bytes) -> bytes:
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(head) + body
    return b"RIFF" + struct.pack("<I", len(body)) + body
