"""Decide which image files are too large to be decoded whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from i2i.images import Header
from i2i.runtime.errors import ModelError
from i2i.runtime.jobs.options import Options
from i2i.runtime.jobs.planning import ImageTask
from i2i.runtime.model.model import Model
from i2i.runtime.system.host import available_memory

if TYPE_CHECKING:
    from i2i.runtime.jobs.strips import StripTranslation

DECODE_LIMIT = 2**26
"""Pixels up to which an image is decoded whole, if the memory is not short: with its result and intermediate arrays it
takes about a gigabyte."""
MEMORY_SHARE = 4
"""Images that are decoded whole may take one part in this many of the free memory."""

_COPIES = 5  # of the pixels, in memory on the way from file to file


def in_strips(task: ImageTask, model: Model, options: Options) -> StripTranslation | None:
    """Return how the file is translated strip by strip; None if it is decoded whole.

    It is decoded whole if it is small, if its format or that of the result is not in STRIPWISE, if it or the
    result has bands, if a mask pastes it back, and if the model cannot run in tiles. Raises ImageError if the file is
    damaged.
    """
    how, header = model.tile.how, task.header
    whole = header.bands or model.spec.target.bands or options.mask is not None
    if how == "off" or whole or not _is_large(header):
        return None
    from i2i.images.large.reader import STRIPWISE, open_strips  # slow to import, and few images need them
    from i2i.runtime.jobs.strips import StripTranslation
    from i2i.runtime.tiles.tiler import check

    tiling = model.tile.tiling(model.spec)
    if task.format not in STRIPWISE or header.format not in STRIPWISE:
        return None
    if max(header.width, header.height) <= tiling.side:
        return None
    try:
        check(model.spec, model.path.name)
    except ModelError:  # raised again when the model gets the image
        return None
    if how == "auto" and _fits_whole(model, header):
        return None
    reader = open_strips(task.source, options.max_pixels)
    size = f"{header.width} x {header.height} pixels"
    if reader is None:
        model.tile.say(f"{task.source}: a {header.format} of this kind is decoded whole, all {size} of it")
        return None
    if how == "auto":
        model.tile.say(f"{size} do not fit into memory at once; continuing in tiles, strip by strip")
    return StripTranslation(task, reader, model, tiling)


def decoded_bytes(header: Header) -> int:
    """Return the bytes that the image takes in memory, if it is decoded whole, from file to file."""
    return header.width * header.height * (header.channels + header.alpha) * (header.bits // 8) * _COPIES


def _is_large(header: Header) -> bool:
    return header.width * header.height > DECODE_LIMIT or _is_short(header)


def _is_short(header: Header) -> bool:
    """True if the image, decoded whole, takes a large share of the free memory."""
    free = available_memory() if header.width * header.height > DECODE_LIMIT // 64 else None
    return free is not None and decoded_bytes(header) > free / MEMORY_SHARE


def _fits_whole(model: Model, header: Header) -> bool:
    """True if memory has room for the whole image in the network: that of the GPU, if the pixels fit in main memory."""
    if not model.on_cpu and _is_short(header):
        return False
    return model.executor.fits(header.width, header.height)
