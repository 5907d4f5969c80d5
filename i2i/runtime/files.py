"""One image file to another, and what is kept of it on the way."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from i2i.images import (
    IMAGE_SUFFIXES,
    MAX_PIXELS,
    WRITABLE,
    Image,
    ImageError,
    format_of,
    keeps_profile,
    left_out,
    write_image,
)
from i2i.runtime import processing
from i2i.runtime.model.model import Model
from i2i.runtime.plan import output_name

if TYPE_CHECKING:
    from i2i.images.image import Metadata

NO_MEMORY = "it does not fit into the memory; make it smaller, or free some memory"

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


@dataclass(frozen=True)
class Options:
    """How files are to be translated."""

    format: str | None = None  # of every output, a key of ``images.WRITABLE``; None: that of its source
    quality: int = 95  # of JPEG and WebP, 0 to 100
    background: int = 255  # grey level under transparent pixels, as the model sees them
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
        for name, most in (("quality", 100), ("background", 255)):
            if not 0 <= getattr(self, name) <= most:
                raise ValueError(f"{name} is {getattr(self, name)}; expected 0 to {most}")
        if self.shard is not None:
            from i2i.runtime import shards

            shards.parse(self.shard)

    def output_name(self, source: str | Path) -> str:
        """The name of the translated file, of a source by its Path or its relative name."""
        return output_name(source, self.format, self.suffix)


class StoppedError(OSError):
    """Nothing more can be written, as on a full disk. A folder job goes on from there when it is run again."""


def translate(image: Image, model: Model, options: Options, infer: Callable[[np.ndarray], np.ndarray]) -> Image:
    """The image through the model; ``infer`` runs the graph on [h, w, c]. Raises ModelError."""
    array = infer(processing.prepare(image, model.spec, options.background))
    result = keep_grey(processing.restore(array, image, model.spec), image)
    return replace(result, metadata=image.metadata, resolution=image.resolution)


def keep_grey(result: Image, image: Image) -> Image:
    """A grey image that a colour model left without colour is grey again."""
    colours = result.pixels
    if image.channels == 1 and result.channels == 3 and bool((colours == colours[..., :1]).all()):
        return Image(colours[..., :1].copy(), result.alpha, image.icc, result.format, result.frames)
    return result


def write(result: Image, source: Path, output: Path, options: Options) -> str:
    """Writes the output whole or not at all; returns what of the metadata it lacks, in words, or "".

    Raises ImageError, or StoppedError where no file can be written.
    """
    form = output_format(source, output, result.format, options)
    try:
        write_image(output, result, form, options.quality)
    except ImageError as error:
        stop_if_full(error.__cause__, output)
        raise
    return lacking(result.metadata, form, keeps_profile(result, form))


def output_format(source: Path, output: Path, read: str, options: Options) -> str:
    """That of the output of a source which holds the format ``read``.

    Raises ValueError for a name that says none that is written, or another than ``options.format``; with that, a name
    may be of no image at all.
    """
    if options.format is None and output.suffix == source.suffix and read in WRITABLE:
        return read  # even where the source's suffix says otherwise
    try:
        said = format_of(output)
    except ImageError as error:
        if options.format is not None and output.suffix.lower() not in IMAGE_SUFFIXES:
            return options.format
        raise ValueError(str(error)) from error
    if options.format not in (None, said):
        raise ValueError(f"{output} is the name of a {said} file, and {options.format} is asked for: leave one out")
    return said


def lacking(metadata: Metadata | None, format: str, keeps_profile: bool = True) -> str:
    """What a file of that format does not hold of an image's colour profile and metadata, in words, or ""."""
    lost = [] if keeps_profile else ["colour profile"]
    lost += left_out(metadata, format) if metadata is not None else []
    return f"without its {' and '.join(lost)}, which could not be carried over to {format}" if lost else ""


def stop_if_full(error: BaseException | None, output: Path) -> None:
    """Raises StoppedError if that error means that nothing more can be written here."""
    if isinstance(error, OSError) and error.errno in _FULL:
        reason = f"{os.strerror(error.errno)}: stopped here; run the same command again to go on"
        raise StoppedError(error.errno, reason, str(output)) from error
