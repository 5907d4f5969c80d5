"""Make EXIF and XMP describe an upright image: orientation, sizes and thumbnails, edited in place."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from i2i.images import resolution, tags

_SIZES = {1: 1, 3: 2, 4: 4}
EXIF_TAG = 34665
GPS_TAG = 34853
XMP_TAG = 700


def orientation_of(exif: bytes | None, xmp: bytes | None) -> int:
    """Return the orientation, 1 to 8, that EXIF states, or else XMP; 1 where neither can be understood."""
    turned = tags.exif_orientation(exif) if exif else 1
    if turned > 1 or not xmp:
        return turned
    found = re.search(rb"tiff:Orientation(?:=[\"']|>)\s*([1-8])", xmp)
    return int(found.group(1)) if found else 1


def upright_exif(exif: bytes, width: int, height: int, found: resolution.Resolution | None = None) -> bytes | None:
    """Return EXIF that describes an upright image of that size, without its thumbnail; None if it is damaged.

    The resolution ``found``, perhaps elsewhere in the file, replaces the one that it states.
    """
    block = bytearray(exif)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return None
    try:
        (first,) = struct.unpack_from(order + "I", block, 4)
        details = None
        inches = dict(zip((resolution.X, resolution.Y), resolution.per_inch(found), strict=True)) if found else {}
        for tag, at in _entries(block, order, first):
            if tag == tags.ORIENTATION:
                _set(block, order, at, 1)
            elif tag == EXIF_TAG:
                details = _numbers(block, order, at)[0]
            elif tag == resolution.UNIT and found:
                _set(block, order, at, 2)
            elif tag in inches:
                _set_fraction(block, order, at, inches[tag])
        (count,) = struct.unpack_from(order + "H", block, first)
        (thumbnail,) = struct.unpack_from(order + "I", block, first + 2 + 12 * count)
        struct.pack_into(order + "I", block, first + 2 + 12 * count, 0)
        for tag, at in _entries(block, order, details) if details else ():
            if tag in (0xA002, 0xA003):  # PixelXDimension, PixelYDimension
                _set(block, order, at, width if tag == 0xA002 else height)
        if thumbnail:
            _erase_thumbnail(block, order, thumbnail)
    except (struct.error, IndexError):
        return None
    return bytes(block)


def upright_xmp(xmp: bytes, width: int, height: int) -> bytes:
    """Return XMP that describes an upright image of that size, without thumbnails or a reference to a second part."""
    facts = {rb"tiff:Orientation": 1, rb"(?:exif:PixelXDimension|tiff:ImageWidth)": width}
    facts[rb"(?:exif:PixelYDimension|tiff:ImageLength)"] = height
    for name, value in facts.items():
        xmp = re.sub(rb"(\b" + name + rb"""\s*(?:=\s*["']|>)\s*)\d+""", rb"\g<1>%d" % value, xmp)
    xmp = re.sub(rb"<(xmp|xap):Thumbnails\b.*?</\1:Thumbnails\s*>", b"", xmp, flags=re.DOTALL)
    return re.sub(rb"""\s*xmpNote:HasExtendedXMP\s*=\s*(?:"[^"]*"|'[^']*')""", b"", xmp)


def _entries(block: bytearray, order: str, offset: int) -> Iterator[tuple[int, int]]:
    """Yield the tag of each entry of a directory, and the offset of the entry."""
    (count,) = struct.unpack_from(order + "H", block, offset)
    for at in range(offset + 2, offset + 2 + 12 * count, 12):
        yield struct.unpack_from(order + "H", block, at)[0], at


def _numbers(block: bytearray, order: str, at: int) -> tuple[int, ...]:
    """Return the values of an entry of integers; empty for others."""
    kind, count = struct.unpack_from(order + "HI", block, at + 2)
    if kind not in _SIZES or count > 4096:
        return ()
    where = at + 8
    if count * _SIZES[kind] > 4:
        (where,) = struct.unpack_from(order + "I", block, at + 8)
    return struct.unpack_from(f"{order}{count}{'BHI'[_SIZES[kind] // 2]}", block, where)


def _set(block: bytearray, order: str, at: int, value: int) -> None:
    """Set an entry of one integer of 16 or 32 bits."""
    (kind,) = struct.unpack_from(order + "H", block, at + 2)
    if kind == 3 and value > 65535:
        kind = 4
    if kind in (3, 4):
        struct.pack_into(order + "HI", block, at + 2, kind, 1)
        struct.pack_into(order + ("H" if kind == 3 else "I"), block, at + 8, value)


def _set_fraction(block: bytearray, order: str, at: int, value: tuple[int, int]) -> None:
    """Set an entry of one fraction; one whose offset leads nowhere is left as it is."""
    kind, count, where = struct.unpack_from(order + "HII", block, at + 2)
    if (kind, count) == (5, 1) and 8 <= where <= len(block) - 8:
        struct.pack_into(order + "II", block, where, *value)


def _erase_thumbnail(block: bytearray, order: str, offset: int) -> None:
    """Overwrite the thumbnail, which shows the picture as it was, as well as the directory that leads to it."""
    found = {tag: _numbers(block, order, at) for tag, at in _entries(block, order, offset)}
    starts = [*found.get(0x201, ()), *found.get(273, ())]  # of a JPEG, or of strips
    lengths = [*found.get(0x202, ()), *found.get(279, ())]
    size = len(block)
    table = (offset, 2 + 12 * len(list(_entries(block, order, offset))) + 4)
    for start, length in sorted([*zip(starts, lengths, strict=False), table], reverse=True):
        end = min(size, start + length)
        if start >= 8 and start < end:
            block[start:end] = bytes(end - start)
            if end >= len(block):
                del block[start:]
