"""``i2i models``: list the finished runs and the available models, or show the card of one that comes with i2i."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from i2i.cli import help, providers
from i2i.cli.param_types import FilePath

if TYPE_CHECKING:
    from i2i.runtime.model.catalog import Run, Weights

HOW = "256x256 pixels, median of 3, measured now on this machine"
EXAMPLES = [
    ("i2i models", "all of them"),
    ("i2i models day2night", "the card of one that comes with i2i"),
    ("i2i models day2night -o card/", "writes the card and its picture"),
    ("i2i models --runs /data/runs", "another folder of runs"),
]


@help.command(examples=EXAMPLES)
@click.argument("name", required=False)
@help.option(
    "--runs",
    "root",
    group="Input and output",
    type=FilePath(),
    default="runs",
    show_default=True,
    metavar="DIR",
    help="Folder of runs.",
)
@help.option(
    "-o",
    "--out",
    group="Input and output",
    type=FilePath(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder to which the card of NAME is written as NAME.md, with its picture.  [default: none, it is printed]",
)
@providers.option
def command(name: str | None, root: str, out: Path | None, provider: str) -> None:
    """List the runs under runs/ and the models that come with i2i, by the names that `i2i translate -m` takes, and
    `i2i generate` where they start from noise. With NAME, show the card of a model that comes with i2i: what it does,
    licence, data, metrics and cost.

    An asterisk marks those that `i2i translate` and `i2i generate` use if no other is given. The milliseconds are
    measured on this machine while the list is printed.
    """
    from i2i.runtime.model import catalog

    if name is None:
        if out is not None:
            raise ValueError("-o writes the card of one model: give its name, such as `i2i models day2night -o card/`")
        _print_list(root, provider)
        return
    model = catalog.shipped(name)
    if out is not None:
        from i2i.reporting import shipped

        click.echo(str(shipped.write(model, out)))
        return
    _print_card(model, provider)


def _print_list(root: str, provider: str) -> None:
    from i2i.runtime.model import catalog

    found, shipped = catalog.runs(root), catalog.weights()
    taken = found if root == str(catalog.RUNS) else catalog.runs()  # `i2i translate` looks nowhere else
    newest = catalog.newest(taken)
    _print_runs(found, taken)
    width, on = max((len(entry.name) for entry in shipped), default=0), ""
    for number, entry in enumerate(shipped):
        mark = "*" if newest is None and number == 0 else " "
        took, on = _speed(entry, provider)
        size, licence, about = entry.facts["size"] / 1e6, entry.facts["licence"], entry.facts["about"]
        click.echo(f"{mark} {entry.name:{width}}  {size:4.1f} MB  {took:>7}  {licence}  {about}")
    if shipped:
        click.echo(f"ms: for one image of {HOW} ({on})", err=True)
    elif newest is None:
        click.echo("none: train one with `i2i train`, or give a file with -m")


def _print_runs(found: list[Run], taken: list[Run]) -> None:
    """Print the runs; those that are used if no other is given are the newest of ``taken``."""
    from i2i.runtime.model import catalog, targets

    newest = (catalog.newest(taken), catalog.newest(taken, targets.GENERATOR))
    defaults = [run.path for run in newest if run is not None]
    for run in found:
        mark = "*" if run.path in defaults else " "
        ways = ", ".join(targets.way(spec) for spec in run.directions.values())
        files = sorted(direction for direction in run.directions if run.exported(direction, quick=True))
        exported = ", ".join(files) or "not exported"
        click.echo(
            f"{mark} {run.path}  {run.method}  {ways or 'no weights yet'}  {run.status}, step {run.step}, {exported}"
            if run.error is None
            else f"{mark} {run.path}  {run.method}  cannot be used  {run.status}, step {run.step}, {run.error}"
        )


def _speed(model: Weights, provider: str) -> tuple[str, str]:
    """Return the time that a model takes here, such as "17 ms", and on what."""
    from i2i.runtime import Model
    from i2i.runtime.model import speed

    loaded = Model(model.path, provider)
    took = speed.milliseconds(loaded)
    return f"{took:.0f} ms" if took >= 100 else f"{took:.3g} ms", speed.machine(loaded.provider)


def _print_card(model: Weights, provider: str) -> None:
    """Print the card, formatted if standard output is a terminal, then the path of its picture."""
    from i2i.reporting import shipped

    took, on = _speed(model, provider)
    here = f"{took} for {HOW} ({on})"
    text = shipped.card(model, None, here)
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.markdown import Markdown

        Console().print(Markdown(text))
    else:
        click.echo(text)
    click.echo(f"picture: {model.picture}")
