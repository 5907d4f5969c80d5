"""Label maps: images whose colours or levels stand for classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from i2i.errors import DataError
from i2i.evaluation.pictures import Picture


def read_palette(path: Path) -> tuple[np.ndarray, list[str]]:
    """Return the colours [classes, 3] and the names of a palette: a line "R G B" or "R G B NAME" for each class.

    Raises DataError, which names the line, for anything else.
    """
    colours: list[list[int]] = []
    names: list[str] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        words = line.split(maxsplit=3)
        if not words or words[0].startswith("#"):
            continue
        values = [int(word) for word in words[:3] if word.isdecimal()]
        if len(values) != 3 or max(values) > 255:
            raise DataError(f"{path}:{number}: {line!r}; expected 'R G B NAME' with levels of 0 to 255")
        colours.append(values)
        names.append(words[3].strip() if len(words) > 3 else str(len(names)))
    if not colours:
        raise DataError(f"{path}: no colours in it; expected a line 'R G B NAME' for each class")
    return np.array(colours, np.float32), names


def labels_of(palette: np.ndarray | None) -> Callable[[Picture], np.ndarray]:
    """Return the function from a label map to the class of each pixel [h, w].

    With a palette it is the nearest colour, so that label maps in JPEG can be read. Without, the levels of a grey image
    are the classes; a level that is none, such as 255, is not labelled. The function raises DataError for a colour
    image without a palette.
    """

    def labels(picture: Picture) -> np.ndarray:
        if palette is None:
            pixels = picture.pixels
            if pixels.shape[2] != 1 and not (pixels == pixels[..., :1]).all():
                raise DataError(
                    f"{picture.name}: a label map in colours; give --palette FILE with a line 'R G B NAME' for each "
                    "class"
                )
            return pixels[..., 0].astype(np.int64)
        pixels = picture.rgb.astype(np.float32)
        return np.stack([np.square(pixels - colour).sum(axis=2) for colour in palette]).argmin(axis=0)

    return labels
