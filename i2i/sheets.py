"""Contact sheets: rows of captioned images in one picture."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as PilImage
from PIL import ImageDraw, ImageFont

from i2i.atomic import atomically
from i2i.text import plural

_PAPER, _INK = 255, 32
_GAP = 8
_LINE = 20  # height of one line of caption, in pixels


def sheet(
    rows: Sequence[Sequence[np.ndarray]],
    captions: Sequence[str],
    path: str | Path | None = None,
    *,
    title: str = "",
    cell: int = 192,
    largest: int = 512,
) -> np.ndarray:
    """Lay out ``rows`` of images under one caption per column; return the sheet, uint8 [h, w, 3], RGB.

    Images are uint8 [h, w, 1|3] of any sizes. The sheet is scaled by one integer factor, nearest neighbour, so that
    small images show their pixels: the longest side reaches at least ``cell`` pixels. Images whose longest side exceeds
    ``largest`` are reduced to it. Captions that are too wide get a smaller type.

    With ``path`` the sheet is also written there atomically (PNG, JPEG or WebP by its suffix).

    Raises ValueError for no rows, a row of another length than ``captions``, or an image of another form; OSError if
    the file cannot be written.
    """
    cells = _checked(rows, captions)
    cells = [[_shrunk(image, largest) for image in row] for row in cells]
    longest = max(max(image.shape[:2]) for row in cells for image in row)
    factor = max(1, -(-cell // longest))
    cells = [[_enlarged(image, factor) for image in row] for row in cells]

    heights = [max(image.shape[0] for image in row) for row in cells]
    widths = [max(max(row[column].shape[1] for row in cells), 48) for column in range(len(captions))]
    top = _GAP + (_LINE + 4 if title else 0)
    head = top + _LINE
    page = np.full(
        (head + sum(heights) + _GAP * len(heights), sum(widths) + _GAP * (len(widths) + 1), 3), _PAPER, np.uint8
    )
    for row, y in zip(cells, _starts(heights, head), strict=True):
        for image, x in zip(row, _starts(widths, _GAP), strict=True):
            page[y : y + image.shape[0], x : x + image.shape[1]] = image
    spots = [(text, x, top, width) for text, x, width in zip(captions, _starts(widths, _GAP), widths, strict=True)]
    if title:
        spots.append((title, _GAP, _GAP, page.shape[1] - 2 * _GAP))
    page = _written(page, spots)
    if path is not None:
        _save(page, Path(path))
    return page


def _checked(rows: Sequence[Sequence[np.ndarray]], captions: Sequence[str]) -> list[list[np.ndarray]]:
    """Return the rows as lists of uint8 [h, w, 1|3]; raise ValueError naming an image that is not."""
    if not rows or not captions:
        raise ValueError("a sheet needs at least one row and one caption")
    for number, row in enumerate(rows):
        if len(row) != len(captions):
            raise ValueError(f"row {number} has {plural(len(row), 'image')} for {plural(len(captions), 'caption')}")
        for column, image in enumerate(row):
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (1, 3) or not image.size:
                raise ValueError(
                    f"row {number}, column {column}: expected uint8 [h, w, 1|3], got {image.dtype} {list(image.shape)}"
                )
    return [list(row) for row in rows]


def _shrunk(image: np.ndarray, largest: int) -> np.ndarray:
    height, width = image.shape[:2]
    if max(height, width) <= largest:
        return image
    ratio = largest / max(height, width)
    size = max(1, round(width * ratio)), max(1, round(height * ratio))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], -1)


def _enlarged(image: np.ndarray, factor: int) -> np.ndarray:
    """Enlarge [h, w, 1|3] to [h * factor, w * factor, 3] by repeating pixels."""
    image = image.repeat(factor, axis=0).repeat(factor, axis=1)
    return np.broadcast_to(image, (*image.shape[:2], 3))


def _starts(sizes: Sequence[int], first: int) -> list[int]:
    """Return the start of each of ``sizes``, laid out from ``first`` with gaps between them."""
    return [first + sum(sizes[:i]) + _GAP * i for i in range(len(sizes))]


def _written(page: np.ndarray, spots: Sequence[tuple[str, int, int, int]]) -> np.ndarray:
    """Draw each (text, x, y, width) on the page, in a type small enough for its width."""
    canvas = PilImage.fromarray(page)
    draw = ImageDraw.Draw(canvas)
    for text, x, y, width in spots:
        text = _plain(text)
        size = next((s for s in (14, 13, 12, 11, 10) if draw.textlength(text, font=_type(s)) <= width), 9)
        while draw.textlength(text, font=_type(size)) > width and len(text) > 4:
            text = text[:-4] + "..."
        draw.text((x, y), text, fill=(_INK, _INK, _INK), font=_type(size))
    return np.asarray(canvas)


def _plain(text: str) -> str:
    """Return the text on one line in ASCII: accents are removed, other characters become ``?``."""
    folded = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return " ".join(folded.split()).encode("ascii", "replace").decode()


@lru_cache
def _type(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _save(page: np.ndarray, path: Path) -> None:
    try:
        good, data = cv2.imencode(path.suffix or ".png", cv2.cvtColor(page, cv2.COLOR_RGB2BGR))
    except cv2.error as error:
        raise ValueError(f"{path}: a sheet is written as .png, .jpg or .webp, not {path.suffix!r}") from error
    if not good:
        raise OSError(f"{path}: OpenCV could not encode a sheet of {page.shape[1]}x{page.shape[0]} pixels")
    path.parent.mkdir(parents=True, exist_ok=True)
    atomically(path, lambda temporary: temporary.write_bytes(data.tobytes()))
