"""``i2i evaluate``: measure how good a translator is, or a folder of results."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click

from i2i.atomic import check_kind
from i2i.cli import help, providers
from i2i.cli.param_types import FilePath
from i2i.progress import Progress

EXAMPLES = [
    ("i2i evaluate runs/NAME", "a run, on the test split of its data"),
    ("i2i evaluate m.onnx --data facades --baseline", "a file, on pairs, beside baselines"),
    ("i2i evaluate m.onnx --a horses --b zebras", "on two folders without pairs"),
    ("i2i evaluate --real zebras --fake results", "results of any other program"),
    ("i2i evaluate m.onnx --video clip.mp4", "the flicker of a video"),
]


def _size(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """Return "256" or "256x128" (height x width) as (height, width)."""
    if value is None:
        return None
    found = re.fullmatch(r"(\d+)(?:x(\d+))?", value)
    if found is None or 0 in (int(found[1]), int(found[2] or 1)):
        raise click.BadParameter(f"{value!r}; expected a side such as 256, or HEIGHTxWIDTH")
    return int(found[1]), int(found[2] or found[1])


def _folder(name: str, text: str, **more: Any) -> Any:
    return help.option(name, group="Data", metavar="DIR", type=FilePath(), help=text, **more)


@help.command(examples=EXAMPLES)
@click.argument("model", required=False)
@help.option(
    "-o",
    "--out",
    group="Input and output",
    type=FilePath(path_type=Path),
    metavar="FILE",
    help="Also write all figures to this JSON file, which is replaced if it exists.  [default: none]",
)
@help.option(
    "--beside",
    group="Input and output",
    type=FilePath(path_type=Path),
    multiple=True,
    metavar="FILE",
    help="Show the figures of an earlier JSON file below, with how its protocol differs.",
)
@_folder("--data", "Folder of both domains, in any layout that training reads.  [default: the run's own]")
@_folder("--a", "Folder of domain A.")
@_folder("--b", "Folder of domain B.")
@help.option(
    "--split",
    group="Data",
    type=click.Choice(["test", "val", "train"]),
    help="Part of the data.  [default: test, else val, else what the run held out, else a folder without splits]",
)
@help.option(
    "--direction",
    group="Data",
    type=click.Choice(["a2b", "b2a"]),
    help="Direction of translation.  [default: the model's own]",
)
@help.option(
    "--paired/--unpaired", group="Data", default=None, help="Compare equal names as pairs, or not.  [default: found]"
)
@_folder("--real", "Folder of real images of the target domain.")
@help.option(
    "--fake", group="Data", metavar="DIR", type=FilePath(), help="Folder of results, or a video, instead of MODEL."
)
@help.option(
    "--source",
    group="Data",
    metavar="DIR",
    type=FilePath(),
    help="Folder of their sources by name, or the video's source; of MODEL with --real, what it translates.",
)
@_folder("--train", "Folder of more training images, to find those measured again, beside the data's train split.")
@help.option(
    "--size",
    group="Data",
    metavar="PIXELS",
    callback=_size,
    help="Resize and crop all images to this side, or HEIGHTxWIDTH.  [default: their own size]",
)
@help.option(
    "--metrics",
    group="Measurement",
    metavar="NAME,NAME...",
    help="Metrics to measure, such as KID,structure or SSIM.  [default: all that the data allows]",
)
@help.option(
    "--features",
    group="Measurement",
    metavar="NAME",
    help="Features: lite0, onnx:FILE, or inception:FILE for FID.  [default: lite0]",
)
@help.option(
    "--judge",
    group="Measurement",
    metavar="FILE",
    type=FilePath(),
    help="ONNX classifier or segmenter that was trained on real images.",
)
@help.option(
    "--class",
    "expect",
    group="Measurement",
    metavar="NAME",
    help="Class that results should have.  [default: the target domain, else each source's folder; of a model of "
    "several domains the former alone]",
)
@_folder("--labels", "Folder of label maps for the segmenter, by name.  [default: the sources]")
@help.option(
    "--palette",
    group="Measurement",
    metavar="FILE",
    type=FilePath(),
    help="Colours of the label maps: a line 'R G B NAME' for each class.",
)
@help.option("--baseline", group="Measurement", is_flag=True, help="Also measure the input itself, and the mean image.")
@help.option(
    "--kid-subset",
    group="Measurement",
    type=click.IntRange(2),
    metavar="N",
    help="Images of a subset of KID, at least 2.  [default: 1000, or half of a smaller set]",
)
@help.option(
    "--kid-subsets",
    group="Measurement",
    type=click.IntRange(2),
    default=100,
    show_default=True,
    help="Number of subsets of KID.",
)
@help.option(
    "--seed",
    group="Measurement",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Seed of subsets, projections and intervals, at least 0.",
)
@help.option(
    "--to",
    group="Model",
    metavar="DOMAIN",
    help="Direction of a run, or domain of a model of several.  [default: the first direction; each domain in turn]",
)
@help.option(
    "--back",
    group="Model",
    metavar="MODEL",
    help="Model that translates back, for the cycle error.  [default: the run's other direction]",
)
@providers.option
@help.option(
    "--video",
    group="Video",
    multiple=True,
    metavar="FILE",
    type=FilePath(),
    help="Video to translate and to measure flicker in; can be repeated.",
)
@help.option("--steady", group="Video", is_flag=True, help="Translate videos with --steady.")
def command(model: str | None, out: Path | None, beside: tuple[Path, ...], **given: Any) -> None:
    """Measure MODEL, a run or an .onnx file, on images that it was not trained on.

    Figures answer different questions, and are shown together: realism (KID, FD, MIND, density, coverage: do results
    look like the target domain), content (structure, edges, cycle-L1: is the source still there), truth (L1, PSNR,
    SSIM, MS-SSIM, perceptual: for pairs) and labels (with --judge). The line "protocol" belongs to every figure:
    figures of different protocols are not comparable. docs/evaluation.md says which to trust.

    Exit status: 0 measured, 1 a file failed, 2 wrong usage or input, 4 provider not available, 130 interrupted.
    """
    from i2i.evaluation import evaluate
    from i2i.evaluation.results import beside as shown_beside

    providers.print_notes()
    earlier = [_earlier(path) for path in beside]
    if out is not None and not out.parent.is_dir():
        raise ValueError(f"{out.parent}: there is no such folder to write {out.name} to")
    if out is not None:
        check_kind(out, ".json")
    with Progress("image", "measuring", every=10) as progress:
        evaluation = evaluate(model, progress=progress.update, **given)
    for table in evaluation.tables:
        for warning in table.warnings:
            click.echo(f"warning: {warning}", err=True)
        reasons: dict[str, list[str]] = {}
        for name, reason in table.left_out.items():
            reasons.setdefault(reason, []).append(name)
        for reason, names in reasons.items():
            click.echo(f"note: {', '.join(names)} left out: {reason}", err=True)
    if out is not None:
        evaluation.save(out)
    click.echo("\n\n".join([*(shown_beside(table, earlier) for table in evaluation.tables), *evaluation.means()]))


def _earlier(path: Path) -> list[dict[str, Any]]:
    """Return the tables of a file that ``-o`` wrote."""
    try:
        tables: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["tables"]
        _ = tables[0], [(table["protocol"], table["metrics"], table["title"]) for table in tables]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise ValueError(f"{path}: not a file that i2i evaluate -o wrote") from error
    return tables
