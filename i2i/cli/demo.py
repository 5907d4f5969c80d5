"""``i2i demo``: draw data, train, export and translate."""

from __future__ import annotations

from pathlib import Path

import click

from i2i.cli import help
from i2i.cli.param_types import FilePath

EXAMPLES = [
    ("i2i demo", "writes i2i-demo/contact.png"),
    ("i2i demo --out /tmp/demo --seed 7", "other landscapes"),
    ("i2i demo --what captions", "draws i2i-demo/captions, houses described in words"),
    ("i2i demo --what family", "draws i2i-demo/family, faces in four groups"),
]
WHAT = ("drawings", "captions", "family")


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
    "--what",
    group="Data",
    type=click.Choice(WHAT),
    default=WHAT[0],
    show_default=True,
    help="Drawings to make; captions and family are data to train on, without a training.",
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
def command(ctx: click.Context, out: Path, what: str, seed: int) -> None:
    """Draw data, train, export and translate, in five minutes.

    Draws small landscapes, trains pix2pix on pairs (labels to day) and CycleGAN on unpaired images (day to night),
    exports both, translates a folder with each, and writes one contact sheet with sources, results and ground truth.
    Exits with status 1 if the results are too far from the ground truth.

    With --what captions or family it only draws, in less than a minute, 64-pixel images to train on: houses with a
    caption each (captions.csv), or faces of smiling and calm women and men, a folder for each group. Both have a
    table of all attributes (attributes.csv).
    """
    from i2i.demo.run import demo, draw_dataset

    if what != WHAT[0]:
        draw_dataset(out, what, seed, click.echo)
    elif not demo(out, seed, click.echo):
        ctx.exit(1)
