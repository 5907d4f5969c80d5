"""Which image files are too large to be decoded whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from i2i.images import Header, read_header
from i2i.runtime.errors import ModelError
from i2i.runtime.jobs import image_file
from i2i.runtime.jobs.options import Options
from i2i.runtime.model.model import Model
from i2i.runtime.system.host import available_memory

if TYPE_CHECKING:
    from i2i.runtime.jobs.strips import Large

WHOLE = 2**26
"""Pixels up to which an image is decoded whole, if the memory is not short: with its result and what is between them it
takes about a gigabyte."""
SHARE = 4
"""Of the free memory, one part in so many is for images that are decoded whole."""

_COPIES = 5  # of the pixels, that are in memory on the way from file to file


def plan(source: Path, output: Path, model: Model, options: Options, header: Header | None = None) -> Large | None:
    """How the file, which has that header, is to be translated strip by strip; None if it is to be decoded whole.

    That is so where it is small, where its format or that of the output is none of STRIPWISE, and where the model does
    not take it in tiles. Raises ImageError where the file is no image, too large or damaged.
    """
    how = model.tile.how
    if how == "off":
        return None
    header = header or read_header(source, options.max_pixels)
    if not _is_large(header):
        return None
    from i2i.images.large.reader import STRIPWISE, open_strips  # which take a while to import, and few images need
    from i2i.runtime.jobs.strips import Large
    from i2i.runtime.tiles.tiler import check

    form = image_file.output_format(source, output, header.format, options)
    tiling = model.tile.tiling(model.spec)
    if form not in STRIPWISE or header.format not in STRIPWISE or max(header.width, header.height) <= tiling.side:
        return None
    try:
        check(model.spec, model.path.name)
    except ModelError:  # which says so when it gets the image
        return None
    if how == "auto" and _is_held(model, header):
        return None
    reader = open_strips(source, options.max_pixels)
    size = f"{header.width} x {header.height} pixels"
    if reader is None:
        model.tile.say(f"{source}: a {header.format} of this kind is decoded whole, all {size} of it")
    elif how == "auto":
        model.tile.say(f"{size} are too many at once; going on in tiles, strip by strip")
    return None if reader is None else Large(reader, model, form, tiling)


def decoded(header: Header) -> int:
    """Bytes that the image takes if it is decoded whole, on its way from file to file."""
    return header.width * header.height * (header.channels + header.alpha) * (header.bits // 8) * _COPIES


def _is_large(header: Header) -> bool:
    return header.width * header.height > WHOLE or _is_short(header)


def _is_short(header: Header) -> bool:
    """Whether the memory is short for its pixels, decoded whole."""
    free = available_memory() if header.width * header.height > WHOLE // 64 else None
    return free is not None and decoded(header) > free / SHARE


def _is_held(model: Model, header: Header) -> bool:
    """Whether the memory has room for the whole image in the network: a GPU's own, with the pixels outside of it."""
    if not model.on_processor and _is_short(header):
        return False
    return model.graph.holds(header.width, header.height, model.target)
