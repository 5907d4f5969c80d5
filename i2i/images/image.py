"""The types of an image in its file and in memory, and the two conversions that training and translation share."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from i2i.errors import I2IError
from i2i.text import plural

if TYPE_CHECKING:
    from i2i.images.resolution import Resolution


class ImageError(I2IError):
    """An image that cannot be read or written: ``str(error)`` is "PATH: reason", on one line."""

    def __init__(self, path: str | os.PathLike[str], reason: str) -> None:
        self.path = Path(path)
        self.reason = reason
        super().__init__(path, reason)  # both, so that the error survives pickling

    def __str__(self) -> str:
        # A file's name may hold line breaks and bytes that are no text; a message holds neither.
        name = os.fsencode(self.args[0]).decode("utf-8", "backslashreplace")
        return f"{name}: {self.reason}".replace("\n", "\\n").replace("\r", "\\r")


class UnsupportedError(ValueError):
    """A sound file of a kind that cannot be read."""


@dataclass(frozen=True)
class Header:
    """Facts about an image that are known before a pixel is decoded.

    ``width`` and ``height`` are those of the upright image; ``channels`` counts colour (1 or 3) and not alpha, or the
    bands.
    """

    width: int
    height: int
    channels: int = 3
    bits: int = 8  # of a value: 8 or 16; 32 for bands of float32
    alpha: bool = False
    frames: int = 1
    orientation: int = 1  # 1 to 8, as EXIF numbers them
    icc: bytes | None = None
    resolution: Resolution | None = None  # pixels for a millimetre, across and down, if the file says
    lost: tuple[str, ...] = ()  # contents that are not read, such as a depth map beside the picture
    coding: str = ""  # how the pixels are stored, where an encoder can do the same: "4:2:2" (JPEG), "lossless" (WebP)
    hint: Any = None  # whatever the decoder of the format needs to know
    format: str = ""  # a key of ``formats.table.FORMATS``
    bands: str = ""  # type of the values, a key of ``spec.BANDS``, where the image is no picture


@dataclass
class Image:
    """A decoded image, upright, in RGB order, with the colour that is stored under its alpha; or bands of values.

    It is a picture if its pixels are uint8 or uint16 [h, w, 1 | 3]. Anything else is bands, which are never converted:
    uint8, uint16, int16 or float32 [h, w, c].
    """

    pixels: np.ndarray  # [h, w, c]
    alpha: np.ndarray | None = None  # of a picture, [h, w], of the same type; 0 is transparent
    icc: bytes | None = None  # the colour profile, if it is of this image's colour space
    format: str = "PNG"  # what it was read from
    frames: int = 1  # how many frames or pages the file holds; the first is here
    metadata: Metadata | None = None  # EXIF and XMP, if they were asked for
    resolution: Resolution | None = None  # pixels for a millimetre, across and down, where it is known
    lost: tuple[str, ...] = ()  # contents of its source that are not here, such as a depth map beside the picture
    coding: str = ""  # that of its source, as in a Header
    reduction: int = 1  # by how much its sides are shorter than those of its source, rounded up
    whole: tuple[int, int] | None = None  # height and width of the source, if it was decoded at a part of them

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def channels(self) -> int:
        """Colour channels of a picture, 1 or 3, where alpha is not counted; the number of bands."""
        return int(self.pixels.shape[2])

    @property
    def bits(self) -> int:
        return 8 * self.pixels.dtype.itemsize

    @property
    def bands(self) -> str:
        """Type of the values of bands, a key of ``spec.BANDS``; empty for a picture."""
        dtype = self.pixels.dtype
        return "" if self.channels in (1, 3) and dtype in (np.uint8, np.uint16) else dtype.name

    @property
    def kind(self) -> str:
        """The kind of its values in words."""
        if self.bands:
            return kind_of(self.bands, self.channels)
        return f"{self.bits}-bit {'grey' if self.channels == 1 else 'RGB'}"


def kind_of(bands: str, channels: int) -> str:
    """Return the kind of bands in words."""
    return f"{plural(channels, 'channel')} of {bands}"


def flatten(image: Image, background: int = 255) -> np.ndarray:
    """Return the colours composited on a grey of that 8-bit level: [h, w, c], of the image's own type."""
    if image.alpha is None:
        return image.pixels
    peak = 2**image.bits - 1
    if int(image.alpha.min()) == peak:
        return image.pixels
    level, out = background * (peak // 255), np.empty_like(image.pixels)
    rows = max(1, (1 << 20) // image.width)  # a strip at a time: the products take four bytes for each of these
    for top in range(0, image.height, rows):
        strip = slice(top, top + rows)
        alpha = image.alpha[strip, :, None].astype(np.uint32)  # 65535 * 65535 + 32767 still fits
        out[strip] = (image.pixels[strip] * alpha + level * (peak - alpha) + peak // 2) // peak
    return out


@functools.cache
def _to_8_bits() -> np.ndarray:
    """Return a table [65536] from 16 to 8 bits, which needs no wider numbers in between."""
    return ((np.arange(65536) + 128) // 257).astype(np.uint8)


def convert(pixels: np.ndarray, channels: int, bits: int) -> np.ndarray:
    """Return pixels [h, w, 1 | 3] as [h, w, channels] of 8 or 16 bits, by the luma of Rec. 601 and a factor of 257."""
    if channels not in (1, 3) or bits not in (8, 16):
        raise ValueError(f"an image has 1 or 3 channels of 8 or 16 bits, not {channels} of {bits}")
    if pixels.dtype == np.uint8 and bits == 16:
        pixels = pixels.astype(np.uint16) * np.uint16(257)
    elif pixels.dtype == np.uint16 and bits == 8:
        pixels = _to_8_bits()[pixels]
    if pixels.shape[2] == channels:
        return pixels
    if channels == 3:
        return np.repeat(pixels, 3, axis=2)
    return cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)[..., None]


def resize(pixels: np.ndarray, height: int, width: int, interpolation: int) -> np.ndarray:
    """Resize [h, w, c], with any number of channels, to [height, width, c] by an interpolation of OpenCV."""
    # OpenCV takes up to four channels at once, and drops the channel of grey images.
    parts = [pixels] if pixels.shape[2] <= 4 else [pixels[..., at : at + 4] for at in range(0, pixels.shape[2], 4)]
    resized = [
        cv2.resize(np.ascontiguousarray(part), (width, height), interpolation=interpolation).reshape(height, width, -1)
        for part in parts
    ]
    return resized[0] if len(parts) == 1 else np.concatenate(resized, axis=2)


@dataclass(frozen=True)
class Metadata:
    """EXIF and XMP of an image file, as they are stored."""

    exif: bytes | None = None  # a TIFF structure, without the "Exif" before it
    xmp: bytes | None = None
    unread: tuple[str, ...] = ()  # names of what is there and not read: EXIF of a TIFF, a damaged block, texts
