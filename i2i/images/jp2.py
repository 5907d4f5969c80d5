"""The boxes that a JPEG 2000 is made of: its header, and the colour profile, which OpenCV passes over.

ISO/IEC 15444-1, annex I. A bare code stream, without boxes, is read as well.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import BinaryIO

from i2i.images.image import Header, UnsupportedError

_CODE_STREAM = b"\xff\x4f\xff\x51"
_LIMIT = 16 << 20  # bytes of a box that is read
_MOST = 10_000  # boxes beside each other; to pass over millions of empty ones takes a while
_ENUMERATED, _RESTRICTED, _ANY = 1, 2, 3  # how a box tells of the colours: by a number, or by a profile of either kind
_YCC = 18
_SPACES = (None, 16, 17, _YCC, 20, 21)  # sRGB, grey, YCbCr, and two of RGB with more colours


def jp2_header(file: BinaryIO) -> Header:
    end = file.seek(0, io.SEEK_END)
    file.seek(0)
    at, space, icc, palette = (0, None, None, 0) if file.read(4) == _CODE_STREAM else _parts(file, end)
    file.seek(at)
    start = file.read(64)
    if start[:4] != _CODE_STREAM:
        raise ValueError("JPEG 2000 without a code stream")
    right, low, left, top, *_, count = struct.unpack_from(">8IH", start, 8)
    if not 1 <= count <= 4:
        raise UnsupportedError(f"a JPEG 2000 of {count} components; convert it to PNG")
    forms = struct.unpack_from(f"{3 * count}B", start, 42)  # of each its bits, and how many pixels share a value
    depths, steps = sorted(set(forms[::3])), {*forms[1::3], *forms[2::3]}
    # OpenCV reads no grey with alpha, takes places in a palette for grey, and calls the others damaged.
    pillow = count == 2 or palette > 0 or steps != {1} or (space == _YCC and count == 4)
    if depths not in ([7], [15]) or (pillow and depths != [7]) or (palette and (count != 1 or palette not in (3, 4))):
        bits = " and ".join(str((depth & 127) + 1) for depth in depths)
        how = ", in a palette or of unlike sizes" if palette or steps != {1} else ""
        raise UnsupportedError(f"a JPEG 2000 of {count} components of {bits} bits{how}; convert it to PNG")
    channels = palette or count
    return Header(
        "JPEG2000", right - left, low - top, 1 if channels < 3 else 3, depths[0] + 1, channels in (2, 4), icc=icc,
        decoder="pillow" if pillow else "cv2",
    )  # fmt: skip


def _parts(file: BinaryIO, end: int) -> tuple[int, int | None, bytes | None, int]:
    """Where the code stream is, the number or the profile of its colours, and how many of them a palette has."""
    space, icc, palette = None, None, 0
    for kind, start, stop in _boxes(file, 0, end):
        if kind == b"jp2c":
            return start, space, icc, palette
        for inner, at, behind in _boxes(file, start, stop) if kind == b"jp2h" else ():
            file.seek(at)
            if inner == b"colr" and space is None and icc is None and 7 <= behind - at <= _LIMIT:
                colours = file.read(behind - at)
                if colours[0] == _ENUMERATED:
                    (space,) = struct.unpack_from(">I", colours, 3)
                elif colours[0] in (_RESTRICTED, _ANY):
                    icc = colours[3:]
            elif inner == b"pclr":
                (palette,) = struct.unpack(">2xB", file.read(3))
            if space not in _SPACES or (icc is not None and icc[16:20] in (b"CMYK", b"Lab ")):
                raise UnsupportedError("a JPEG 2000 whose colours are neither RGB, YCbCr nor grey; convert it to PNG")
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
    for _ in range(_MOST):
        if at + 8 > end:
            return
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
    raise ValueError("JPEG 2000 of too many boxes")
