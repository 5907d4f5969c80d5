"""The image formats: how each is recognized, what a written file of it holds, and the module that reads and writes it.

No other place names a format. To add one, write its module and its row; ``docs/formats.md`` does so step by step.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, BinaryIO

import numpy as np

from i2i.images.image import Header, Image, Metadata

ANY = 2**31 - 1
"""Limit of a block of metadata that has none in practice."""


@dataclass(frozen=True)
class Holds:
    """Contents that a written file of a format can have. Anything else is converted or named as lost."""

    bits: int = 8
    alpha: bool = False
    grey: bool = True
    grey_alpha: bool = False
    profile: bool = False
    resolution: bool = False
    exif: int = 0  # bytes at most
    xmp: int = 0  # bytes at most
    quality: bool = False  # the encoder takes a quality from 0 to 100
    bands: bool = False  # any number of channels of uint8, uint16, int16 or float32


@dataclass(frozen=True)
class Strips:
    """Names of libvips' row-by-row reader and writer of a format; see ``images.large``."""

    load: str
    save: str
    options: Mapping[str, Any] = field(default_factory=dict)
    head: int = 0  # bytes before the place where ``blocks`` go; 0: libvips writes the metadata


@dataclass(frozen=True)
class Format:
    """One row. The functions of its module are found on first use, so that a row costs no import.

    Attributes:
        suffixes: of files that are read and written, the usual one first.
        magic: pattern that the first 64 bytes match; None for a format that only its suffix tells.
        module: in ``i2i.images.formats``, with ``header``, ``decode`` and, for a format that is written, ``encode``;
            "" for a format that is recognized only to be refused by its name.
        holds: what a written file holds; None for a format that is read but not written.
        also: suffixes of files that are read but never written.
        strips: how libvips handles the format, if it may be read and written row by row.
        turned: ``decode`` returns the pixels upright; else they are turned as the orientation of the header says.
        reduces: ``decode`` takes a third argument, 2, 4 or 8: by how much the sides of the pixels that it returns are
            shorter. They must be divisible by it.
    """

    suffixes: str
    magic: bytes | None
    module: str = ""
    holds: Holds | None = None
    also: str = ""
    strips: Strips | None = None
    turned: bool = False
    reduces: bool = False

    def matches(self, start: bytes, suffix: str) -> bool:
        """True if a file that begins with these bytes, and has that suffix, is of this format."""
        if self.magic is None:
            return suffix.lower() in self.names
        return re.match(self.magic, start, re.DOTALL) is not None

    @property
    def names(self) -> list[str]:
        """Suffixes under which a file may be of this format, with their dots."""
        return [f".{suffix}" for suffix in f"{self.suffixes} {self.also}".split()]

    @property
    def usual(self) -> str:
        """The suffix that a written file gets."""
        return f".{self.suffixes.split()[0]}"

    @property
    def code(self) -> Any:
        """The module that reads and writes the format."""
        return import_module(f"i2i.images.formats.{self.module}")

    def header(self, file: BinaryIO) -> Header:
        """Read the header of an open file without decoding a pixel.

        Raises UnsupportedError for a sound file that cannot be read, and ValueError, SyntaxError, OSError, struct.error
        or the like for a damaged one.
        """
        return self.code.header(file)

    def decode(self, data: bytes, header: Header, reduction: int = 1) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the pixels [h, w, c] and the alpha [h, w] of a file, as they are stored unless ``turned``.

        A ``reduction`` above 1 needs ``reduces``. Raises any error for damaged data.
        """
        return self.code.decode(data, header, *([reduction] if reduction > 1 else []))

    def encode(self, image: Image, quality: int) -> bytes:
        """Return the bytes of a file. The image has nothing that the format does not hold."""
        return self.code.encode(image, quality)

    def metadata(self, file: BinaryIO) -> Metadata:
        """Return EXIF and XMP of an open file; empty for a format whose module reads none."""
        read: Callable[[BinaryIO], Metadata] | None = getattr(self.code, "metadata", None)
        return Metadata() if read is None else read(file)


_ISO = rb"....ftyp(?:%s|(?:mif1|miaf|msf1)....(?:....)*?(?:%s))"

FORMATS: dict[str, Format] = {
    "PNG": Format(
        "png", rb"\x89PNG\r\n\x1a\n", "png",
        Holds(16, True, grey_alpha=True, profile=True, resolution=True, exif=ANY, xmp=ANY), also="apng",
        strips=Strips("pngload", "pngsave", {"compression": 1, "filter": "sub"}, head=33),
    ),
    "JPEG": Format(
        "jpg jpeg jpe jfif mpo", rb"\xff\xd8\xff", "jpeg",
        # A segment has 65,533 bytes; XMP may grow by a few as its sizes are changed.
        Holds(profile=True, resolution=True, exif=65_527, xmp=65_440, quality=True),
        strips=Strips("jpegload", "jpegsave", {"subsample_mode": "on"}, head=2),  # chroma at half size, as OpenCV's
        reduces=True,
    ),
    "WEBP": Format(
        "webp", rb"RIFF....WEBP", "webp",
        Holds(alpha=True, grey=False, profile=True, exif=ANY, xmp=ANY, quality=True),
    ),
    "AVIF": Format(
        "avif", _ISO % (b"avi[fs]", b"avi[fs]"), "avif",
        Holds(alpha=True, grey=False, profile=True, exif=ANY, xmp=ANY, quality=True),
    ),
    "TIFF": Format(
        "tif tiff", rb"II[*+]\0|MM\0[*+]", "tiff",
        Holds(16, True, profile=True, resolution=True, xmp=ANY, bands=True),
        strips=Strips("tiffload", "tiffsave", {"compression": "lzw", "predictor": "horizontal", "resunit": "inch"}),
        turned=True,
    ),
    "BMP": Format("bmp dib", rb"BM", "bmp", Holds(alpha=True, resolution=True)),
    "PNM": Format("ppm pgm pbm pnm", rb"P[1-6][\s#]", "pnm", Holds(16)),
    "JPEG2000": Format(
        "jp2", rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51", "jpeg2000", Holds(16, True), also="j2k j2c jpx jpf"
    ),
    "NPY": Format("npy", rb"\x93NUMPY", "npy", Holds(16, bands=True)),
    # read only
    "HEIC": Format("heic heif", _ISO % (b"he[iv][cxms]|mif1|msf1", b"he[iv][cxms]"), "heic", also="hif"),
    "GIF": Format("gif", rb"GIF8[79]a", "gif"),
    "ICO": Format("ico", rb"\x00\x00\x01\x00", "ico"),
    "QOI": Format("qoi", rb"qoif", "qoi"),
    "DDS": Format("dds", rb"DDS ", "dds"),
    "PCX": Format("pcx", rb"\x0a[\x00-\x05]\x01[\x01\x02\x04\x08]", "pcx"),
    # recognized, and refused by name
    "JPEG XL": Format("jxl", rb"\xff\x0a|\0\0\0\x0cJXL "),
    "Photoshop": Format("psd", rb"8BPS"),
    "OpenEXR": Format("exr", rb"v/1\x01"),
    "Radiance HDR": Format("hdr", rb"#\?RADIANCE"),
    "float PFM": Format("pfm", rb"P[Ff]\s"),
    "PAM": Format("pam", rb"P7\s"),
    "PDF": Format("", rb"%PDF"),
    "Canon raw": Format("cr3", rb"....ftypcrx "),
    "TGA": Format("tga", None, "tga"),  # has no magic number, so it comes last
}  # fmt: skip

WRITABLE = {name: row.usual for name, row in FORMATS.items() if row.holds is not None}
"""Formats that are written, each with its usual suffix."""

KEPT = frozenset(f".{suffix}" for name in WRITABLE for suffix in FORMATS[name].suffixes.split())
"""Suffixes that an output may keep. The output of a file with another one gets ".png" behind its name."""

IMAGE_SUFFIXES = frozenset(suffix for row in FORMATS.values() for suffix in row.names if suffix != ".")
"""Suffixes that make a file an image, those of refused formats included: an error is better than silence."""

STRIPWISE = tuple(name for name, row in FORMATS.items() if row.strips is not None)
"""Formats that are read and written row by row."""


def sniff(start: bytes, suffix: str) -> str | None:
    """Return the name of the format of a file that begins with these bytes, or None."""
    return next((name for name, row in FORMATS.items() if row.matches(start, suffix)), None)


def holds(format: str) -> Holds:
    """Return what a written file of that format holds. Raises ValueError for a format that is not written."""
    row = FORMATS.get(format)
    if row is None or row.holds is None:
        raise ValueError(f"cannot write {format} files; choose one of {', '.join(WRITABLE)}")
    return row.holds
