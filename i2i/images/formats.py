"""The headers of PNG, JPEG and WebP: an open file in, a Header out.

They raise ValueError or struct.error for what is damaged, and UnsupportedError for what is sound but not read here.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from i2i.images import resolution, tags
from i2i.images.exif import orientation_in_xmp
from i2i.images.image import Header, UnsupportedError
from i2i.images.tags import ICC_LIMIT


def inflate(data: bytes) -> bytes | None:
    """At most 16 MB of a zlib stream; None where it is damaged or longer."""
    stream = zlib.decompressobj()
    try:
        text = stream.decompress(data, ICC_LIMIT)
    except zlib.error:
        return None
    return None if stream.unconsumed_tail else text


def png_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Kind and length of each chunk up to IEND, the file placed at its data.

    A length that leads beyond the end is an error: OpenCV asks for that memory before it looks what is there.
    """
    at = 8
    for _ in range(1_000_000):
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            break
        length, kind = struct.unpack(">I4s", head)
        at += length + 12
        if kind == b"IEND":
            return
        yield kind, length
    raise ValueError("it is truncated, or a chunk claims more than there is")


def png_header(file: BinaryIO) -> Header:
    file.seek(8)
    first = file.read(25)
    length, kind, width, height, depth, colour, crc = struct.unpack(">I4sIIBB3xI", first)
    if kind != b"IHDR" or length != 13:
        raise ValueError("PNG without an IHDR chunk")
    if zlib.crc32(first[4:21]) != crc:  # before memory is asked for by a damaged width
        raise ValueError("the checksum of the IHDR chunk is wrong")
    if depth not in {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}.get(colour, ()):
        raise ValueError(f"PNG of colour type {colour} with {depth} bits")
    alpha, key, icc, frames, orientation = colour in (4, 6), None, None, 1, 1
    found = of_exif = None
    for kind, length in png_chunks(file):
        if kind == b"tRNS":
            alpha = True
            if colour == 0:
                level = struct.unpack(">H", file.read(2))[0] & (2**depth - 1)
                key = level * 255 // (2**depth - 1) if depth < 8 else level
        elif kind == b"iCCP" and length <= ICC_LIMIT:
            icc = inflate(file.read(length).partition(b"\0")[2][1:])
        elif kind == b"acTL":
            frames = max(1, struct.unpack(">I", file.read(4))[0])
        elif kind == b"pHYs" and length == 9:
            across, down, unit = struct.unpack(">IIB", file.read(9))
            found = resolution.per_millimetre(across, down, resolution.METRE if unit == 1 else None)
        elif kind in (b"eXIf", b"iTXt", b"zTXt", b"tEXt") and length <= ICC_LIMIT:
            data = file.read(length)
            orientation = _png_orientation(kind, data) if orientation == 1 else orientation
            of_exif = resolution.of_exif(data) if kind == b"eXIf" else of_exif
    return Header(
        "PNG", width, height, 1 if colour in (0, 4) else 3, 16 if depth == 16 else 8, alpha, frames, orientation, icc,
        key=key, resolution=found or of_exif,
    )  # fmt: skip


def _png_orientation(kind: bytes, data: bytes) -> int:
    """From an EXIF chunk, or from XMP or ImageMagick's EXIF (a length and hex digits) in a chunk of text."""
    if kind == b"eXIf":
        return tags.exif_orientation(data)
    word, _, text = data.partition(b"\0")
    if word == b"XML:com.adobe.xmp":
        return orientation_in_xmp(text)
    if word == b"Raw profile type exif":
        profile = text if kind == b"tEXt" else inflate(text[1:]) or b""
        digits = b"".join(profile.split()[2:])
        return tags.exif_orientation(bytes.fromhex(digits.decode("ascii"))) if digits.isalnum() else 1
    return 1


def jpeg_segments(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Marker and length of each segment up to the first scan, the file placed at its data."""
    at = 2
    for _ in range(100_000):
        file.seek(at)
        head = file.read(4)
        if len(head) < 4:
            raise ValueError("it is truncated before the image begins")
        if head[0] != 0xFF or head[1] in (0x00, 0xFF, 0x01) or 0xD0 <= head[1] <= 0xD8:  # filling, or junk to pass over
            at += 1
            continue
        length = struct.unpack(">H", head[2:])[0]
        yield head[1], length - 2
        at += 2 + length


def jpeg_header(file: BinaryIO) -> Header:
    width = height = components = frames = 0
    exif_orientation, xmp_orientation = 1, 1
    found: resolution.Resolution | None = None
    profile: dict[int, bytes] = {}
    for marker, length in jpeg_segments(file):
        if marker in (0xDA, 0xD9):
            break
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            depth, height, width, components = struct.unpack(">BHHB", file.read(6))
            if depth != 8:
                raise UnsupportedError(f"a JPEG of {depth} bits, which is not supported; convert it to PNG or TIFF")
        elif marker in (0xE0, 0xE1):
            data = file.read(max(length, 0))
            found = found or resolution.of_segment(data)  # JFIF comes first
            if data.startswith(b"Exif\0\0"):
                exif_orientation = tags.exif_orientation(data)
            elif data.startswith(b"http://ns.adobe.com/xap/1.0/"):
                xmp_orientation = orientation_in_xmp(data)
        elif marker == 0xE2:
            data = file.read(max(length, 0))
            if data.startswith(b"ICC_PROFILE\0") and len(data) > 14:
                profile[data[12]] = data[14:]
            elif data.startswith(b"MPF\0"):
                frames = _mpf_pictures(data[4:])
    if components not in (1, 3, 4):
        raise ValueError("JPEG without a frame header" if not components else f"JPEG of {components} components")
    icc = b"".join(profile[number] for number in sorted(profile)) or None
    orientation = exif_orientation if exif_orientation > 1 else xmp_orientation
    return Header(
        "JPEG", width, height, 1 if components == 1 else 3, frames=max(1, frames), orientation=orientation, icc=icc,
        resolution=found,
    )  # fmt: skip


def _mpf_pictures(data: bytes) -> int:
    try:
        return tags.read_directory(io.BytesIO(data), (tags.MPF_PICTURES,)).number(tags.MPF_PICTURES, 1)
    except (ValueError, struct.error, OverflowError):
        return 1


def webp_header(file: BinaryIO) -> Header:
    file.seek(12)
    kind, length, data = struct.unpack("<4sI10s", file.read(18))
    if kind == b"VP8 ":
        if data[3:6] != b"\x9d\x01\x2a":
            raise ValueError("WebP without a key frame")
        width, height = (value & 0x3FFF for value in struct.unpack_from("<HH", data, 6))
        return Header("WEBP", width, height)
    if kind == b"VP8L":
        (packed,) = struct.unpack_from("<I", data, 1)
        return Header("WEBP", (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1, alpha=bool(packed >> 28 & 1))
    if kind != b"VP8X":
        raise ValueError("WebP that begins with neither VP8, VP8L nor VP8X")
    width = int.from_bytes(data[4:7], "little") + 1
    height = int.from_bytes(data[7:10], "little") + 1
    frames, icc, orientation, found, at = 0, None, 1, None, 12 + 8 + length + length % 2
    for _ in range(100_000):
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            break
        kind, length = struct.unpack("<4sI", head)
        frames += kind == b"ANMF"
        if kind == b"ICCP" and length <= ICC_LIMIT:
            icc = file.read(length)
        elif kind == b"EXIF" and length <= ICC_LIMIT:
            exif = file.read(length)
            orientation, found = tags.exif_orientation(exif), resolution.of_exif(exif)
        at += 8 + length + length % 2
    return Header("WEBP", width, height, 3, 8, bool(data[0] & 0x10), max(1, frames), orientation, icc, resolution=found)
