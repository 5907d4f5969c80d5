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
    quality: int = 95  # of JPEG and WebP, 0 to 100
    background: Background | None = None  # seen under transparent pixels: "edge", 0 to 255; None: as in training
    max_pixels: int = MAX_PIXELS  # an image of more is refused
    overwrite: bool = False  # translate again what is done, and replace files that no job wrote
    batch: int | None = None  # images of a size at once on a GPU; None: as many as its memory has room for
    workers: int | None = None  # images in work side by side; None: as many as cores, and more on a GPU
    suffix: str = ""  # put behind the name of every output, before its extension
    keep_metadata: bool = False  # EXIF and XMP, made upright and without thumbnails; where a camera was stays in it too
    shard: str | None = None  # "2/7": of a folder, the second of seven parts

    def __post_init__(self) -> None:
        """Takes ``png`` for ``PNG``. Raises ValueError for what cannot be written."""
        if self.format is not None:
            object.__setattr__(self, "format", self.format.upper())
            if self.format not in WRITABLE:
                raise ValueError(f"cannot write {self.format} files; choose one of {', '.join(WRITABLE)}")
        if "/" in self.suffix or os.sep in self.suffix or "\0" in self.suffix:
            raise ValueError(f"a suffix is put behind a file's name and cannot hold a path: {self.suffix!r}")
        for name in ("workers", "batch", "max_pixels"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}; expected at least 1")
        if not 0 <= self.quality <= 100:
            raise ValueError(f"quality is {self.quality}; expected 0 to 100")
        if self.background is not None:
            object.__setattr__(self, "background", parse_background(self.background))
        if self.shard is not None:
            from i2i.runtime.jobs import sharding

            sharding.parse(self.shard)

    def output_name(self, source: str | Path) -> str:
        """The name of the translated file, of a source by its Path or its relative name."""
        return output_name(source, self.format, self.suffix)


def output_name(source: str | Path, format: str | None = None, suffix: str = "") -> str:
    """The name of the translated file: that of its source, a relative path with "/" or a Path of which only the last
    part counts, with ``suffix`` before the extension and the extension of another format where it has one."""
    name = source.name if isinstance(source, Path) else source
    stem, extension = os.path.splitext(name)
    if format is not None:
        return stem + suffix + WRITABLE[format]
    return stem + suffix + extension if extension.lower() in KEPT else name + suffix + WRITABLE["PNG"]
