"""``i2i demo``: draw data, train, export and translate."""

from __future__ import annotations

from pathlib import Path

import click

from i2i.cli import help
from i2i.cli.param_types import FilePath

EXAMPLES = [("i2i demo", "writes i2i-demo/contact.png"), ("i2i demo --out /tmp/demo --seed 7", "other landscapes")]


@help.command(examples=EXAMPLES)
@help.option(
    "--out",
    group="Input and output",
    type=FilePath(file_okay=False, path_type=Path),
    default=Path("i2i-demo"),
    show_default=True,
    help="Folder for everything the demo writes; an interrupted demo continues there.",
)
@help.option(
    "--seed",
    group="Training",
    type=click.IntRange(0, 2**64 - 1),
    default=0,
    show_default=True,
    help="Seed of the drawings and the training.",
)
@click.pass_context
def command(ctx: click.Context, out: Path, seed: int) -> None:
    """Draw data, train, export and translate, in five minutes.

    Draws small landscapes, trains pix2pix on pairs (labels to day) and CycleGAN on unpaired images (day to night),
    exports both, translates a folder with each, and writes one contact sheet with sources, results and ground truth.
    Exits with status 1 if the results are too far from the ground truth.
    """
    from i2i.demo.run import demo

    if not demo(out, seed, click.echo):
        ctx.exit(1)
