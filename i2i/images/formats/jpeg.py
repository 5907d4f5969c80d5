"""JPEG and MPO: metadata by Pillow, pixels by OpenCV."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator
from dataclasses import replace
from itertools import takewhile
from typing import BinaryIO

import cv2

from i2i.images import resolution, tags
from i2i.images.codecs import Decoded, opencv_decode, opencv_encode, pillow_metadata, plugin
from i2i.images.exif import orientation_of
from i2i.images.image import Header, Image, Metadata, UnsupportedError
from i2i.text import plural

_open = plugin("JpegImagePlugin", "jpeg_factory")

_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_MPF_PICTURES = 0xB001
_SCAN, _END, _PHOTOSHOP, _COMMENT = 0xDA, 0xD9, 0xED, 0xFE
_SAMPLING = {
    b"\x11\x11": "4:4:4", b"\x21\x11": "4:2:2", b"\x12\x11": "4:4:0", b"\x41\x11": "4:1:1",
}  # fmt: skip
"""Sampling factors of the luma and of the chroma -> ``coding``; 4:2:0, the usual, is ""."""

_GAIN_MAP, _ISO_GAIN_MAP = "HDR gain map", b"urn:iso:std:iso:ts:21496:-1\0"
_BESIDE = {
    rb"http://ns\.adobe\.com/hdr-gain-map/": _GAIN_MAP,
    rb"\b(MotionPhoto|MicroVideo)(=[\"']|>)1": "video of a motion photo",
}
"""What the XMP of a phone's photograph declares to follow the picture, and its name."""


def header(file: BinaryIO) -> Header:
    """Read the header; ``frames`` counts the pictures of an MPO.

    Parsed here, since importing Pillow would take a tenth of the time of translating one image.
    """
    width = height = components = frames = 0
    exif = xmp = None
    sampling = b""
    found: resolution.Resolution | None = None
    profile: dict[int, bytes] = {}
    beside: set[str] = set()
    for marker, length in _segments(file):
        if marker in (_SCAN, _END):
            break
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # frame header
            depth, height, width, components = struct.unpack(">BHHB", file.read(6))
            sampling = file.read(8)[1::3][:2] if components == 3 else b""  # of the luma and one chroma
            if depth != 8:
                raise UnsupportedError(f"a JPEG of {depth} bits, which is not supported; convert it to PNG or TIFF")
            continue
        data = file.read(max(length, 0)) if marker in (0xE0, 0xE1, 0xE2) else b""
        if data.startswith(b"JFIF\0") and len(data) >= 12 and found is None:
            unit, across, down = struct.unpack_from(">BHH", data, 7)
            found = resolution.per_millimetre(across, down, {1: resolution.INCH, 2: resolution.CENTIMETRE}.get(unit))
        elif data.startswith(b"Exif\0\0"):
            exif = exif or data
        elif data.startswith(_XMP):
            xmp = xmp or data[len(_XMP) :]
        elif data.startswith(b"ICC_PROFILE\0") and len(data) > 14:
            profile[data[12]] = data[14:]
        elif data.startswith(b"MPF\0"):
            frames = _pictures(data[4:])
        elif data.startswith(_ISO_GAIN_MAP):
            beside.add(_GAIN_MAP)
    if components not in (1, 3, 4):
        raise ValueError(
            "JPEG without a frame header" if not components else f"JPEG of {plural(components, 'component')}"
        )
    found = found or (resolution.of_exif(exif) if exif else None)
    beside |= {name for pattern, name in _BESIDE.items() if re.search(pattern, xmp or b"")}
    frames -= _GAIN_MAP in beside  # which is a picture too
    return Header(
        width, height, 1 if components == 1 else 3, frames=max(1, frames), orientation=orientation_of(exif, xmp),
        icc=b"".join(profile[number] for number in sorted(profile)) or None, resolution=found,
        lost=(*sorted(beside), *["CMYK"] * (components == 4)), coding=_SAMPLING.get(sampling, ""),
    )  # fmt: skip


def _segments(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Yield marker and length of each segment up to the first scan, with the file at the segment's data."""
    at = 2
    for _ in range(100_000):
        file.seek(at)
        head = file.read(4)
        if len(head) < 4:
            raise ValueError("it is truncated before the image begins")
        if head[0] != 0xFF or head[1] in (0x00, 0xFF, 0x01) or 0xD0 <= head[1] <= 0xD8:  # fill bytes, or junk
            at += 1
            continue
        length = struct.unpack(">H", head[2:])[0]
        yield head[1], length - 2
        at += 2 + length


def _pictures(index: bytes) -> int:
    """Return the number of pictures that the index of an MPO lists."""
    try:
        return tags.read_directory(io.BytesIO(index), (_MPF_PICTURES,)).number(_MPF_PICTURES, 1)
    except (ValueError, struct.error, OverflowError):
        return 1


def metadata(file: BinaryIO) -> Metadata:
    """Return EXIF and XMP."""
    found = pillow_metadata(_open, file)
    markers = {marker for marker, _ in takewhile(lambda segment: segment[0] not in (_SCAN, _END), _segments(file))}
    names = {_PHOTOSHOP: "IPTC or other data of Photoshop", _COMMENT: "comment"}
    return replace(found, unread=tuple(name for marker, name in names.items() if marker in markers))


def decode(data: bytes, header: Header, reduction: int = 1) -> Decoded:
    """Decode the first picture, or one of its sides divided by 2, 4 or 8, which the DCT's own scaling makes cheap."""
    if data.rfind(b"\xff\xd9", data.find(b"\xff\xda")) < 0:
        raise ValueError("it is truncated (no end-of-image marker)")  # OpenCV's message would not say so
    return opencv_decode(data, header, reduction)


def encode(image: Image, quality: int) -> bytes:
    """Encode the image with its profile, resolution and metadata."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    if image.coding in _SAMPLING.values():  # else OpenCV's, 4:2:0
        factor = getattr(cv2, f"IMWRITE_JPEG_SAMPLING_FACTOR_{image.coding.replace(':', '')}")
        options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor]
    data = opencv_encode(image, ".jpg", options)
    at = 4 + struct.unpack(">H", data[4:6])[0] if data[2:4] == b"\xff\xe0" else 2
    jfif = resolution.jfif(image.resolution)
    segments = blocks(image.metadata, image.resolution) if jfif else data[2:at] + blocks(image.metadata, None)
    return data[:2] + segments + _profile(image.icc or b"") + data[at:]


def blocks(metadata: Metadata | None, found: resolution.Resolution | None) -> bytes:
    """Return the segments of resolution and metadata, which come first in a file."""
    jfif = resolution.jfif(found)
    if metadata is None:
        return jfif
    parts = [b"Exif\0\0" + metadata.exif] if metadata.exif else []
    parts += [_XMP + metadata.xmp] if metadata.xmp else []
    return jfif + b"".join(b"\xff\xe1" + struct.pack(">H", 2 + len(part)) + part for part in parts)


def stripwise(file: BinaryIO, header: Header) -> bool:
    """True: libvips reads every JPEG as OpenCV does."""
    return True


def strip_options(size: int, quality: int, coding: str) -> dict[str, object]:
    """Return options of libvips for a file of ``size`` bytes before compression."""
    return {"Q": quality, "subsample_mode": "off" if coding in ("4:4:4", "4:2:2", "4:4:0") else "on"}


def drop_unit(file: BinaryIO) -> None:
    """Do nothing: one pixel an inch, which libvips writes for no resolution, is read as none."""


def _profile(icc: bytes) -> bytes:
    """Return the profile in as many segments as it needs; nothing where 255 are too few."""
    parts = [icc[at : at + 65519] for at in range(0, len(icc), 65519)]
    if len(parts) > 255:
        return b""
    return b"".join(
        b"\xff\xe2" + struct.pack(">H", 16 + len(part)) + b"ICC_PROFILE\0" + bytes([number, len(parts)]) + part
        for number, part in enumerate(parts, 1)
    )
