"""The directory of tags that TIFF files and EXIF blocks consist of."""

from __future__ import annotations

import io
import struct
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import BinaryIO

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 256, 257, 258, 259, 262
ORIENTATION, SAMPLES, PLANES, TILE_WIDTH, TILE_HEIGHT = 274, 277, 284, 322, 323
TILE_OFFSETS, TILE_BYTES = 324, 325
EXTRA_SAMPLES, SAMPLE_FORMAT, ICC, NO_DATA = 338, 339, 34675, 42113
_PIXELS = {WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, SAMPLES, PLANES, EXTRA_SAMPLES, SAMPLE_FORMAT}
"""Tags that are needed to understand the pixels."""

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_NUMBERS = {3: "H", 4: "I", 5: "II", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_VALUE_LIMIT = 16 << 20


@dataclass
class Directory:
    """Values of the wanted tags: a tuple of integers, two for a fraction, or bytes for anything but numbers."""

    tags: dict[int, tuple[int, ...] | bytes]
    pages: int

    def number(self, tag: int, default: int) -> int:
        """Return the first value of an integer tag."""
        value = self.tags.get(tag)
        return value[0] if isinstance(value, tuple) and value else default


def is_tiff(start: bytes) -> bool:
    return start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def read_directory(file: BinaryIO, wanted: Collection[int]) -> Directory:
    """Return the first directory and the number of directories. Raises ValueError or struct.error without any."""
    file.seek(0)
    order, big, offset = _start(file.read(16))
    tags, following = _read_one(file, order, big, offset, wanted)
    pages, visited = 1, {offset}
    while following and following not in visited and pages < 10_000:  # a chain may be a ring
        visited.add(following)
        try:
            _, following = _read_one(file, order, big, following, ())
        except (ValueError, struct.error):
            break
        pages += 1
    return Directory(tags, pages)


def _start(head: bytes) -> tuple[str, bool, int]:
    """Return the byte order, True for a BigTIFF, and the offset of the first directory."""
    if not is_tiff(head):
        raise ValueError("no TIFF header")
    order = "<" if head[:2] == b"II" else ">"
    big = head[2:4] in (b"+\0", b"\0+")
    return order, big, struct.unpack_from(order + ("Q" if big else "I"), head, 8 if big else 4)[0]


def _read_one(
    file: BinaryIO, order: str, big: bool, offset: int, wanted: Collection[int]
) -> tuple[dict[int, tuple[int, ...] | bytes], int]:
    file.seek(offset)
    (count,) = struct.unpack(order + ("Q" if big else "H"), file.read(8 if big else 2))
    if not 0 < count <= 65535:
        raise ValueError("an empty directory")
    entry, pointer = (20, "Q") if big else (12, "I")
    table = file.read(count * entry)
    following = file.read(struct.calcsize(pointer))
    tags: dict[int, tuple[int, ...] | bytes] = {}
    end = file.seek(0, io.SEEK_END)
    for start in range(0, len(table) - entry + 1, entry):
        tag, kind = struct.unpack_from(order + "HH", table, start)
        if tag not in wanted or kind not in _SIZES:
            continue
        (number,) = struct.unpack_from(order + pointer, table, start + 4)
        size = number * _SIZES[kind]
        value = table[start + entry - struct.calcsize(pointer) : start + entry]
        if size > _VALUE_LIMIT:
            continue
        if size > len(value):
            (where,) = struct.unpack(order + pointer, value)
            if where + size > end and tag in _PIXELS:
                raise ValueError(f"the value of tag {tag} would lie behind the end of the file")
            if where + size > end:
                continue
            file.seek(where)
            value = file.read(size)
        value = value[:size]
        form = _NUMBERS.get(kind)
        tags[tag] = struct.unpack(f"{order}{number * len(form)}{form[0]}", value) if form else value
    return tags, struct.unpack(order + pointer, following)[0] if len(following) == struct.calcsize(pointer) else 0


def set_short(file: BinaryIO, start: int, tag: int, value: int) -> None:
    """Change a tag of 16 bits, if the first directory has it, of the TIFF that begins at ``start`` of the file."""
    file.seek(start)
    order, big, offset = _start(file.read(16))
    head, entry = (8, 20) if big else (2, 12)
    file.seek(start + offset)
    (count,) = struct.unpack(order + ("Q" if big else "H"), file.read(head))
    for index in range(count):
        at = start + offset + head + index * entry
        file.seek(at)
        if struct.unpack(order + "H", file.read(2))[0] == tag:
            file.seek(at + entry - (8 if big else 4))
            file.write(struct.pack(order + "H", value))


def exif_orientation(exif: bytes) -> int:
    """Return the orientation of an EXIF block, 1 to 8; 1 where it states none that can be understood."""
    try:
        directory = read_directory(io.BytesIO(exif.removeprefix(b"Exif\0\0")), (ORIENTATION,))
    except (ValueError, struct.error, OverflowError):
        return 1
    orientation = directory.number(ORIENTATION, 1)
    return orientation if 1 <= orientation <= 8 else 1


def with_tags(data: bytes, tags: Iterable[tuple[int, int, int, bytes]]) -> bytes:
    """Add or replace tags (tag, type, count, bytes) of a little-endian classic TIFF of one page.

    The directory is written again behind the data, where there is room for it to grow.
    """
    if data[:4] != b"II*\0":
        raise ValueError("not a little-endian TIFF")
    (offset,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, offset)
    entries = {
        struct.unpack_from("<H", data, at)[0]: data[at : at + 12]
        for at in range(offset + 2, offset + 2 + 12 * count, 12)
    }
    body = bytearray(data)
    for tag, kind, number, value in tags:
        if len(value) <= 4:
            field = value.ljust(4, b"\0")
        else:
            body += b"\0" * (len(body) % 2)
            field = struct.pack("<I", len(body))
            body += value
        entries[tag] = struct.pack("<HHI", tag, kind, number) + field
    body += b"\0" * (len(body) % 2)
    struct.pack_into("<I", body, 4, len(body))
    body += struct.pack("<H", len(entries)) + b"".join(entries[tag] for tag in sorted(entries)) + b"\0\0\0\0"
    return bytes(body)
