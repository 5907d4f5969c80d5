"""``i2i demo``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("i2i-demo"),
    show_default=True,
    help="Folder that everything is written to; run again, it goes on there.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the drawings and the training."
)
@click.pass_context
def command(ctx: click.Context, out: Path, seed: int) -> None:
    """Draw data, train, export and translate, in five minutes.

    Draws small landscapes, trains pix2pix on pairs (labels to day) and CycleGAN on unpaired pictures (day to night),
    exports both, translates a folder with each file, and writes one contact sheet beside the truth. Exits with status 1
    if the results are not near enough to it.
    """
    from i2i.demo.run import demo

    if not demo(out, seed, click.echo):
        ctx.exit(1)
