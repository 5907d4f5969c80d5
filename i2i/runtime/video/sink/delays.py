"""The delays of an animation's frames, in its file: FFmpeg's muxers guess how long the last frame is shown."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path


def set_length(path: Path, container: str, seconds: Fraction) -> bool:
    """Change the last frame's delay in a GIF, APNG or WebP so that the whole is shown for that time.

    Returns False for a still picture, which has no delays.
    """
    data = bytearray(path.read_bytes())
    find, read, write = _FORMATS[container]
    places = list(find(data))
    if not places:
        return False
    left = seconds - sum((read(data, at) for at in places[:-1]), Fraction(0))
    write(data, places[-1], max(Fraction(0), left))
    path.write_bytes(data)
    return True


def _gif_delays(data: bytearray) -> Iterator[int]:
    """Yield the offset of each frame's delay, 2 bytes in 1/100 s (GIF89a, section 23)."""
    at = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
    while data[at] != 0x3B:
        if data[at] == 0x2C:  # an image, with its palette
            at += 11 + (3 << (data[at + 9] & 7) + 1 if data[at + 9] & 0x80 else 0)
        else:
            if data[at + 1] == 0xF9:
                yield at + 4
            at += 2
        while data[at]:  # sub-blocks
            at += 1 + data[at]
        at += 1


def _apng_delays(data: bytearray) -> Iterator[int]:
    """Yield the offset of each frame's delay, a fraction of two 16-bit numbers in the chunk fcTL."""
    at = 8
    while at < len(data):
        if data[at + 4 : at + 8] == b"fcTL":
            yield at + 8 + 20
        at += 12 + int.from_bytes(data[at : at + 4], "big")


def _webp_delays(data: bytearray) -> Iterator[int]:
    """Yield the offset of each frame's duration, 3 bytes in ms in the chunk ANMF."""
    at = 12
    while at < len(data):
        if data[at : at + 4] == b"ANMF":
            yield at + 8 + 12
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8 + length + length % 2


def _read_gif(data: bytearray, at: int) -> Fraction:
    return Fraction(int.from_bytes(data[at : at + 2], "little"), 100)


def _write_gif(data: bytearray, at: int, delay: Fraction) -> None:
    data[at : at + 2] = min(0xFFFF, round(100 * delay)).to_bytes(2, "little")


def _read_apng(data: bytearray, at: int) -> Fraction:
    above, below = struct.unpack_from(">HH", data, at)
    return Fraction(above, below or 100)


def _write_apng(data: bytearray, at: int, delay: Fraction) -> None:
    most = 0xFFFF  # of either number
    delay = min(delay, Fraction(most)).limit_denominator(most // max(1, math.ceil(delay)) or 1)
    struct.pack_into(">HH", data, at, delay.numerator, delay.denominator)
    begin = at - 24  # of the chunk's name, with which its checksum begins
    struct.pack_into(">I", data, begin + 4 + 26, zlib.crc32(data[begin : begin + 4 + 26]))


def _read_webp(data: bytearray, at: int) -> Fraction:
    return Fraction(int.from_bytes(data[at : at + 3], "little"), 1000)


def _write_webp(data: bytearray, at: int, delay: Fraction) -> None:
    data[at : at + 3] = min(0xFFFFFF, round(1000 * delay)).to_bytes(3, "little")


_Find = Callable[[bytearray], Iterator[int]]
_Read = Callable[[bytearray, int], Fraction]
_Write = Callable[[bytearray, int, Fraction], None]
_FORMATS: dict[str, tuple[_Find, _Read, _Write]] = {
    "gif": (_gif_delays, _read_gif, _write_gif),
    "apng": (_apng_delays, _read_apng, _write_apng),
    "webp": (_webp_delays, _read_webp, _write_webp),
}
