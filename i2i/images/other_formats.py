"""The headers of TIFF, GIF, BMP, ICO and PNM; see ``formats``."""

from __future__ import annotations

import re
import struct
from typing import BinaryIO

from i2i.images import resolution, tags
from i2i.images.image import Header, UnsupportedError


def tiff_header(file: BinaryIO) -> Header:
    wanted = (
        tags.WIDTH, tags.HEIGHT, tags.BITS, tags.COMPRESSION, tags.PHOTOMETRIC, tags.ORIENTATION, tags.SAMPLES,
        tags.PLANES, tags.EXTRA_SAMPLES, tags.SAMPLE_FORMAT, tags.ICC, tags.TILE_WIDTH, tags.TILE_HEIGHT,
        resolution.X, resolution.Y, resolution.UNIT,
    )  # fmt: skip
    directory = tags.read_directory(file, wanted)
    number = directory.number
    bits, samples, kind = number(tags.BITS, 1), number(tags.SAMPLES, 1), number(tags.SAMPLE_FORMAT, 1)
    if kind == 3:
        raise UnsupportedError(
            f"a floating-point TIFF ({bits} bits); images here are integers: convert it to 8 or 16 bits"
        )
    if kind not in (1, 4) or bits not in (1, 2, 4, 8, 16):
        raise UnsupportedError(f"a TIFF of {bits}-bit {'signed ' * (kind == 2)}samples; convert it to 8 or 16 bits")
    photometric = number(tags.PHOTOMETRIC, 1)
    if photometric not in (0, 1, 2, 3, 5, 6, 8):
        raise UnsupportedError(f"a TIFF of photometric interpretation {photometric}; convert it to RGB")
    colours = {0: 1, 1: 1, 3: 1, 5: 4}.get(photometric, 3)
    alpha, planes = samples > colours, samples > 1 and number(tags.PLANES, 1) == 2
    if (bits == 16 and photometric == 8) or (alpha and colours == 1 and (bits == 16 or planes or photometric == 0)):
        raise UnsupportedError(
            "a TIFF of Lab in 16 bits, or of grey with alpha in 16 bits, in planes or with a white of 0, which no "
            "decoder here reads; convert it to PNG"
        )
    # OpenCV returns RGBA of 8 bits premultiplied, drops the alpha of grey, has a Lab of its own, no 2 and 4 bits, and
    # in 8 bits no tiles of less than 32 pixels.
    small = min(number(tags.TILE_WIDTH, 32), number(tags.TILE_HEIGHT, 32)) < 32
    pillow = photometric == 8 or bits in (2, 4) or (bits < 16 and (alpha or small))
    # OpenCV garbles colours that are stored plane by plane in 16 bits, takes a white of 0 for black there, and leaves
    # colours multiplied with their alpha.
    multiplied = alpha and photometric == 2 and number(tags.EXTRA_SAMPLES, 0) == 1
    vips = bits == 16 and (planes or photometric == 0 or multiplied)
    if vips and planes and photometric != 2:
        raise UnsupportedError("a 16-bit TIFF of planes that are not red, green and blue; convert it to RGB")
    if vips and planes and tags.TILE_WIDTH in directory.tags:
        raise UnsupportedError("a 16-bit TIFF in tiles plane by plane, which no decoder here reads; convert it to PNG")
    orientation = number(tags.ORIENTATION, 1)
    icc = directory.tags.get(tags.ICC)
    return Header(
        "TIFF", number(tags.WIDTH, 0), number(tags.HEIGHT, 0), 1 if photometric in (0, 1) else 3,
        16 if bits == 16 else 8, alpha and photometric != 5, directory.pages,
        orientation if 1 <= orientation <= 8 else 1,
        icc if isinstance(icc, bytes) else None, "vips" if vips else "pillow" if pillow else "cv2",
        resolution=resolution.of_tiff(directory),
    )  # fmt: skip


def gif_header(file: BinaryIO) -> Header:
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


def bmp_header(file: BinaryIO) -> Header:
    file.seek(14)
    return _dib(file.read(40), file)


def _dib(head: bytes, file: BinaryIO | None = None) -> Header:
    """The header that BMP and ICO share."""
    (size,) = struct.unpack_from("<I", head)
    if size == 12:
        width, height, _, depth = struct.unpack_from("<HHHH", head, 4)
        compression, used, found = 0, 0, None
    else:
        width, height, _, depth, compression = struct.unpack_from("<iiHHI", head, 4)
        across, down, used = struct.unpack_from("<iiI", head, 24)
        found = resolution.per_millimetre(across, down, resolution.METRE)
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
    return Header("BMP", width, abs(height), 1 if grey else 3, alpha=alpha, decoder=decoder, resolution=found)


def ico_header(file: BinaryIO) -> Header:
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


def pnm_header(file: BinaryIO) -> Header:
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
