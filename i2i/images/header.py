"""What a file says about its image, read without decoding a pixel.

An image is decoded only after this: the format is known by its first bytes and is one of a short list, and the size is
within the limit, so a file of 50 kB that would unfold to gigabytes costs nothing.
"""

from __future__ import annotations

import io
import os
import re
import stat
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from i2i.images import tiff
from i2i.images.pixels import ImageError

MAX_PIXELS = 100_000_000
_ICC_LIMIT = 16 << 20


class _Unsupported(ValueError):
    """A sound file of a kind that is not read here."""


@dataclass(frozen=True)
class Header:
    """The size is that of the upright image; ``channels`` counts colour (1 or 3) and not alpha."""

    format: str
    width: int
    height: int
    channels: int = 3
    bits: int = 8
    alpha: bool = False
    frames: int = 1
    orientation: int = 1  # 1 to 8, as EXIF numbers them
    icc: bytes | None = None
    decoder: str = "cv2"  # "cv2", "pillow" or "pnm"
    key: int | None = None  # the grey level that is transparent, as the decoder scales it
    start: int = 0  # where the pixels of a PNM begin
    peak: int = 255  # the largest value of a PNM


def read_header(path: str | os.PathLike[str], max_pixels: int = MAX_PIXELS) -> Header:
    """Raises ImageError where the file cannot be opened, is no image of a known format, or is too large."""
    try:
        with open_regular(path) as file:
            return parse_header(file, path, max_pixels)
    except OSError as error:
        raise ImageError(path, error.strerror or str(error)) from error


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """The file, open for reading; an OSError for a pipe or a device, on which a read might never return."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(None, "not a regular file", os.fspath(path))
    return open(path, "rb")


def parse_header(file: BinaryIO, path: str | os.PathLike[str], max_pixels: int = MAX_PIXELS) -> Header:
    """The header of an open file; ``path`` is for the error."""
    start = file.read(32)
    parse = _parser(start)
    if parse is None:
        raise ImageError(path, _unknown(start, Path(path).suffix))
    try:
        header = parse(file)
    except _Unsupported as error:
        raise ImageError(path, str(error)) from error
    except (struct.error, ValueError, IndexError, OverflowError, zlib.error) as error:
        detail = "" if isinstance(error, (struct.error, IndexError)) else f": {error}"
        raise ImageError(path, f"truncated or damaged header{detail}") from error
    if header.width < 1 or header.height < 1:
        raise ImageError(path, f"damaged header: a size of {header.width} x {header.height}")
    if header.width * header.height > max_pixels:
        raise ImageError(
            path,
            f"{header.width} x {header.height} is {header.width * header.height:,} pixels, "
            f"more than the limit of {max_pixels:,} (raise max_pixels if the file is to be trusted)",
        )
    if header.orientation >= 5:
        header = replace(header, width=header.height, height=header.width)
    space = {1: b"GRAY", 3: b"RGB "}[header.channels]  # a profile of CMYK does not fit the RGB that we return
    if header.icc is not None and header.icc[16:20] != space:
        header = replace(header, icc=None)
    return header


def _parser(start: bytes) -> Callable[[BinaryIO], Header] | None:
    if tiff.is_tiff(start):
        return _tiff
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return _webp
    if re.match(rb"P[1-6][\s#]", start):
        return _pnm
    return next((parse for magic, parse in _MAGIC.items() if start.startswith(magic)), None)


def _unknown(start: bytes, suffix: str) -> str:
    if not start:
        return "the file is empty"
    if re.match(rb"\s*(<!doctype|<html|<\?xml|<svg)", start, re.IGNORECASE):
        return "this is HTML, XML or SVG text, not an image"
    known = {
        b"qoif": "QOI", b"8BPS": "Photoshop", b"Pf": "float PFM", b"PF": "float PFM", b"P7": "PAM",
        b"v/1\x01": "OpenEXR", b"#?RADIANCE": "Radiance HDR", b"\xff\x0a": "JPEG XL", b"DDS ": "DDS", b"%PDF": "PDF",
    }  # fmt: skip
    name = next((name for magic, name in known.items() if start.startswith(magic)), None)
    if start[4:8] == b"ftyp":
        name = "AVIF or HEIC"
    elif name is None and suffix.lower() == ".tga":
        name = "TGA"
    if name:
        return f"{name} files are not supported; convert it to PNG or TIFF"
    return f"not an image of a known format (it begins with the bytes {start[:8].hex(' ')})"


def _xmp_orientation(xmp: bytes) -> int:
    found = re.search(rb"tiff:Orientation(?:=[\"']|>)\s*([1-8])", xmp)
    return int(found.group(1)) if found else 1


def _inflate(data: bytes) -> bytes | None:
    """At most 16 MB of a zlib stream; None where it is damaged or longer."""
    stream = zlib.decompressobj()
    try:
        text = stream.decompress(data, _ICC_LIMIT)
    except zlib.error:
        return None
    return None if stream.unconsumed_tail else text


# --- PNG


def _png_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Kind and length of each chunk, the file placed at its data."""
    at = 8
    for _ in range(100_000):
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            return
        length, kind = struct.unpack(">I4s", head)
        yield kind, length
        at += length + 12


def _png(file: BinaryIO) -> Header:
    file.seek(8)
    length, kind, width, height, depth, colour = struct.unpack(">I4sIIBB", file.read(18))
    if kind != b"IHDR" or length != 13:
        raise ValueError("PNG without an IHDR chunk")
    if depth not in {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}.get(colour, ()):
        raise ValueError(f"PNG of colour type {colour} with {depth} bits")
    alpha, key, icc, frames, orientation = colour in (4, 6), None, None, 1, 1
    for kind, length in _png_chunks(file):
        if kind == b"tRNS":
            alpha = True
            if colour == 0:
                level = struct.unpack(">H", file.read(2))[0] & (2**depth - 1)
                key = level * 255 // (2**depth - 1) if depth < 8 else level
        elif kind == b"iCCP" and length <= _ICC_LIMIT:
            icc = _inflate(file.read(length).partition(b"\0")[2][1:])
        elif kind == b"acTL":
            frames = max(1, struct.unpack(">I", file.read(4))[0])
        elif kind in (b"eXIf", b"iTXt", b"zTXt", b"tEXt") and length <= _ICC_LIMIT and orientation == 1:
            orientation = _png_orientation(kind, file.read(length))
        elif kind == b"IEND":
            break
    return Header(
        "PNG", width, height, 1 if colour in (0, 4) else 3, 16 if depth == 16 else 8, alpha, frames, orientation, icc,
        key=key,
    )  # fmt: skip


def _png_orientation(kind: bytes, data: bytes) -> int:
    """From an EXIF chunk, or from XMP or ImageMagick's EXIF (a length and hex digits) in a chunk of text."""
    if kind == b"eXIf":
        return tiff.exif_orientation(data)
    word, _, text = data.partition(b"\0")
    if word == b"XML:com.adobe.xmp":
        return _xmp_orientation(text)
    if word == b"Raw profile type exif":
        profile = text if kind == b"tEXt" else _inflate(text[1:]) or b""
        digits = b"".join(profile.split()[2:])
        return tiff.exif_orientation(bytes.fromhex(digits.decode("ascii"))) if digits.isalnum() else 1
    return 1


# --- JPEG


def _jpeg_segments(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Marker and length of each segment up to the first scan, the file placed at its data."""
    at = 2
    for _ in range(100_000):
        file.seek(at)
        head = file.read(4)
        if len(head) < 4:
            raise ValueError("it ends before the image begins")
        if head[0] != 0xFF or head[1] in (0x00, 0xFF, 0x01) or 0xD0 <= head[1] <= 0xD8:  # filling, or junk to pass over
            at += 1
            continue
        length = struct.unpack(">H", head[2:])[0]
        yield head[1], length - 2
        at += 2 + length


def _jpeg(file: BinaryIO) -> Header:
    width = height = components = frames = 0
    exif_orientation, xmp_orientation = 1, 1
    profile: dict[int, bytes] = {}
    for marker, length in _jpeg_segments(file):
        if marker in (0xDA, 0xD9):
            break
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            depth, height, width, components = struct.unpack(">BHHB", file.read(6))
            if depth != 8:
                raise _Unsupported(f"a JPEG of {depth} bits, which is not supported; convert it to PNG or TIFF")
        elif marker == 0xE1:
            data = file.read(max(length, 0))
            if data.startswith(b"Exif\0\0"):
                exif_orientation = tiff.exif_orientation(data)
            elif data.startswith(b"http://ns.adobe.com/xap/1.0/"):
                xmp_orientation = _xmp_orientation(data)
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
        "JPEG", width, height, 1 if components == 1 else 3, frames=max(1, frames), orientation=orientation, icc=icc
    )


def _mpf_pictures(data: bytes) -> int:
    try:
        return tiff.read_directory(io.BytesIO(data), (tiff.MPF_PICTURES,)).number(tiff.MPF_PICTURES, 1)
    except (ValueError, struct.error, OverflowError):
        return 1


# --- WebP


def _webp(file: BinaryIO) -> Header:
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
    frames, icc, orientation, at = 0, None, 1, 12 + 8 + length + length % 2
    for _ in range(100_000):
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            break
        kind, length = struct.unpack("<4sI", head)
        frames += kind == b"ANMF"
        if kind == b"ICCP" and length <= _ICC_LIMIT:
            icc = file.read(length)
        elif kind == b"EXIF" and length <= _ICC_LIMIT:
            orientation = tiff.exif_orientation(file.read(length))
        at += 8 + length + length % 2
    return Header("WEBP", width, height, 3, 8, bool(data[0] & 0x10), max(1, frames), orientation, icc)


# --- TIFF


def _tiff(file: BinaryIO) -> Header:
    wanted = (
        tiff.WIDTH, tiff.HEIGHT, tiff.BITS, tiff.COMPRESSION, tiff.PHOTOMETRIC, tiff.ORIENTATION, tiff.SAMPLES,
        tiff.EXTRA_SAMPLES, tiff.SAMPLE_FORMAT, tiff.ICC,
    )  # fmt: skip
    directory = tiff.read_directory(file, wanted)
    number = directory.number
    bits, samples, kind = number(tiff.BITS, 1), number(tiff.SAMPLES, 1), number(tiff.SAMPLE_FORMAT, 1)
    if kind == 3:
        raise _Unsupported(f"a floating-point TIFF ({bits} bits); images here are integers: convert it to 8 or 16 bits")
    if kind not in (1, 4) or bits not in (1, 2, 4, 8, 16):
        raise _Unsupported(f"a TIFF of {bits}-bit {'signed ' * (kind == 2)}samples; convert it to 8 or 16 bits")
    photometric = number(tiff.PHOTOMETRIC, 1)
    if photometric not in (0, 1, 2, 3, 5, 6, 8):
        raise _Unsupported(f"a TIFF of photometric interpretation {photometric}; convert it to RGB")
    colours = {0: 1, 1: 1, 3: 1, 5: 4}.get(photometric, 3)
    alpha = samples > colours
    # OpenCV returns RGBA of 8 bits premultiplied, drops the alpha of grey, and has a Lab of its own.
    pillow = photometric == 8 or (alpha and (bits < 16 or colours == 1))
    if pillow and bits == 16:
        raise _Unsupported("a 16-bit TIFF of grey with alpha or of Lab, which no decoder here reads; convert it to PNG")
    orientation = number(tiff.ORIENTATION, 1)
    icc = directory.tags.get(tiff.ICC)
    return Header(
        "TIFF", number(tiff.WIDTH, 0), number(tiff.HEIGHT, 0), 1 if photometric in (0, 1) else 3,
        16 if bits == 16 else 8, alpha and photometric != 5, directory.pages,
        orientation if 1 <= orientation <= 8 else 1,
        icc if isinstance(icc, bytes) else None, "pillow" if pillow else "cv2",
    )  # fmt: skip


# --- the small ones


def _gif(file: BinaryIO) -> Header:
    file.seek(6)
    width, height, flags = struct.unpack("<HHB", file.read(5))
    at = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    frames, alpha = 0, False
    for _ in range(1_000_000):
        file.seek(at)
        head = file.read(10)
        if head[:1] == b"\x2c" and len(head) == 10:
            frames += 1
            left, top, wide, high, flags = struct.unpack("<HHHHB", head[1:])
            if frames == 1:  # the first frame may be larger than the screen it is shown on
                width, height = max(width, left + wide), max(height, top + high)
            at += 10 + (3 << (flags & 7) + 1 if flags & 0x80 else 0) + 1
        elif head[:1] == b"\x21":
            alpha = alpha or (frames == 0 and head[1:3] == b"\xf9\x04" and bool(head[3] & 1))
            at += 2
        else:
            break
        while True:  # the sub-blocks of either
            file.seek(at)
            length = file.read(1)
            at += 1 + (length[0] if length else 0)
            if not length or length == b"\0":
                break
    if not frames:
        raise ValueError("GIF without a frame")
    return Header("GIF", width, height, alpha=alpha, frames=frames, decoder="pillow")


def _bmp(file: BinaryIO) -> Header:
    file.seek(14)
    return _dib(file.read(40), file)


def _dib(head: bytes, file: BinaryIO | None = None) -> Header:
    """The header that BMP and ICO share."""
    (size,) = struct.unpack_from("<I", head)
    if size == 12:
        width, height, _, depth = struct.unpack_from("<HHHH", head, 4)
        compression, used = 0, 0
    else:
        width, height, _, depth, compression = struct.unpack_from("<iiHHI", head, 4)
        (used,) = struct.unpack_from("<I", head, 32)
    if depth not in (1, 4, 8, 16, 24, 32):
        raise ValueError(f"BMP of {depth} bits a pixel")
    grey = False
    if file is not None and depth <= 8:
        file.seek(14 + size)
        entry = 3 if size == 12 else 4
        palette = file.read(entry * min(used or 2**depth, 2**depth))
        grey = len(palette) >= entry and palette[0::entry] == palette[1::entry] == palette[2::entry]
    # Pillow alone reads run lengths that overflow their row, and knows which 32-bit files hold alpha.
    decoder = "pillow" if compression in (1, 2) or depth in (16, 32) else "cv2"
    alpha = depth == 32 and compression in (3, 6)
    return Header("BMP", width, abs(height), 1 if grey else 3, alpha=alpha, decoder=decoder)


def _ico(file: BinaryIO) -> Header:
    file.seek(4)
    (count,) = struct.unpack("<H", file.read(2))
    entries = [struct.unpack("<BBBBHHII", file.read(16)) for _ in range(min(count, 256))]
    if not entries:
        raise ValueError("ICO without an image")
    largest = Header("ICO", 0, 0)
    for *_, offset in entries:
        file.seek(offset)
        head = file.read(40)
        if head.startswith(b"\x89PNG"):
            width, height = struct.unpack_from(">II", head, 16)
        else:
            inner = _dib(head)
            width, height = inner.width, inner.height // 2  # the mask counts as rows
        if width * height > largest.width * largest.height:
            largest = Header("ICO", width, height, alpha=True, decoder="pillow")
    return largest


def _jp2(file: BinaryIO) -> Header:
    file.seek(0)
    start = file.read(65536)
    at = start.find(b"\xff\x4f\xff\x51")  # of the code stream, which every wrapping holds
    if at < 0:
        raise ValueError("JPEG 2000 without a code stream")
    right, low, left, top, *_, components, depth = struct.unpack_from(">8IHB", start, at + 8)
    if depth + 1 not in (8, 16) or components > 4:
        raise _Unsupported(f"a JPEG 2000 of {components} components of {(depth & 127) + 1} bits; convert it to PNG")
    return Header(
        "JPEG2000", right - left, low - top, 1 if components < 3 else 3, depth + 1, components in (2, 4),
        decoder="pillow" if components == 2 else "cv2",
    )  # fmt: skip


def _pnm(file: BinaryIO) -> Header:
    file.seek(0)
    start = file.read(65536)
    kind = start[1] - ord("0")
    space = rb"(?:\s|#[^\r\n]*[\r\n])+"
    found = re.match(rb"P\d" + (space + rb"(\d{1,10})") * (2 if kind in (1, 4) else 3) + rb"\s", start)
    if not found:
        raise ValueError("PNM without its size")
    width, height, peak = (*map(int, found.groups()), 1)[:3]
    if not 1 <= peak <= 65535:
        raise ValueError(f"PNM with a largest value of {peak}")
    return Header(
        "PNM", width, height, 3 if kind in (3, 6) else 1, 16 if peak > 255 else 8, decoder="pnm",
        start=found.end(), peak=peak,
    )  # fmt: skip


_MAGIC: dict[bytes, Callable[[BinaryIO], Header]] = {
    b"\x89PNG\r\n\x1a\n": _png,
    b"\xff\xd8\xff": _jpeg,
    b"GIF87a": _gif,
    b"GIF89a": _gif,
    b"BM": _bmp,
    b"\0\0\1\0": _ico,
    b"\0\0\0\x0cjP  \r\n\x87\n": _jp2,
    b"\xff\x4f\xff\x51": _jp2,
}
