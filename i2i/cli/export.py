"""``i2i export``: write the generators of a run as ONNX files."""

from __future__ import annotations

from pathlib import Path

import click

from i2i.spec import PRECISIONS, Spec


@click.command
@click.argument("run", type=click.Path(exists=True, path_type=Path))
@click.option(
    "-o",
    "--out",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write, for one direction: that of --to, or the run's first.  [default: RUN/onnx/DIRECTION.onnx, or "
    "DIRECTION.tensor.onnx, DIRECTION.int8.onnx with other --io or --precision]",
)
@click.option("--to", metavar="DOMAIN", help="Export only the generator that translates to this domain.")
@click.option(
    "--io",
    type=click.Choice(["pixels", "tensor"]),
    default="pixels",
    show_default=True,
    help="pixels: takes and returns images. tensor: the bare network on [-1, 1].",
)
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default="fp32",
    show_default=True,
    help="fp16: half the size and faster on GPUs; a CPU computes it in float32. int8: a quarter of the size and "
    "faster on CPUs, most of all with OpenVINO.",
)
@click.option(
    "--calibrate",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="For fp16 and int8: typical input images, at least 4; for int8 at least 12, better 24. int8 is calibrated on "
    "some, and the loss is measured on others.  [default: the training images]",
)
def command(run: Path, path: Path | None, to: str | None, io: str, precision: str, calibrate: Path | None) -> None:
    """Write the generators of RUN, the folder of a training run, as ONNX files.

    RUN may also be an exported file in fp32, to convert it to another precision.

    An exported file takes images of any size and returns them translated, in any program that runs ONNX, and describes
    itself. It is compared with PyTorch before it is written. A generator of several domains is one file.

    fp16 and int8 are compared with fp32 on real images. A file below 60 dB PSNR, for int8 below 45 dB or with a value
    off by more than 8 of 255, is refused. The file records its accuracy.
    """
    from i2i.exporter import choose, default_path, directions, export

    if run.suffix == ".onnx":
        click.echo(describe(export(run, path, to=to, io=io, precision=precision, calibrate=calibrate)))
        return
    generators = directions(run)
    whole = precision == "fp32"  # other precisions need the run's images
    for direction in [choose(generators, to)] if to or path else generators:
        file = path or default_path(run, direction, io, precision)
        source = generators if whole else run
        click.echo(describe(export(source, file, to=direction, io=io, precision=precision, calibrate=calibrate)))


def describe(path: Path) -> str:
    """Describe an exported file in one line: path, direction, size, and difference from PyTorch."""
    from i2i.runtime.onnxfile import read_spec
    from i2i.runtime.targets import way

    spec = read_spec(path)
    assert spec is not None  # the exporter has just written it
    proof = spec.parity
    largest = f"{proof['largest']:g} {'of 255 levels' if proof['unit'] == 'levels' else proof['unit']}"
    reference = "PyTorch"
    if proof["against"] == "float64":
        reference = f"PyTorch in double precision ({proof['largest_from_float32']:g} from single)"
    start = f"{path}  {way(spec)}  {path.stat().st_size / 1e6:.1f} MB  "
    if spec.loss:
        return start + loss_in_words(spec)
    return start + f"at most {largest} from {reference}, in {proof['differing']:.2g} of the values"


def loss_in_words(spec: Spec) -> str:
    """Describe the loss of a precision, and the images it was measured on."""
    loss = spec.loss
    psnr = "no difference" if loss["psnr"] is None else f"{loss['psnr']:.1f} dB"
    words = (
        f"{spec.precision}: {psnr} from fp32, at most {loss['largest']:g} of 255 levels, on {loss['held_out']} images"
    )
    if "convolutions" in loss:
        done, there = loss["convolutions"]
        words += f" (calibrated on {loss['calibration']} others); {done} of {there} convolutions in int8"
    return words
