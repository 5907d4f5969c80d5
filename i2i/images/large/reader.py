"""Read images strip by strip, in memory that does not grow with the height.

libvips decodes them to the same pixels as ``read_image`` does, bit for bit. Files that it takes for something else
(CMYK, Lab, premultiplied alpha ...) are left to that.
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from i2i.images.formats.table import FORMATS, STRIPWISE
from i2i.images.header import MAX_PIXELS, open_regular, read_header
from i2i.images.image import Header, Image, ImageError
from i2i.images.libvips import vips

__all__ = ["STRIPWISE", "StripReader", "open_strips"]

_FORMATS = {"uchar": np.uint8, "ushort": np.uint16}
_UPRIGHT: dict[int, tuple[str, ...]] = {
    1: (), 2: ("fliphor",), 3: ("rot180",), 4: ("flipver",), 5: ("rot90", "fliphor"), 6: ("rot90",),
    7: ("rot270", "fliphor"), 8: ("rot270",),
}  # fmt: skip


class StripReader:
    """An image file as rows from top to bottom, upright. Going back to the top decodes it again.

    Attributes:
        header: as ``read_header`` has it.
    """

    def __init__(self, path: Path, header: Header) -> None:
        """``header`` is that of the file. Raises ImageError; :func:`open_strips` tells if a file can be read so."""
        self.path, self.header = path, header
        self._image = self._open()
        self._region: Any = None
        self._next = 0  # the row that is decoded next
        self._band = np.empty((0, header.width, self._image.bands), _FORMATS.get(self._image.format, np.uint8))

    def _open(self) -> Any:
        library, strips = vips(), FORMATS[self.header.format].strips
        assert strips is not None
        turns = _UPRIGHT[self.header.orientation]
        # To turn an image over is to read it in another order: then it is unpacked into a temporary file first.
        options = {"access": "random" if turns else "sequential", "fail_on": "error"}
        try:
            image = getattr(library.Image, strips.load)(os.fspath(self.path), **options)
            for turn in turns:
                image = getattr(image, turn)()
        except library.Error as error:
            raise self._failed(error) from error
        return image

    def _failed(self, error: Exception) -> ImageError:
        lines = str(error).strip().splitlines()
        system = re.search(r"system error: (.+)", str(error))  # libvips names an error of the system so
        if system is None:
            return ImageError(self.path, f"damaged {self.header.format} data: {lines[-1].strip()}")
        reason = f"cannot be read: {system[1]}"
        if _UPRIGHT[self.header.orientation]:
            folder = os.environ.get("TMPDIR") or tempfile.gettempdir()
            reason += f". It lies on its side and is unpacked in {folder} to be turned; TMPDIR can name another folder"
        return ImageError(self.path, reason)

    @property
    def faithful(self) -> bool:
        """True if these are the pixels that ``read_image`` returns."""
        image, header = self._image, self.header
        return (
            (image.width, image.height, image.bands) == (header.width, header.height, header.channels + header.alpha)
            and image.interpretation in ("b-w", "grey16", "srgb", "rgb16")
            and _FORMATS.get(image.format) is (np.uint16 if header.bits == 16 else np.uint8)
        )

    def read(self, rows: slice) -> Image:
        """Return rows of the image, fewer at its end. Rows that begin no higher than the ones before are quick.

        Raises ImageError where the file is damaged.
        """
        rows = slice(rows.start, min(rows.stop, self.header.height))
        if self._region is None or rows.start < self._next - len(self._band):
            if self._region is not None:
                self._image = self._open()
            self._region, self._next, self._band = vips().Region.new(self._image), 0, self._band[:0]
        parts = [self._band[max(0, rows.start - (self._next - len(self._band))) :]]
        while self._next < rows.stop:
            count = min(256, self.header.height - self._next)
            part = self._fetch(count)
            self._next += count
            parts.append(part[max(0, rows.start - (self._next - count)) :])
        self._band = np.concatenate(parts) if len(parts) > 1 else parts[0]
        kept = self._band[: rows.stop - rows.start]
        colours = kept[..., : self.header.channels]
        alpha = kept[..., -1] if self.header.alpha else None
        return Image(colours, alpha, self.header.icc, self.header.format, self.header.frames)

    def _fetch(self, count: int) -> np.ndarray:
        library = vips()
        try:
            data = self._region.fetch(0, self._next, self.header.width, count)
        except library.Error as error:
            raise self._failed(error) from error
        return np.frombuffer(data, self._band.dtype).reshape(count, self.header.width, -1)


def open_strips(path: str | os.PathLike[str], max_pixels: int = MAX_PIXELS) -> StripReader | None:
    """Open a file to be read from top to bottom; None if that would not give what ``read_image`` gives.

    Raises ImageError where the file cannot be opened, is no image of a known format, is too large or damaged.
    """
    path = Path(path)
    header = read_header(path, max_pixels)
    row = FORMATS[header.format]
    if row.strips is None:
        return None
    with open_regular(path) as file:
        if not row.code.stripwise(file, header):
            return None
    reader = StripReader(path, header)
    return reader if reader.faithful else None
