"""``i2i distill``: ``i2i train distill`` with the student's size as options."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from i2i.cli import help
from i2i.cli.param_types import FilePath
from i2i.cli.train import file_of, run_options, settings, train_or_exit
from i2i.engine.settings import Settings

EXAMPLES = [
    ("i2i distill runs/cyclegan-horses2zebras --a horses", "makes runs/distill-horses"),
    ("i2i distill style.onnx --a photos --width 8", "a smaller student of a third-party model"),
    ("i2i distill painting --a photos --width 4", "of a model that comes with i2i"),
    ("i2i distill runs/stargan-weather --a photos --to rain", "of one domain of several"),
    ("i2i export runs/distill-horses --precision int8", "and its file in eight bits"),
]
OWN = {
    "method", "b", "data", "attributes", "captions", "select", "direction", "channels", "range", "derive",
    "diff_augment", "teacher", "teacher_to", "mask", "identity", "geometry", "perceptual",
}  # fmt: skip
"""Settings that a student does not have, or that its teacher decides."""


@help.command("distill", examples=EXAMPLES)
@click.argument("teacher", type=FilePath())
@settings(*(f.name for f in fields(Settings) if f.name not in OWN))
@help.option(
    "--to",
    "teacher_to",
    group="Data",
    metavar="NAME",
    help="Direction or domain of the teacher's results.  [default: its first]",
)
@help.option(
    "--width",
    "ngf",
    group="Method",
    type=click.IntRange(1),
    metavar="N",
    help="Filters of the student's first layer; the work grows with the square of it.  [default: 16]",
)
@help.option(
    "--blocks",
    group="Method",
    type=click.IntRange(1),
    metavar="N",
    help="Residual blocks of the student.  [default: 6]",
)
@help.option(
    "--full",
    group="Method",
    is_flag=True,
    help="Full convolutions in the blocks instead of separable ones: slower, and they learn more.",
)
@run_options
def command(
    teacher: str, hyperparameters: dict[str, str], ngf: int | None, blocks: int | None, full: bool, **given: Any
) -> None:
    """Train a small translator that gives the results of TEACHER, a run, an ONNX file or the name of a model that
    comes with i2i, for the images of --a.

    The images need no counterparts: the teacher makes them. The student is a run like any other, which `i2i export`
    and `i2i translate` take, and `i2i evaluate RUN --a DIR --b DIR`. The first lines say what both cost.
    """
    if not any(given.get(name) for name in ("a", "like")) and not (given.get("out") and Path(given["out"]).exists()):
        raise click.UsageError("give the folder of source images: --a DIR")
    if ngf is not None:
        hyperparameters = {"ngf": str(ngf)} | hyperparameters
    if full or blocks is not None:
        hyperparameters = {"generator": f"{'resnet' if full else 'mobile_resnet'}_{blocks or 6}"} | hyperparameters
    train_or_exit("distill", teacher=file_of(teacher), **(given | hyperparameters))
