"""Translate one decoded image, and write the result."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePath

import numpy as np

from i2i.atomic import FULL
from i2i.errors import MAY_PASS, I2IError
from i2i.images import Header, Image, ImageError, losses, write_image
from i2i.images.domains import kind
from i2i.images.encode import check_holds_bands
from i2i.lost import Lost, fewer_bits
from i2i.runtime import processing
from i2i.runtime.errors import ModelError
from i2i.runtime.jobs import masks
from i2i.runtime.jobs.options import Options
from i2i.runtime.model.model import Model
from i2i.spec import Spec

NO_MEMORY = "it does not fit into the memory; make it smaller, or free some memory"


class StoppedError(OSError, I2IError):
    """No file can be written any more, as on a full disk. A folder job continues from there when it is run again."""

    exit_status = MAY_PASS

    def __str__(self) -> str:
        return f"{self.filename}: {self.strerror}"


def translate(
    image: Image,
    model: Model,
    options: Options,
    infer: Callable[[np.ndarray], np.ndarray],
    format: str | None = None,
    name: str | PurePath = "",
    mask: masks.Mask | None = None,
) -> Image:
    """Return the image as the model translates it; ``infer`` runs the graph on [h, w, c].

    ``name`` is that of the image within its folder, by which its mask is found among those of the options; else it is
    ``mask``. Raises ModelError, also where a result
    of bands is to be written in a ``format`` that cannot hold them, and ImageError for its mask.
    """
    if format is not None and model.spec.target.bands:
        try:
            check_holds_bands(format, kind(model.spec.target))
        except ValueError as error:
            raise ModelError(str(error)) from error
    if options.mask is not None:
        mask = masks.read(options.mask, name, options.max_pixels)
    if mask is not None and model.spec.inpaints:
        image = masks.with_holes(image, mask)
    array = infer(processing.prepare(image, model.spec, options.background))
    result = keep_grey(processing.restore(array, image, model.spec, options.background), image)
    if mask is not None and not model.spec.inpaints:
        result = masks.pasted(result, image, mask)
    lost = image.lost + bits_lost(image, model.spec) + processing.beyond_range(image, model.spec)
    if image.alpha is not None and result.alpha is None and not model.spec.inpaints:
        lost += ("alpha",)
    if image.icc is not None and result.icc is None:
        lost += ("colour profile",)
    return replace(result, metadata=image.metadata, resolution=image.resolution, lost=lost, coding=image.coding)


def bits_lost(image: Image | Header, spec: Spec) -> tuple[str, ...]:
    """Return the name of the loss, if there is one, where the model handles pictures of fewer bits than this one."""
    if image.bands or spec.target.bands:
        return ()
    handled = min(spec.source.bits, spec.target.bits)
    return (fewer_bits(handled),) if image.bits > handled else ()


def keep_grey(result: Image, image: Image) -> Image:
    """Return a grey image as grey again if a colour model added no colour."""
    colours = result.pixels
    if image.channels == 1 and not image.bands and result.channels == 3 and bool((colours == colours[..., :1]).all()):
        return replace(result, pixels=colours[..., :1].copy(), icc=image.icc)
    return result


def write(result: Image, target: Path, format: str, options: Options) -> Lost:
    """Write the result completely or not at all; return what it lacks of its source.

    Raises ImageError, or StoppedError where no file can be written.
    """
    try:
        write_image(target, result, format, options.quality)
    except ImageError as error:
        stop_if_full(error.__cause__, target)
        raise
    return Lost.of(losses(result, format), format)


def stop_if_full(error: BaseException | None, output: Path) -> None:
    """Raise StoppedError if the error means that nothing more can be written here."""
    if isinstance(error, OSError) and error.errno in (*FULL, errno.EROFS):
        reason = f"{os.strerror(error.errno)}: stopped here; run the same command again to go on"
        raise StoppedError(error.errno, reason, str(output)) from error
