"""The option of ``i2i translate`` for images larger than the memory, and how far such an image is."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from i2i.cli.help import option as grouped

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


def bound(model: Model, tile: str, alone: bool) -> Model:
    """The model, taking images in tiles as ``--tile`` says. If ``alone``, an image's tiles are counted by a bar where
    there is a terminal; among others, and elsewhere, by a line a minute."""
    return model.tiled(tile, progress=_bar() if alone and sys.stderr.isatty() else _lines())


def _lines() -> Callable[[int, int], None]:
    """Tells on stderr how many tiles are done, once a minute."""
    last = time.monotonic()

    def line(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last > 60:
            last = time.monotonic()
            click.echo(f"{done} of {total} tiles of an image", err=True)

    return line


def _bar() -> Callable[[int, int], None]:
    """Shows on a terminal how many tiles are done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("tiles"), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True))
    task = bar.add_task("", total=None)

    def end() -> None:
        try:
            bar.stop()
        except IndexError:  # an interrupt came while it started
            bar.console.show_cursor()

    click.get_current_context().call_on_close(end)  # whatever ends the work: the terminal gets its cursor back

    def update(done: int, total: int) -> None:
        bar.update(task, total=total, completed=done)
        if done == 1:
            bar.start()
        if done == total:
            bar.stop()

    return update
