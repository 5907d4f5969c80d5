"""PNG and APNG: headers and metadata by our own walk over the chunks, pixels by OpenCV.

Pillow is not used for the header: it refuses a picture for a long text or a wrong checksum beside the pixels, does not
read EXIF behind them, and does not notice a chunk that claims gigabytes, which OpenCV would ask for.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO

import numpy as np

from i2i.images import resolution
from i2i.images.codecs import Decoded, opencv_decode, opencv_encode, tags_lost
from i2i.images.exif import orientation_of
from i2i.images.image import Header, Image, Metadata

_LIMIT = 16 << 20  # bytes of a profile or of metadata, and of all that a file has compressed
_MOST_RATIO = 1032  # bytes that one byte of a zlib stream can become
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_SRGB = {b"gAMA": (45455,), b"cHRM": (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)}
"""Numbers in these chunks that mean sRGB, in 1/100,000; programs round them differently."""
_ROUNDING = 50
_COLOURS = (*_SRGB, b"sRGB", b"cICP", b"mDCV", b"cLLI")
_TEXTS = (b"eXIf", b"iTXt", b"zTXt", b"tEXt")


def header(file: BinaryIO) -> Header:
    """Read the header. Its ``hint`` is the grey level that is transparent, as the decoder scales it, or None."""
    file.seek(8)
    first = file.read(25)
    length, kind, width, height, depth, colour, crc = struct.unpack(">I4sIIBB3xI", first)
    if kind != b"IHDR" or length != 13:
        raise ValueError("PNG without an IHDR chunk")
    if zlib.crc32(first[4:21]) != crc:  # before memory is asked for by a damaged width
        raise ValueError("the checksum of the IHDR chunk is wrong")
    if depth not in _DEPTHS.get(colour, ()):
        raise ValueError(f"PNG of colour type {colour} with {depth} bits")
    alpha, key, icc, frames, orientation = colour in (4, 6), None, None, 1, 1
    found = in_exif = None
    colours: dict[bytes, bytes] = {}
    inflate = _Inflater()
    for kind, length in chunks(file):
        if kind == b"tRNS":
            alpha = True
            if colour == 0:
                level = struct.unpack(">H", file.read(2))[0] & (2**depth - 1)
                key = level * 255 // (2**depth - 1) if depth < 8 else level
        elif kind == b"iCCP" and length <= _LIMIT:
            icc = inflate(file.read(length).partition(b"\0")[2][1:])
        elif kind == b"acTL":
            frames = max(1, struct.unpack(">I", file.read(4))[0])
        elif kind == b"pHYs" and length == 9:
            across, down, unit = struct.unpack(">IIB", file.read(9))
            found = resolution.per_millimetre(across, down, resolution.METRE if unit == 1 else None)
        elif kind in _COLOURS and length <= _LIMIT:
            colours[kind] = file.read(length)
        elif kind in _TEXTS and length <= _LIMIT:
            exif, xmp = _metadata(kind, file.read(length), inflate)
            orientation = orientation_of(exif, xmp) if orientation == 1 else orientation
            in_exif = resolution.of_exif(exif) if kind == b"eXIf" and exif else in_exif
    return Header(
        width, height, 1 if colour in (0, 4) else 3, 16 if depth == 16 else 8, alpha, frames, orientation, icc,
        resolution=found or in_exif, lost=_lost(colours, icc), hint=key,
    )  # fmt: skip


def metadata(file: BinaryIO) -> Metadata:
    """Return the first EXIF and the first XMP."""
    exif = xmp = None
    unread: dict[str, None] = {}
    inflate = _Inflater()
    for kind, length in chunks(file):
        if kind in _TEXTS and length <= _LIMIT:
            data = file.read(length)
            in_exif, in_xmp = _metadata(kind, data, inflate)
            exif, xmp = exif or in_exif, xmp or in_xmp
            if in_exif is in_xmp is None:
                unread["text " + _keyword(data)] = None
    return Metadata(exif, xmp, tuple(unread))


def decode(data: bytes, header: Header) -> Decoded:
    """Decode the first frame."""
    key = header.hint
    if key is None:
        return opencv_decode(data, header)
    pixels, _ = opencv_decode(data, replace(header, alpha=False))
    return pixels, np.where(pixels[..., 0] == key, 0, 2**header.bits - 1).astype(pixels.dtype)


def encode(image: Image, quality: int) -> bytes:
    """Encode the image with its profile, resolution and metadata."""
    if image.alpha is not None and image.channels == 1:
        data = _grey_alpha(image.pixels, image.alpha)
    else:
        data = opencv_encode(image, ".png")
    size = resolution.counted(image.resolution, resolution.METRE)
    more = chunk(b"iCCP", b"icc\0\0" + zlib.compress(image.icc)) if image.icc else b""
    more += chunk(b"pHYs", struct.pack(">IIB", *size, 1)) if size else b""
    at = 8 + 25  # behind the signature and IHDR
    return data[:at] + blocks(image.metadata, image.resolution) + more + data[at:]


def blocks(metadata: Metadata | None, found: resolution.Resolution | None) -> bytes:
    """Return the chunks of metadata, which follow IHDR; the encoders write the resolution."""
    if metadata is None:
        return b""
    data = chunk(b"eXIf", metadata.exif) if metadata.exif else b""
    return data + (chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + metadata.xmp) if metadata.xmp else b"")


def stripwise(file: BinaryIO, header: Header) -> bool:
    """True: libvips reads every PNG as OpenCV does."""
    return True


def strip_options(size: int, quality: int, coding: str) -> dict[str, object]:
    """Return options of libvips for a file of ``size`` bytes before compression."""
    return {}


def drop_unit(file: BinaryIO) -> None:
    """Make pHYs, which libvips always writes, state no unit."""
    for kind, length in chunks(file):
        if kind == b"IDAT":
            return
        if kind != b"pHYs":
            continue
        start = file.tell()
        file.seek(start + 8)
        file.write(b"\0")
        file.seek(start)
        checksum = zlib.crc32(kind + file.read(length))
        file.write(struct.pack(">I", checksum))


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return one chunk with its length and checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yield kind and length of each chunk up to IEND, the file placed at its data.

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


def _keyword(data: bytes) -> str:
    """Return the keyword of a text as one line, whatever a program wrote into it."""
    word = data.partition(b"\0")[0][:79].decode("latin-1")
    return "".join(each if each.isprintable() else f"\\x{ord(each):02x}" for each in word)


def _metadata(kind: bytes, data: bytes, inflate: _Inflater) -> tuple[bytes | None, bytes | None]:
    """Return EXIF and XMP of a chunk: eXIf, or a text in which XMP or ImageMagick's EXIF is stored."""
    if kind == b"eXIf":
        return data.removeprefix(b"Exif\0\0"), None
    word, _, text = data.partition(b"\0")
    if word not in (b"XML:com.adobe.xmp", b"Raw profile type exif"):
        return None, None
    packed = text[:1] == b"\1" if kind == b"iTXt" else kind == b"zTXt"
    if kind == b"iTXt":
        text = text[2:].split(b"\0", 2)[-1]  # behind two flags, the language and the translated keyword
    elif packed:
        text = text[1:]
    unpacked = inflate(text) if packed else text
    if unpacked is None or word == b"XML:com.adobe.xmp":
        return None, unpacked
    digits = b"".join(unpacked.split()[2:])  # behind a name and a length
    if kind == b"iTXt" or not re.fullmatch(rb"(?:[0-9a-fA-F]{2})+", digits):
        return None, None
    return bytes.fromhex(digits.decode("ascii")).removeprefix(b"Exif\0\0"), None


def _lost(colours: dict[bytes, bytes], icc: bytes | None) -> tuple[str, ...]:
    """Return the names of what the colour chunks state beyond sRGB, where neither a profile nor sRGB replaces it."""
    replaced = icc is not None or b"sRGB" in colours
    lost = [
        f"colours of {kind.decode()}" for kind in _SRGB if not replaced and not _means_srgb(kind, colours.get(kind))
    ]
    if len(tags := colours.get(b"cICP", b"")) == 4:
        lost += tags_lost(tags[0], tags[1], icc)
    return tuple(lost) + ("HDR light levels",) * bool(colours.keys() & {b"mDCV", b"cLLI"})


def _means_srgb(kind: bytes, data: bytes | None) -> bool:
    """True if a chunk of ``_SRGB`` states sRGB, or, missing or damaged, nothing."""
    usual = _SRGB[kind]
    if data is None or len(data) != 4 * len(usual):
        return True
    found = struct.unpack(f">{len(usual)}I", data)
    return all(abs(one - other) <= _ROUNDING for one, other in zip(found, usual, strict=True))


class _Inflater:
    """The zlib streams of one file, which may have thousands of them: together they become _LIMIT bytes at most."""

    def __init__(self) -> None:
        self._left = _LIMIT

    def __call__(self, data: bytes) -> bytes | None:
        """Return what a stream becomes; None where it is damaged, or longer than what is left of the limit."""
        if not self._left:  # which zlib takes for no limit
            return None
        stream = zlib.decompressobj()
        try:
            text = stream.decompress(data, self._left)
        except zlib.error:
            self._left -= min(self._left, _MOST_RATIO * len(data))  # how far it came is not known
            return None
        self._left -= len(text)
        return None if stream.unconsumed_tail else text


def _grey_alpha(pixels: np.ndarray, alpha: np.ndarray) -> bytes:
    """Encode grey with alpha, which OpenCV does not write; rows are stored as differences from the row above."""
    height, width = alpha.shape
    big_endian = np.dstack([pixels, alpha]).astype(">u2" if pixels.dtype == np.uint16 else "u1")
    rows = np.frombuffer(big_endian.tobytes(), np.uint8).reshape(height, -1)
    filtered = np.full((height, rows.shape[1] + 1), 2, np.uint8)
    filtered[:, 1:] = rows
    filtered[1:, 1:] -= rows[:-1]
    head = struct.pack(">IIBBBBB", width, height, 8 * pixels.dtype.itemsize, 4, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(filtered.tobytes(), 4)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body
