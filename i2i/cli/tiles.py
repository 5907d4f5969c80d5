"""The option ``--tile`` for images larger than memory, and the progress of their tiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from i2i.cli.help import option as grouped
from i2i.progress import Progress

if TYPE_CHECKING:
    from i2i.runtime import Model


def option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--tile``."""
    return grouped(
        "--tile",
        group="Large images",
        metavar="auto|N|exact|off",
        default="auto",
        show_default=True,
        help="Cut images into tiles that share their normalisation statistics, so that no seams show. auto: only where "
        "memory is too small for the whole image; N: tiles of N pixels a side; exact: statistics of the whole image, "
        "in many passes; off: never. A TIFF, PNG or JPEG above 67 million pixels is read and written in strips.",
    )(command)


def tiled(model: Model, tile: str, alone: bool) -> Model:
    """Return the model with the tiling that ``--tile`` asks for.

    If ``alone``, a terminal shows a bar of an image's tiles; among other images that could mix with their bar.
    """
    progress = click.get_current_context().with_resource(Progress("tile", "image", bar=alone))

    def update(done: int, total: int) -> None:
        progress.update(done, total)
        if done == total:
            progress.close()

    return model.tiled(tile, progress=update)
