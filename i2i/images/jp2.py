"""The boxes that a JPEG 2000 is made of: its header, and the colour profile, which OpenCV passes over.

ISO/IEC 15444-1, annex I. A bare code stream, without boxes, is read as well.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import BinaryIO

from i2i.images.pixels import Header, UnsupportedError

_CODE_STREAM = b"\xff\x4f\xff\x51"
_LIMIT = 16 << 20  # bytes of a box that is read
_ENUMERATED = 1  # how a box tells of the colours: by a number, or else by a profile
_RESTRICTED = 2


def jp2_header(file: BinaryIO) -> Header:
    end = file.seek(0, io.SEEK_END)
    file.seek(0)
    at, icc = (0, None) if file.read(4) == _CODE_STREAM else _parts(file, end)
    file.seek(at)
    start = file.read(64)
    if start[:4] != _CODE_STREAM:
        raise ValueError("JPEG 2000 without a code stream")
    right, low, left, top, *_, components, depth = struct.unpack_from(">8IHB", start, 8)
    if depth + 1 not in (8, 16) or components > 4:
        raise UnsupportedError(f"a JPEG 2000 of {components} components of {(depth & 127) + 1} bits; convert it to PNG")
    return Header(
        "JPEG2000", right - left, low - top, 1 if components < 3 else 3, depth + 1, components in (2, 4), icc=icc,
        decoder="pillow" if components == 2 else "cv2",
    )  # fmt: skip


def _parts(file: BinaryIO, end: int) -> tuple[int, bytes | None]:
    """Where the code stream is, and the colour profile."""
    icc: bytes | None = None
    for kind, start, stop in _boxes(file, 0, end):
        if kind == b"jp2c":
            return start, icc
        for inner, at, behind in _boxes(file, start, stop) if kind == b"jp2h" else ():
            if inner == b"colr" and icc is None and 3 < behind - at <= _LIMIT:
                file.seek(at)
                colours = file.read(behind - at)
                icc = colours[3:] if colours[0] != _ENUMERATED else None
    raise ValueError("JPEG 2000 without a code stream")


def identified(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """The contents of boxes that others have defined, each with the 16 bytes by which they know it as theirs."""
    for kind, start, stop in _boxes(file, 0, file.seek(0, io.SEEK_END)):
        if kind == b"uuid" and 16 < stop - start <= _LIMIT:
            file.seek(start)
            content = file.read(stop - start)
            yield content[:16], content[16:]


def with_profile(data: bytes, icc: bytes) -> bytes:
    """The bytes of a file as OpenCV writes it, with that profile in place of what it says of its colours."""
    file = io.BytesIO(data)
    for kind, start, stop in _boxes(file, 0, len(data)):
        for inner, at, behind in _boxes(file, start, stop) if kind == b"jp2h" else ():
            if inner == b"colr":
                box = struct.pack(">I4s3B", 11 + len(icc), b"colr", _RESTRICTED, 0, 0) + icc
                size = stop - start + 8 - (behind - at + 8) + len(box)
                return data[: start - 8] + struct.pack(">I", size) + data[start - 4 : at - 8] + box + data[behind:]
    return data


def _boxes(file: BinaryIO, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """The kind of each box between two places, and where its content begins and ends."""
    while at + 8 <= end:
        file.seek(at)
        length, kind = struct.unpack(">I4s", file.read(8))
        start = at + 8
        if length == 1:  # a long one
            (length,) = struct.unpack(">Q", file.read(8))
            start += 8
        at = end if length == 0 else at + length
        if at < start:
            raise ValueError("a box is shorter than its head")
        yield kind, start, min(at, end)
