"""Resolution: pixels for a millimetre, across and down, from and to the units that files count in."""

from __future__ import annotations

import io
import struct

from i2i.images import tags

Resolution = tuple[float, float]
INCH, CENTIMETRE, METRE = 25.4, 10.0, 1000.0
"""In millimetres."""

X, Y, UNIT = 282, 283, 296
"""Tags of TIFF and EXIF: two fractions, and their unit."""
_LEAST, _MOST = 1e-3, 1e6  # pixels for a millimetre; all that can be written lies between
_UNITS = {2: INCH, 3: CENTIMETRE}


def per_millimetre(across: float, down: float, unit: float | None) -> Resolution | None:
    """Return the resolution of counts for a ``unit`` in millimetres; None without a unit or for impossible numbers."""
    if not unit or not all(_LEAST < count / unit < _MOST for count in (across, down)):
        return None
    return across / unit, down / unit


def per_inch(resolution: Resolution) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return pixels for an inch as the two fractions of TIFF and EXIF."""
    from fractions import Fraction  # it brings decimal numbers with it, which every start would wait for

    across, down = (Fraction(count * INCH).limit_denominator(100).as_integer_ratio() for count in resolution)
    return across, down


def jfif(resolution: Resolution | None) -> bytes:
    """Return the segment that begins a JPEG; b"" for no resolution, or for one that it has no room for."""
    resolution = writable(resolution)
    if resolution is None:
        return b""
    size = [round(count * INCH) for count in resolution]
    if not 1 <= min(size) <= max(size) <= 65535:
        return b""
    return struct.pack(">HH5sHBHHBB", 0xFFE0, 16, b"JFIF\0", 0x0102, 1, *size, 0, 0)


def of_tiff(directory: tags.Directory) -> Resolution | None:
    """Return the resolution that a directory states."""
    across, down = (directory.tags.get(tag) for tag in (X, Y))
    if not (isinstance(across, tuple) and isinstance(down, tuple) and len(across) == len(down) == 2):
        return None
    if not across[1] or not down[1]:
        return None
    unit = _UNITS.get(directory.number(UNIT, 2))
    return per_millimetre(across[0] / across[1], down[0] / down[1], unit)


def of_exif(exif: bytes) -> Resolution | None:
    """Return the resolution that an EXIF block states."""
    try:
        return of_tiff(tags.read_directory(io.BytesIO(exif.removeprefix(b"Exif\0\0")), (X, Y, UNIT)))
    except (ValueError, struct.error, OverflowError):
        return None


def writable(resolution: Resolution | None) -> Resolution | None:
    """Return the resolution if files can hold it, else None."""
    return resolution and per_millimetre(*resolution, 1.0)


def counted(resolution: Resolution | None, unit: float) -> tuple[int, int] | None:
    """Return whole pixels for a unit of that many millimetres, across and down, or None."""
    known = writable(resolution)
    return known and (round(known[0] * unit), round(known[1] * unit))
