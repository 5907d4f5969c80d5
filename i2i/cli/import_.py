"""``i2i import``: convert a third-party checkpoint into a run."""

from __future__ import annotations

from pathlib import Path

import click

from i2i.cli import help
from i2i.cli.param_types import FilePath
from i2i.text import plural, split_names

EXAMPLES = [
    ("i2i import latest_net_G.pth --a horse --b zebra", "makes runs/import-latest_net_G"),
    ("i2i translate photos/ -m import-latest_net_G", "uses it"),
]


@help.command("import", examples=EXAMPLES)
@click.argument("checkpoint", type=FilePath(exists=True, dir_okay=False, path_type=Path))
@help.option(
    "-o",
    "--out",
    "run",
    group="Input and output",
    type=FilePath(file_okay=False, path_type=Path),
    metavar="RUN",
    help="Folder of the run.  [default: runs/import-NAME]",
)
@help.option(
    "--a", group="Model", default="a", show_default=True, metavar="NAME", help="Name of the domain it translates from."
)
@help.option(
    "--b", group="Model", default="b", show_default=True, metavar="NAME", help="Name of the domain it translates to."
)
@help.option(
    "--domains",
    group="Model",
    metavar="NAME,NAME...",
    help="Names of a StarGAN's domains, in the order of its labels, a name with a comma in double quotes.  [default: "
    "c0, c1, ...]",
)
@help.option(
    "--attributes",
    group="Model",
    is_flag=True,
    help="A StarGAN's domains can be combined, as CelebA's attributes can.",
)
@help.option(
    "--statistics",
    group="Model",
    type=click.Choice(["image", "averaged"]),
    help="Statistics of batch norm: each image's own, or the averages in the file.  [default: as its authors test it]",
)
@help.option(
    "--part",
    group="Model",
    metavar="NAME",
    help="Network to import, where the file contains several generators.  [default: the only one]",
)
def command(checkpoint: Path, run: Path | None, domains: str | None, **options: str | bool | None) -> None:
    """Convert CHECKPOINT, a third-party generator's .pth, .pt, .ckpt, .pkl or .safetensors file, into a run.

    The architecture follows from the tensors' names and shapes; no code in the file runs. Known are the ResNets and
    U-Nets of CycleGAN and pix2pix, CUT's ResNet, StarGAN, pix2pixHD's global generator, and CSC321's CycleGAN.

    Batch norm uses the statistics of each image, as the authors test networks trained at batch size 1; for CSC321's
    CycleGAN, trained at batch size 16, the averages of the training. If large areas lose their colour, the network was
    trained with larger batches: use --statistics averaged.
    """
    from i2i.importer import import_checkpoint

    names = split_names(domains) if domains else None
    made = import_checkpoint(checkpoint, run, domains=names, **options)  # type: ignore[arg-type]
    click.echo(describe(made))


def describe(run: Path) -> str:
    """Return the lines on an imported run: its folder, what it does, its family, and what was not loaded."""
    from i2i.runtime.model.catalog import read_run
    from i2i.runtime.model.targets import way

    found = read_run(run)
    assert found is not None  # the importer has just written it
    (spec,) = found.directions.values()
    channels = f"{spec.source.channels} to {plural(spec.target.channels, 'channel')}"
    recipe = spec.recipe
    line = f"{run}  {way(spec)}  {recipe['imported']['family']}, {channels}, statistics: {recipe['statistics']}"
    if ignored := recipe["imported"].get("ignored"):
        more = f" and {len(ignored) - 5} more" if len(ignored) > 5 else ""
        line += f"\nonly tensors were read; these objects of the file were not loaded: {', '.join(ignored[:5])}{more}"
    return line
