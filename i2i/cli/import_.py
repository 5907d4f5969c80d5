"""``i2i import``: make a run of a third-party generator."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("import")
@click.argument("checkpoint", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "--out", "run", type=click.Path(file_okay=False, path_type=Path), metavar="RUN",
              help="Folder of the run.  [default: runs/import-NAME]")  # fmt: skip
@click.option("--a", default="a", metavar="NAME", help="Name of the source domain.")
@click.option("--b", default="b", metavar="NAME", help="Name of the target domain.")
@click.option("--domains", metavar="NAME,NAME...", help="Names of a StarGAN's domains, in the order of its labels.")
@click.option("--attributes", is_flag=True, help="A StarGAN's domains can be combined, as CelebA's attributes.")
@click.option(
    "--statistics",
    type=click.Choice(["image", "averaged"]),
    help="Batch norm statistics: each image's, or the file's running averages.  [default: as its authors use it]",
)
@click.option("--part", metavar="NAME", help="Name of the network, if the file contains several generators.")
def command(checkpoint: Path, run: Path | None, domains: str | None, **options: str | bool | None) -> None:
    """Make a run of CHECKPOINT, a .pth, .pt, .ckpt, .pkl or .safetensors file of a third-party generator.

    \b
    i2i import latest_net_G.pth -o runs/horse2zebra --a horse --b zebra
    i2i translate pictures/ -m horse2zebra

    The network is recognised by its tensors' names and shapes, and no code in the file is run. Supported are CycleGAN's
    and pix2pix's ResNets and U-Nets, CUT's ResNet, StarGAN, pix2pixHD's global generator and CSC321's CycleGAN.

    Batch norm uses the statistics of each image, as the authors do for networks trained at batch 1, and in CSC321's,
    trained in batches of 16, the running averages. If large areas lose their colour, the network was trained in larger
    batches: use --statistics averaged.
    """
    from i2i.importer import import_checkpoint

    names = [name.strip() for name in domains.split(",")] if domains else None
    made = import_checkpoint(checkpoint, run, domains=names, **options)  # type: ignore[arg-type]
    click.echo(describe(made))


def describe(run: Path) -> str:
    """Return the lines on an imported run: its folder, what it does, its family, and what was not loaded."""
    from i2i.runtime.models import read_run
    from i2i.runtime.targets import way

    found = read_run(run)
    assert found is not None  # the importer has just written it
    (spec,) = found.directions.values()
    channels = f"{spec.source.channels} to {spec.target.channels} channels"
    recipe = spec.recipe
    line = f"{run}  {way(spec)}  {recipe['imported']['family']}, {channels}, statistics: {recipe['statistics']}"
    if ignored := recipe["imported"].get("ignored"):
        more = f" and {len(ignored) - 5} more" if len(ignored) > 5 else ""
        line += f"\nonly tensors were read; these objects of the file were not loaded: {', '.join(ignored[:5])}{more}"
    return line
