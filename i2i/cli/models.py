"""``i2i models``: list the finished runs and the available models."""

from __future__ import annotations

import click

from i2i.cli import help
from i2i.cli.param_types import FilePath

EXAMPLES = [("i2i models", "all of them"), ("i2i models --runs /data/runs", "another folder of runs")]


@help.command(examples=EXAMPLES)
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
def command(root: str) -> None:
    """List the runs under runs/ and the models that come with i2i, by the names that `i2i translate -m` takes, and
    `i2i generate` where they start from noise.

    An asterisk marks those that `i2i translate` and `i2i generate` use if no other is given.
    """
    from i2i.runtime.model import catalog, targets

    found = catalog.runs(root)
    newest = catalog.newest(found)
    defaults = [run.path for run in (newest, catalog.newest(found, targets.GENERATOR)) if run is not None]
    for run in found:
        mark = "*" if run.path in defaults else " "
        ways = ", ".join(targets.way(spec) for spec in run.directions.values())
        exported = ", ".join(sorted(file for file in run.directions if run.exported(file))) or "not exported"
        click.echo(
            f"{mark} {run.path}  {run.method}  {ways or 'no weights yet'}  {run.status}, step {run.step}, {exported}"
            if run.error is None
            else f"{mark} {run.path}  {run.method}  cannot be used  {run.status}, step {run.step}, {run.error}"
        )
    for number, entry in enumerate(catalog.weights()):
        mark = "*" if newest is None and number == 0 else " "
        about = entry.facts.get("about", "")
        click.echo(f"{mark} {entry.name}  {entry.facts.get('size', 0) / 1e6:.1f} MB  {about}")
    if newest is None and not catalog.weights():
        click.echo("none: train one with `i2i train`, or give a file with -m")
