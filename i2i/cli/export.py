"""``i2i export``: write the generators of a run as ONNX files."""

from __future__ import annotations

from pathlib import Path

import click

from i2i.cli import help
from i2i.cli.param_types import FilePath
from i2i.spec import PRECISIONS, WEIGHTS, Spec
from i2i.text import plural

EXAMPLES = [
    ("i2i export runs/cyclegan-horse2zebra", "one file for each direction"),
    ("i2i export runs/cyclegan-horse2zebra --to zebra", "one of them"),
    ("i2i export RUN --precision int8", "a quarter of the size"),
    ("i2i export model.onnx --triton repository", "for Triton Inference Server"),
]


@help.command(examples=EXAMPLES)
@click.argument("run", type=FilePath(path_type=Path))
@help.option(
    "-o",
    "--out",
    "path",
    group="Input and output",
    type=FilePath(dir_okay=False, path_type=Path),
    help="File to write, for one direction: that of --to, else the run's first.  [default: RUN/onnx/DIRECTION.onnx, "
    "or DIRECTION.tensor.onnx, DIRECTION.int8.onnx and so on for other interfaces and precisions]",
)
@help.option(
    "--triton",
    group="Input and output",
    metavar="DIR",
    type=FilePath(file_okay=False, path_type=Path),
    help="Add the files to this model repository of Triton Inference Server too, each as the newest version of its "
    "model. A RUN that is an exported file is added as it is.",
)
@help.option(
    "--calibrate",
    group="Input and output",
    metavar="DIR",
    type=FilePath(exists=True, file_okay=False, path_type=Path),
    help="Folder of images like those the model will see, to calibrate int8 and to measure the loss of fp16 and int8: "
    "at least 4, for int8 at least 12, better 24.  [default: the run's training images]",
)
@help.option(
    "--to",
    group="Model",
    metavar="DOMAIN",
    help="Export only the generator that translates to this domain, or the direction of this name, such as b2a or "
    "generate.  [default: all]",
)
@help.option(
    "--io",
    group="Model",
    type=click.Choice(["pixels", "tensor"]),
    default="pixels",
    show_default=True,
    help="Interface of the file. pixels: images in, images out; tensor: the bare network on values from -1 to 1.",
)
@help.option(
    "--precision",
    group="Model",
    type=click.Choice(PRECISIONS),
    default="fp32",
    show_default=True,
    help="Precision of the weights. fp16: half the size, faster on GPUs; a CPU computes it in float32. int8: a quarter "
    "of the size, faster on CPUs, most of all with OpenVINO.",
)
@help.option(
    "--weights",
    group="Model",
    type=click.Choice(WEIGHTS),
    default="best",
    show_default=True,
    help="Weights of the run. best: those that training with --eval-every chose on validation images, which are the "
    "newest where it chose none; newest: those of the last step.",
)
def command(
    run: Path,
    path: Path | None,
    to: str | None,
    io: str,
    precision: str,
    calibrate: Path | None,
    weights: str,
    triton: Path | None,
) -> None:
    """Write the generators of RUN, the folder of a training run or its name under runs/, as ONNX files.

    RUN may also be an exported file in fp32, to convert it to another precision.

    A file takes images of any size, returns them translated, runs in any program that runs ONNX, and describes itself.
    Each is compared with PyTorch before it is written. A generator of several domains is one file. One that starts from
    noise takes z instead of images, and `i2i generate` runs it.

    fp16 and int8 are compared with fp32 on real images (from noise: on seeds), and refused below a PSNR of 60 dB (int8:
    45 dB, or a value off by more than 8 of 255). The measured loss is stored in the file.
    """
    run = _found(run)
    if triton is not None and run.suffix == ".onnx" and path is None and precision == "fp32":
        add_to_triton(run, triton)
        return
    from i2i.exporter import choose, default_path, directions, export

    if run.suffix == ".onnx":
        made = export(run, path, to=to, io=io, precision=precision, calibrate=calibrate, weights=weights)
        click.echo(describe(made))
        add_to_triton(made, triton)
        return
    generators = directions(run, weights)
    whole = precision == "fp32"  # other precisions need the run's images
    for direction in [choose(generators, to)] if to or path else generators:
        file = path or default_path(run, direction, io, precision, weights)
        source = generators if whole else run
        options = {"io": io, "precision": precision, "calibrate": calibrate, "weights": weights}
        made = export(source, file, to=direction, **options)  # type: ignore[arg-type]
        click.echo(describe(made))
        add_to_triton(made, triton, f"{run.name}-{made.stem}" if path is None else None)


def _found(run: Path) -> Path:
    """Return the path of a run, which may be its name alone, or of a file. Raises ValueError if it is not there."""
    from i2i.runtime.model import catalog

    if not (found := catalog.by_name(run)).exists():
        raise ValueError(f"{run}: no such run or file; give the folder of a run, such as runs/NAME, or an .onnx file")
    return found


def add_to_triton(model: Path, folder: Path | None, name: str | None = None) -> None:
    """Add a file to a model repository, if one is asked for, and print the folder of the model."""
    if folder is not None:
        from i2i.serving.triton import write_repository

        click.echo(str(write_repository(model, folder, name)))


def describe(path: Path) -> str:
    """Return a line on an exported file: its path, direction, size and difference from PyTorch."""
    from i2i.runtime.graphs.onnx_file import read_spec
    from i2i.runtime.model.catalog import chosen_by
    from i2i.runtime.model.targets import way

    spec = read_spec(path)
    assert spec is not None  # the exporter has just written it
    proof = spec.parity
    largest = f"{proof['largest']:g} {'of 255 levels' if proof['unit'] == 'levels' else proof['unit']}"
    reference = "PyTorch"
    if proof["against"] == "float64":
        reference = f"PyTorch in double precision ({proof['largest_from_float32']:g} from single)"
    start = f"{path}  {way(spec)}  {path.stat().st_size / 1e6:.1f} MB  "
    start += f"{chosen}  " if (chosen := chosen_by(spec)) else ""
    if spec.loss:
        return start + loss_in_words(spec)
    return start + f"at most {largest} from {reference}, in {proof['differing']:.2g} of the values"


def loss_in_words(spec: Spec) -> str:
    """Return the measured loss of a precision, and the number of images it was measured on."""
    loss = spec.loss
    psnr = "no difference" if loss["psnr"] is None else f"{loss['psnr']:.1f} dB"
    words = f"{spec.precision}: {psnr} from fp32, at most {loss['largest']:g} of 255 levels, "
    words += f"on {plural(loss['held_out'], 'image')}"
    if "convolutions" in loss:
        done, there = loss["convolutions"]
        words += f" (calibrated on {plural(loss['calibration'], 'other')}); {done} of "
        words += f"{plural(there, 'convolution')} in int8"
    return words
