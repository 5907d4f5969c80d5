"""Options of a job over image files, and the name of an output."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from i2i.images import MAX_PIXELS, WRITABLE
from i2i.images.encode import KEPT
from i2i.spec import Background, parse_background


@dataclass(frozen=True)
class Options:
    """Options of a job over image files."""

    format: str | None = None  # of every output, a key of ``images.WRITABLE``; None: that of its source
    quality: int = 95  # of JPEG, WebP and AVIF, 0 to 100
    background: Background | None = None  # seen under transparent pixels: "edge", 0 to 255; None: as in training
    max_pixels: int = MAX_PIXELS  # an image of more is refused
    overwrite: bool = False  # translate finished images again, and replace files that no job wrote
    batch: int | None = None  # images of equal size per call of a GPU; None: as many as fit into its memory
    workers: int | None = None  # images processed in parallel; None: one per core, and more on a GPU
    suffix: str = ""  # text between the name of every output and its extension
    keep_metadata: bool = False  # EXIF and XMP, made upright and without thumbnails; the place of a photo stays in it
    mask: Path | None = None  # a mask, or a folder of masks with the names of the images: what is black stays
    shard: str | None = None  # "2/7": only the second of seven parts of a folder
    gpus: int | str | None = None  # cards that share a folder, a process each, or "all"; None: one, in this process

    def __post_init__(self) -> None:
        """Convert ``png`` to ``PNG``. Raises ValueError for invalid values."""
        if self.format is not None:
            object.__setattr__(self, "format", self.format.upper())
            if self.format not in WRITABLE:
                raise ValueError(f"cannot write {self.format} files; choose one of {', '.join(WRITABLE)}")
        if "/" in self.suffix or os.sep in self.suffix or "\0" in self.suffix:
            raise ValueError(f"suffix is {self.suffix!r}; expected text for a file's name, without slashes")
        for name in ("workers", "batch", "max_pixels"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}; expected at least 1")
        if self.gpus not in (None, "all") and not (str(self.gpus).isdecimal() and int(self.gpus) > 0):
            raise ValueError(f"gpus is {self.gpus!r}; expected a number from 1 on, or all")
        if not 0 <= self.quality <= 100:
            raise ValueError(f"quality is {self.quality}; expected 0 to 100")
        if self.background is not None:
            object.__setattr__(self, "background", parse_background(self.background))
        if self.shard is not None:
            from i2i.runtime.jobs import sharding

            sharding.parse(self.shard)

    def output_name(self, source: str | Path) -> str:
        """Return the name of the translated file; see :func:`output_name`."""
        return output_name(source, self.format, self.suffix)


def output_name(source: str | Path, format: str | None = None, suffix: str = "") -> str:
    """Return the name of the translated file: that of its source, with ``suffix`` before the extension.

    ``source`` is a relative path with "/", or a Path of which only the last part counts. The extension changes with
    ``format``; formats that are not written get ".png" appended.
    """
    name = source.name if isinstance(source, Path) else source
    stem, extension = os.path.splitext(name)
    if format is not None:
        return stem + suffix + WRITABLE[format]
    return stem + suffix + extension if extension.lower() in KEPT else name + suffix + WRITABLE["PNG"]
