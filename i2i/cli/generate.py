"""``i2i generate``: images from seeds, as files, as a contact sheet or as a video."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from i2i.cli import help, providers, without_garbage_collection
from i2i.cli.param_types import CodeValue, FilePath
from i2i.progress import Progress
from i2i.text import plural, printable

if TYPE_CHECKING:
    from i2i.runtime.model.generator import Generator

EXAMPLES = [
    ("i2i generate", "64 images, by the newest run of a generator"),
    ("i2i generate runs/NAME -n 16 --grid", "one contact sheet of 16"),
    ("i2i generate m.onnx -o out --seed 100", "files out/000100.png to out/000163.png"),
    ("i2i generate m.onnx --to cat --set pose=-1", "of one class, with a code set"),
    ("i2i generate m.onnx --text 'a red house at night'", "what a sentence says"),
    ("i2i generate m.onnx -n 8 --walk -o walk.mp4", "a video from seed to seed"),
    ("i2i generate m.onnx -n 2000 --labels uniform", "images and a table of labels, to train a classifier"),
]


@help.command(examples=EXAMPLES)
@click.argument("model", required=False)
@help.option(
    "-o",
    "--out",
    group="Input and output",
    type=FilePath(),  # as text, since a Path drops the slash at its end
    help="Folder for the images, or the file of --grid or --walk.  [default: generated/, NAME.png or NAME.mp4 beside "
    "MODEL]",
)
@help.option(
    "-n",
    "--number",
    "n",
    group="Input and output",
    type=click.IntRange(1),
    default=64,
    show_default=True,
    metavar="N",
    help="Number of images, at least 1.",
)
@help.option(
    "--seed",
    group="Input and output",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    show_default=True,
    metavar="S",
    help="First seed; the images are those of S to S+N-1.",
)
@help.option(
    "--grid", group="Input and output", is_flag=True, help="Write one contact sheet (PNG, JPEG or WebP) of all images."
)
@help.option("--overwrite", group="Input and output", is_flag=True, help="Replace existing files.")
@help.option(
    "--labels",
    group="Input and output",
    type=click.Choice(["new-class", "uniform", "pseudo"]),
    help="Also write labels.csv, a probability for each image and class: one more class for all generated images, all "
    "classes alike, or the class that --judge sees.  [default: none]",
)
@help.option(
    "--judge",
    group="Input and output",
    type=FilePath(),
    metavar="FILE",
    help="ONNX classifier for --labels: its classes, and its verdicts for pseudo.  [default: the generator's classes]",
)
@help.option(
    "--to",
    group="Model",
    metavar="CLASS",
    help="Class to draw, or attributes, separated by commas; required for a model with labels.  [default: none]",
)
@help.option(
    "--set",
    "codes",
    group="Model",
    multiple=True,
    type=CodeValue(),
    callback=lambda _context, _parameter, pairs: dict(pairs),
    help="Value of a named code: the index of a category, or -1 to 1 (up to 3 either way). Can be repeated.  [default: "
    "drawn from the seed]",
)
@help.option(
    "--truncate",
    group="Model",
    type=float,
    metavar="T",
    help="Redraw normal noise beyond T, above 0: more typical images, less variety.  [default: no limit]",
)
@help.option(
    "--text",
    group="Model",
    metavar="TEXT",
    help="Sentence to draw, for a model that was trained on captions, which needs it.  [default: none]",
)
@help.option(
    "--mean",
    group="Model",
    metavar="SUM",
    help="Draw images around a sum of the means of labels, such as 'smiling-woman - calm-woman + calm-man'; for vaegan "
    "and bigan.  [default: none]",
)
@help.option(
    "--spread",
    group="Model",
    type=float,
    default=0.5,
    show_default=True,
    metavar="F",
    help="Factor on the noise around --mean, from 0.",
)
@providers.options
@help.option(
    "--walk", group="Video", is_flag=True, help="Write one video that passes through the seeds, one after another."
)
@help.option(
    "--seconds",
    group="Video",
    type=float,
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="Time of a walk from one seed to the next, above 0 and up to 3600.",
)
@help.option(
    "--fps",
    group="Video",
    default="25",
    show_default=True,
    metavar="RATE",
    help="Frames per second of a walk, above 0 and up to 1000: 25 or 30000/1001.",
)
def command(
    model: str | None, to: str | None, provider: str, allow_fallback: bool, labels: str | None, judge: str | None,
    **given: Any,
) -> None:  # fmt: skip
    """Generate images with MODEL, the run of a generator or an .onnx file, without PyTorch.

    Each image has a seed, and its file the seed as its name: the same seed gives the same image on every machine,
    alone or among others. MODEL is also a name that `i2i models` lists; without one it is the newest finished run of a
    generator under runs/.

    Exit status: 0 written, 1 a file could not be written, 2 wrong usage or input, 4 provider not available,
    75 the disk is full, 130 interrupted.
    """
    if labels is None and judge is not None:
        raise click.UsageError("--judge belongs to --labels; give --labels pseudo, or leave it out")
    if labels is not None and (given["grid"] or given["walk"]):
        raise click.UsageError("--labels are those of files; leave out --grid and --walk")
    with without_garbage_collection():
        from i2i.runtime.generation.api import generate, open_generator
        from i2i.runtime.model import targets

    providers.print_notes()
    generator, choice = open_generator(model, to, provider, allow_fallback)
    way = targets.way(generator.spec, generator.to)
    click.echo(f"model {printable(choice.path)} ({choice.why}): {way}, on {generator.provider}", err=True)
    label = None if labels is None else _labels(generator, labels, judge, provider, given)
    with Progress("frame" if given["walk"] else "image") as progress:
        path = generate(generator, progress=progress.update, **given)
    if not (given["walk"] or given["grid"]):
        click.echo(f"{plural(given['n'], 'image')} in {printable(path)}", err=True)
    if label is not None:
        with Progress("label") as progress:
            click.echo(f"labels in {printable(label(path, progress.update))}", err=True)
    click.echo(printable(path))


def _labels(
    generator: Generator, scheme: str, judge: str | None, provider: str, given: dict[str, Any]
) -> Callable[[Path, Callable[[int, int], object]], Path]:
    """Return a function that writes the table of the images in a folder, once all it needs is found to be there."""
    from i2i.evaluation.labelling import Labels, check_table
    from i2i.runtime.generation.outputs import destination, file_name

    check_table(destination(generator, given["out"], ""), given["overwrite"])
    labels = Labels(scheme, () if generator.spec.attributes else generator.spec.domains, judge, provider)
    names = [file_name(seed) for seed in range(given["seed"], given["seed"] + given["n"])]

    def write(folder: Path, progress: Callable[[int, int], object]) -> Path:
        table = check_table(folder, given["overwrite"])
        labels.write([folder / name for name in names], table, lambda done: progress(done, len(names)))
        return table

    return write
