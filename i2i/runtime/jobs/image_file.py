"""One image file to another, and what is kept of it on the way."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from i2i.errors import I2IError
from i2i.images import (
    IMAGE_SUFFIXES,
    WRITABLE,
    Image,
    ImageError,
    format_of,
    keeps_profile,
    left_out,
    write_image,
)
from i2i.runtime import processing
from i2i.runtime.jobs.options import Options
from i2i.runtime.model.model import Model

if TYPE_CHECKING:
    from i2i.images.image import Metadata

NO_MEMORY = "it does not fit into the memory; make it smaller, or free some memory"

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


class StoppedError(I2IError, OSError):
    """Nothing more can be written, as on a full disk. A folder job goes on from there when it is run again."""


def translate(image: Image, model: Model, options: Options, infer: Callable[[np.ndarray], np.ndarray]) -> Image:
    """The image through the model; ``infer`` runs the graph on [h, w, c]. Raises ModelError."""
    array = infer(processing.prepare(image, model.spec, options.background))
    result = keep_grey(processing.restore(array, image, model.spec, options.background), image)
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
