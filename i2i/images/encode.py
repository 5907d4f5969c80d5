"""Pixels to bytes, by OpenCV's encoders; what those leave out is added to their files here."""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from i2i.atomic import atomically
from i2i.images import jp2, resolution, tags
from i2i.images.image import Image, ImageError, convert, flatten
from i2i.images.metadata import embed, left_out, png_chunk, webp_file, webp_parts
from i2i.images.resolution import counted, writable

# Suffixes that may be kept, since their formats are written; a file of another format gets ".png" behind its name.
_KEPT = "png jpg jpeg jpe jfif mpo webp tif tiff bmp dib ppm pgm pbm pnm jp2"
KEPT = frozenset("." + suffix for suffix in _KEPT.split())


WRITABLE = {
    "PNG": ".png",
    "JPEG": ".jpg",
    "WEBP": ".webp",
    "TIFF": ".tif",
    "BMP": ".bmp",
    "PNM": ".ppm",
    "JPEG2000": ".jp2",
}
"""Formats that are written, each with its usual suffix. GIF and ICO are read only."""

_SUFFIXES = {
    ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".jfif": "JPEG", ".mpo": "JPEG",
    ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF", ".bmp": "BMP", ".dib": "BMP", ".ppm": "PNM", ".pgm": "PNM",
    ".pbm": "PNM", ".pnm": "PNM", ".jp2": "JPEG2000",
}  # fmt: skip


@dataclass(frozen=True)
class Holds:
    """What a written file of a format can hold. What an image has beyond it is converted or left out, and named."""

    bits: int = 8
    alpha: bool = False
    grey: bool = True
    grey_alpha: bool = False
    profile: bool = False
    resolution: bool = False


HOLDS = {
    "PNG": Holds(16, True, grey_alpha=True, profile=True, resolution=True),
    "JPEG": Holds(profile=True, resolution=True),
    "WEBP": Holds(alpha=True, grey=False, profile=True),
    "TIFF": Holds(16, True, profile=True, resolution=True),
    "BMP": Holds(alpha=True, resolution=True),
    "PNM": Holds(16),
    "JPEG2000": Holds(16, True, profile=True),
}
"""By the formats of ``WRITABLE``. EXIF and XMP, which depend on their length too, are in ``metadata.left_out``."""


def write_image(
    path: str | os.PathLike[str], image: Image, format: str | None = None, quality: int = 95, strict: bool = False
) -> None:
    """Write the whole file or none: under a temporary name in the same folder, then renamed.

    ``format`` is that of the suffix unless given. What the format cannot hold is converted (alpha composited on white,
    16 bits rounded to 8) or left out, and ``losses`` names it; with ``strict`` it is an ImageError where pixels are
    concerned. ``quality`` (0 to 100) is of JPEG and WebP; a WebP of quality 100 is lossless.
    """
    path = Path(path)
    format = format or format_of(path)
    data = encode_image(image, format, quality, strict, path)
    try:
        # Not durable: to wait for the disk at every image would be slow, and a job makes again what is missing.
        atomically(path, lambda temporary: temporary.write_bytes(data), durable=False)
    except OSError as error:
        raise ImageError(path, f"cannot be written: {error.strerror}") from error


def format_of(path: Path) -> str:
    """The format that the suffix of a file to be written means; ImageError for one that is not written."""
    format = _SUFFIXES.get(path.suffix.lower())
    if format is None:
        what = f"cannot write a '{path.suffix}' file" if path.suffix else "no suffix says in which format to write it"
        raise ImageError(path, f"{what}; choose one of {' '.join(WRITABLE.values())}")
    return format


def encode_image(
    image: Image, format: str, quality: int = 95, strict: bool = False, name: str | os.PathLike[str] = "<bytes>"
) -> bytes:
    """The bytes of a file of that format; ``name`` is for the error."""
    if format not in WRITABLE:
        raise ImageError(name, f"cannot write {format} files; choose one of {', '.join(WRITABLE)}")
    lost = _lost_pixels(image, format)
    if lost and strict:
        raise ImageError(name, f"{format} cannot hold {' or '.join(lost)}; choose PNG or TIFF")
    pixels, alpha = fitting(image, format)
    if not _keeps_profile(image, format):
        image = replace(image, icc=None)
    try:
        if alpha is not None and pixels.shape[2] == 1:
            data = _png_grey_alpha(pixels, alpha)
        else:
            data = _cv2(pixels, alpha, format, quality)
    except cv2.error as error:
        raise ImageError(name, f"cannot be written as {format}: {str(error).strip()}") from error
    extras = {
        "PNG": _png_chunks, "JPEG": _jpeg_parts, "WEBP": _webp_profile, "TIFF": _tiff_tags, "BMP": _bmp_size,
        "JPEG2000": _jp2_profile,
    }  # fmt: skip
    data = extras[format](data, image, alpha) if format in extras else data
    if image.metadata is None:
        return data
    return embed(data, format, image.metadata, image.width, image.height, alpha is not None, writable(image.resolution))


def losses(image: Image, format: str) -> list[str]:
    """Return the names of everything that the image has and a file of that format, written here, does not hold."""
    lost = _lost_pixels(image, format)
    lost += [] if _keeps_profile(image, format) else ["colour profile"]
    lost += ["resolution"] if writable(image.resolution) and not HOLDS[format].resolution else []
    return lost + (left_out(image.metadata, format) if image.metadata is not None else [])


def _lost_pixels(image: Image, format: str) -> list[str]:
    """Return what is lost of the pixels. An alpha that is opaque throughout is no loss."""
    lost = ["16 bits"] if image.bits > HOLDS[format].bits else []
    if image.alpha is not None and not HOLDS[format].alpha and int(image.alpha.min()) < 2**image.bits - 1:
        lost.append("alpha")
    return lost


def _keeps_profile(image: Image, format: str) -> bool:
    """True unless a file of that format loses the image's colour profile: one of grey describes no colours."""
    alpha = image.alpha if HOLDS[format].alpha else None
    coloured = image.channels == 1 and _becomes_colours(alpha, format)
    return image.icc is None or (HOLDS[format].profile and not coloured)


def _becomes_colours(alpha: np.ndarray | None, format: str) -> bool:
    """True if a grey image with this alpha is written as colours."""
    return not HOLDS[format].grey or (alpha is not None and not HOLDS[format].grey_alpha)


def fitting(image: Image, format: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the colours and the alpha of an image, converted to what the format can hold."""
    pixels, alpha = image.pixels, image.alpha
    if alpha is not None and not HOLDS[format].alpha:
        pixels, alpha = flatten(image), None
    if image.bits > HOLDS[format].bits:
        pixels = convert(pixels, image.channels, 8)
        alpha = None if alpha is None else convert(alpha[..., None], 1, 8)[..., 0]
    if pixels.shape[2] == 1 and _becomes_colours(alpha, format):
        pixels = convert(pixels, 3, 8 * pixels.dtype.itemsize)
    return pixels, alpha


def _cv2(pixels: np.ndarray, alpha: np.ndarray | None, format: str, quality: int) -> bytes:
    if alpha is not None:
        pixels = cv2.cvtColor(np.dstack([pixels, alpha]), cv2.COLOR_RGBA2BGRA)
    elif pixels.shape[2] == 3:
        pixels = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2BGR)
    options: list[int] = []
    if format == "JPEG":
        options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    elif format == "WEBP":
        options = [cv2.IMWRITE_WEBP_QUALITY, quality if quality < 100 else 101]
    elif format == "JPEG2000":
        options = [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000]
    suffix = ".pgm" if format == "PNM" and pixels.shape[2] == 1 else WRITABLE[format]
    done, data = cv2.imencode(suffix, pixels, options)
    if not done:
        raise cv2.error(f"OpenCV cannot encode {pixels.shape[1]} x {pixels.shape[0]} pixels; choose PNG or TIFF")
    return data.tobytes()


def _png_grey_alpha(pixels: np.ndarray, alpha: np.ndarray) -> bytes:
    """OpenCV writes no grey with alpha; rows are stored as differences from the row above."""
    height, width = alpha.shape
    big_endian = np.dstack([pixels, alpha]).astype(">u2" if pixels.dtype == np.uint16 else "u1")
    rows = np.frombuffer(big_endian.tobytes(), np.uint8).reshape(height, -1)
    filtered = np.full((height, rows.shape[1] + 1), 2, np.uint8)
    filtered[:, 1:] = rows
    filtered[1:, 1:] -= rows[:-1]
    head = struct.pack(">IIBBBBB", width, height, 8 * pixels.dtype.itemsize, 4, 0, 0, 0)
    body = png_chunk(b"IHDR", head) + png_chunk(b"IDAT", zlib.compress(filtered.tobytes(), 4)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def _png_chunks(data: bytes, image: Image, alpha: np.ndarray | None) -> bytes:
    size = counted(image.resolution, resolution.METRE)
    chunks = png_chunk(b"iCCP", b"icc\0\0" + zlib.compress(image.icc)) if image.icc else b""
    chunks += png_chunk(b"pHYs", struct.pack(">IIB", *size, 1)) if size else b""
    at = 8 + 25  # behind the signature and IHDR
    return data[:at] + chunks + data[at:]


def _jpeg_parts(data: bytes, image: Image, alpha: np.ndarray | None) -> bytes:
    known = writable(image.resolution)
    jfif = known and resolution.jfif(known)
    if jfif and data[2:4] == b"\xff\xe0":
        data = data[:2] + jfif + data[2 + len(jfif) :]
    if not image.icc:
        return data
    parts = [image.icc[at : at + 65519] for at in range(0, len(image.icc), 65519)]
    if len(parts) > 255:
        return data
    segments = [
        b"\xff\xe2" + struct.pack(">H", 16 + len(part)) + b"ICC_PROFILE\0" + bytes([number, len(parts)]) + part
        for number, part in enumerate(parts, 1)
    ]
    at = 2
    if data[2:4] == b"\xff\xe0":  # JFIF comes first
        at += 2 + struct.unpack(">H", data[4:6])[0]
    return data[:at] + b"".join(segments) + data[at:]


def _webp_profile(data: bytes, image: Image, alpha: np.ndarray | None) -> bytes:
    if not image.icc:
        return data
    head, body = webp_parts(data, image.width, image.height, alpha is not None)
    head[0] |= 0x20
    profile = b"ICCP" + struct.pack("<I", len(image.icc)) + image.icc + b"\0" * (len(image.icc) % 2)
    return webp_file(head, profile + body)


def _jp2_profile(data: bytes, image: Image, alpha: np.ndarray | None) -> bytes:
    return jp2.with_profile(data, image.icc) if image.icc else data


def _tiff_tags(data: bytes, image: Image, alpha: np.ndarray | None) -> bytes:
    entries = []
    if alpha is not None:
        entries.append((tags.EXTRA_SAMPLES, 3, 1, struct.pack("<H", 2)))  # not premultiplied; OpenCV leaves it unsaid
    known = writable(image.resolution)
    if known is not None:
        for tag, fraction in zip((resolution.X, resolution.Y), resolution.per_inch(known), strict=True):
            entries.append((tag, 5, 1, struct.pack("<II", *fraction)))
        entries.append((resolution.UNIT, 3, 1, struct.pack("<H", 2)))
    if image.icc:
        entries.append((tags.ICC, 7, len(image.icc), image.icc))
    return tags.with_tags(data, entries) if entries else data


def _bmp_size(data: bytes, image: Image, alpha: np.ndarray | None) -> bytes:
    size = counted(image.resolution, resolution.METRE)
    return data[:38] + struct.pack("<ii", *size) + data[46:] if size else data
