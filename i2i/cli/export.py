"""``i2i export``: the generators of a run, as ONNX files."""

from __future__ import annotations

from pathlib import Path

import click


@click.command
@click.argument("run", type=click.Path(exists=True, path_type=Path))
@click.option(
    "-o",
    "--out",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file, for one direction: that of --to, or else the run's first.  "
    "[default: RUN/onnx/DIRECTION.onnx; for a tensor, DIRECTION.tensor.onnx]",
)
@click.option("--to", metavar="DOMAIN", help="Export only the generator that translates to this domain.")
@click.option(
    "--io",
    type=click.Choice(["pixels", "tensor"]),
    default="pixels",
    show_default=True,
    help="pixels: images in, images out. tensor: the bare network on [-1, 1].",
)
def command(run: Path, path: Path | None, to: str | None, io: str) -> None:
    """Write the generators of RUN, the folder of a training run, as ONNX files.

    A file takes images of any size and gives them back translated, in any program that runs ONNX, and describes
    itself. Each is compared with PyTorch before it is there. A generator of several domains is one file.
    """
    from i2i.exporter import choose, default_path, directions, export

    generators = directions(run)
    for direction in [choose(generators, to)] if to or path else generators:
        file = path or default_path(run, direction, io)
        click.echo(describe(export(generators, file, to=direction, io=io)))


def describe(path: Path) -> str:
    """The line on an exported file: where it is, what it does, its size, and how close to PyTorch it is."""
    from i2i.runtime.onnxfile import read_spec
    from i2i.runtime.targets import way

    spec = read_spec(path)
    assert spec is not None  # the exporter has just written it
    proof = spec.parity
    largest = f"{proof['largest']:g} {'of 255 levels' if proof['unit'] == 'levels' else proof['unit']}"
    reference = "PyTorch"
    if proof["against"] == "float64":
        reference = f"PyTorch in double precision ({proof['largest_from_float32']:g} from single)"
    return (
        f"{path}  {way(spec)}  {path.stat().st_size / 1e6:.1f} MB  "
        f"at most {largest} from {reference}, in {proof['differing']:.2g} of the values"
    )
