"""``i2i check``: report on a folder of training data without training."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@click.command()
@click.argument("method", required=False)
@click.option(
    "--data", type=click.Path(),
    help="Folder of all domains: train/ of pairs side by side, trainA trainB, or train/DOMAIN.",
)  # fmt: skip
@click.option("--a", type=click.Path(), help="Folder of domain A.")
@click.option("--b", type=click.Path(), help="Folder of domain B.")
@click.option("--attributes", type=click.Path(), help="Table of attributes, CelebA's format or CSV.")
@click.option("--select", metavar="NAME,NAME...", help="Attributes or domains to use; all by default.")
@click.option("--paired/--unpaired", default=None, help="Kind of data, if no METHOD is given.")
@click.option("--direction", type=click.Choice(["a2b", "b2a"]), default="a2b", show_default=True)
@click.option("--channels", type=click.Choice(["auto", "1", "3", "4"]), default="auto", show_default=True)
@click.option("--split", type=click.Choice(["train", "val", "test"]), default="train", show_default=True)
@click.option("--max-bad", type=click.IntRange(0), default=0, show_default=True, help="Unreadable files to leave out.")
def command(
    method: str | None, data: str | None, a: str | None, b: str | None, paired: bool | None, direction: str,
    channels: str, split: str, max_bad: int, attributes: str | None, select: str | None,
) -> None:  # fmt: skip
    """Report on the training data of METHOD, and name every file that training would fail on.

    Each file is decoded once. The exit status is 1 if training would refuse the data. Without METHOD, --paired or
    --unpaired, files side by side are taken as pairs and two folders as unpaired; with --attributes or --select the
    data has many domains.
    """
    if data is None and (a is None or b is None):
        raise click.UsageError("give --data DIR, or both --a DIR and --b DIR")
    if data is not None and (a is not None or b is not None):
        raise click.UsageError("give either --data DIR, or --a DIR and --b DIR")
    from i2i.data import DataError, read_folders
    from i2i.data.layout import find_layout

    try:
        if method is not None:
            kind = _kind(method, paired)
        elif paired is not None:
            kind = "pairs" if paired else "unpaired"
        elif attributes is not None or select is not None:
            kind = "domains"
        else:
            kind = "pairs" if find_layout(split, data, a, b).aligned else "unpaired"
        with _progress() as progress:
            dataset = read_folders(
                kind, data=data, a=a, b=b, direction=direction, split=split,
                channels="auto" if channels == "auto" else int(channels), max_bad=max_bad, progress=progress,
                attributes=attributes, select=select,
            )  # fmt: skip
    except DataError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    click.echo(str(dataset.report))
    click.echo(f"good to train: {len(dataset)} images an epoch")


def _kind(method: str, paired: bool | None) -> str:
    from i2i.translators import translator_class

    kind: str = translator_class(method).data
    if paired is not None and kind != ("pairs" if paired else "unpaired"):
        raise click.UsageError(f"{method} trains on {kind}; remove --{'' if paired else 'un'}paired")
    return kind


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None] | None]:
    """Show a progress bar on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress

    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading")
        yield lambda done, total: bar.update(task, completed=done, total=total)
