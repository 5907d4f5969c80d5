"""``i2i check``: check a folder of data before training."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from i2i.cli import help
from i2i.cli.train import file_of, settings
from i2i.progress import Progress
from i2i.text import plural

if TYPE_CHECKING:
    from i2i.data import Dataset

EXAMPLES = [
    ("i2i check pix2pix --data facades", "what training pix2pix would find"),
    ("i2i check --a horses --b zebras", "two folders without pairs"),
    ("i2i check stargan --data weather", "a folder per domain"),
    ("i2i check dcgan --data faces", "one folder, for a generator"),
    ("i2i check stackgan --data houses", "images with captions"),
    ("i2i check distill --teacher runs/cyclegan-horses2zebras --a photos", "one folder that a teacher translates"),
]


@help.command(examples=EXAMPLES)
@click.argument("method", required=False)
@settings(
    *("a", "b", "data", "attributes", "captions", "select", "direction", "channels", "range", "derive"),
    *("teacher", "teacher_to", "size", "augment"),
)
@help.option("--paired/--unpaired", group="Data", default=None, help="Kind of data, where METHOD does not say it.")
@help.option(
    "--split",
    group="Data",
    type=click.Choice(["train", "val", "test"]),
    default="train",
    show_default=True,
    help="Part of the data set to read.",
)
@help.option(
    "--max-bad",
    group="Data",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Number of unreadable files to skip before the data is refused.",
)
def command(
    method: str | None, data: str | None, a: str | None, b: str | None, paired: bool | None,
    direction: str | None, channels: str | None, split: str, max_bad: int, attributes: str | None, captions: str | None,
    select: str | None, range: str | None, derive: str | None, teacher: str | None,
    teacher_to: str | None, size: str | None, augment: str | None,
) -> None:  # fmt: skip
    """Check data before training METHOD: report what is there, and name every file that would stop the training.

    Decodes each file once. Exits with status 1 if training would refuse the data. Without METHOD, --paired or
    --unpaired, files side by side count as pairs, and two folders as unpaired; --attributes and --select imply many
    domains, --captions images with captions.
    """
    if data is None and (a is None or b is None) and not (derive and b) and not (teacher and a):
        one = "; one folder is enough for --derive, or for distill with its --teacher RUN|FILE"
        raise click.UsageError(f"give --data DIR, or both --a DIR and --b DIR{one}")
    if data is not None and (a is not None or b is not None):
        raise click.UsageError("give either --data DIR, or --a DIR and --b DIR")
    from i2i.data import DataError, read_folders
    from i2i.data.inspection import flat_note, scale_note
    from i2i.data.layout import find_layout

    method = method or ("distill" if teacher else None)
    try:
        if method is not None:
            kind = _kind(method, paired)
        elif paired is not None:
            kind = "pairs" if paired else "unpaired"
        elif derive:
            kind = "pairs"
        elif captions is not None:
            kind = "captions"
        elif attributes is not None or select is not None:
            kind = "domains"
        else:
            kind = "pairs" if find_layout(split, data, a, b).aligned else "unpaired"
        covered = _covered(size, augment)
        with Progress("file", "reading", every=10) as progress:
            if teacher:
                given = {
                    "method": method, "data": data, "a": a, "b": b, "teacher": teacher, "teacher_to": teacher_to,
                    "range": range, "derive": derive, "attributes": attributes, "select": select, "captions": captions,
                    "channels": channels or "auto", "max_bad": max_bad,
                }  # fmt: skip
                dataset = _taught(given, split, progress.update)
            else:
                dataset = read_folders(
                    kind, data=data, a=a, b=b, direction=direction or "a2b", split=split,
                    channels="auto" if channels in (None, "auto") else int(channels), max_bad=max_bad,
                    progress=progress.update, attributes=attributes, select=select,
                    captions=captions, range=range, derive=derive,
                )  # fmt: skip
    except DataError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    click.echo(str(dataset.report))
    if note := flat_note(dataset.report.even, _norm(method, kind)):
        click.echo(note)
    # A generator from noise, whose size has another default, takes no images that could be of another scale.
    if kind not in ("images", "captions") and (note := scale_note(dataset.report.sizes, covered)):
        click.echo(note)
    click.echo(f"good to train: {plural(len(dataset), 'image')} an epoch")


def _taught(settings: dict[str, Any], split: str, progress: Callable[[int, int], None]) -> Dataset:
    """Open the images of one folder, which the teacher in ``settings`` translates."""
    from i2i.engine.prepare import taught
    from i2i.engine.settings import Settings

    return taught(Settings.from_dict(settings | {"teacher": file_of(settings["teacher"])}), split, progress)


def _covered(size: str | None, augment: str | None) -> tuple[float, float]:
    """Return the height and width that training images cover. Raises ValueError for a wrong size or augmentation."""
    from i2i.data import View
    from i2i.data.augment import parse_augment
    from i2i.engine.settings import Settings

    given = {name: value for name, value in (("size", size), ("augment", augment)) if value is not None}
    made = Settings.from_dict({"method": ""} | given)
    return View(made.size, **parse_augment(made.augment)).covered


def _norm(method: str | None, kind: str) -> object:
    """Return the default normalisation of a method; without one, that of most methods for this kind of data."""
    if method is None:
        return "instance" if kind == "unpaired" else "batch"
    from i2i.engine.options import defaults

    return defaults(method).get("norm")


def _kind(method: str, paired: bool | None) -> str:
    from i2i.translators import translator_class

    kind: str = translator_class(method).data
    if paired is not None and kind != ("pairs" if paired else "unpaired"):
        raise click.UsageError(f"{method} trains on {kind}; remove --{'' if paired else 'un'}paired")
    return kind
