"""``i2i report``: one page that says what runs did and how good they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from i2i.cli import help, providers
from i2i.cli.param_types import FilePath
from i2i.progress import Progress

EXAMPLES = [
    ("i2i report runs/NAME", "writes runs/NAME/report.html"),
    ("i2i report runs/NAME --evaluate", "measures it first"),
    ("i2i report runs/* -o all.html --images 0", "compares runs, without pictures"),
    ("i2i report runs/NAME --format md --license apache-2.0", "a model card"),
]


@help.command(examples=EXAMPLES)
@click.argument("runs", nargs=-1, required=True, metavar="RUN [RUN...]", type=FilePath())
@help.option(
    "-o",
    "--out",
    group="Input and output",
    type=FilePath(path_type=Path),
    metavar="FILE",
    help="File to write.  [default: report.html in the run's folder; of several runs, here]",
)
@help.option(
    "--format",
    group="Input and output",
    type=click.Choice(["html", "md"]),
    help="Page with pictures (html), or model card (md).  [default: by the suffix of --out, else html]",
)
@help.option(
    "--images",
    group="Input and output",
    type=click.IntRange(0, 200),
    default=24,
    show_default=True,
    metavar="N",
    help="Results in the gallery, 0 to 200, of at most 256 pixels a side; 0: translate nothing.",
)
@help.option(
    "--license",
    group="Input and output",
    metavar="NAME",
    help="Licence for the header of a model card, such as apache-2.0.  [default: none]",
)
@help.option(
    "--data",
    group="Data",
    metavar="DIR",
    type=FilePath(),
    help="Folder of both domains, for the gallery.  [default: the run's own]",
)
@help.option("--a", group="Data", metavar="DIR", type=FilePath(), help="Folder of domain A.")
@help.option("--b", group="Data", metavar="DIR", type=FilePath(), help="Folder of domain B.")
@help.option(
    "--metrics",
    group="Measurement",
    multiple=True,
    metavar="FILE",
    type=FilePath(path_type=Path),
    help="Figures that i2i evaluate -o wrote; can be repeated.  [default: metrics.json in the run's folder]",
)
@help.option("--evaluate", group="Measurement", is_flag=True, help="Measure the runs now, as i2i evaluate does.")
@help.option(
    "--features",
    group="Measurement",
    metavar="NAME",
    help="Features for the nearest training images and for --evaluate: lite0, onnx:FILE or inception:FILE.  "
    "[default: lite0 if installed, else pixels]",
)
@providers.option
def command(runs: tuple[str, ...], **given: Any) -> None:
    """Write a page about one or more RUNs: settings, curves, metrics, results from the worst to the best, sample
    sheets, the training images nearest to results, and the command that reproduces them.

    The page is one file that loads nothing from a network; it contains pictures of your data. What cannot be shown is
    named at its end.

    Exit status: 0 written, 1 not written, 2 wrong usage or input, 4 provider not available, 130 interrupted.
    """
    from i2i.reporting import report

    providers.print_notes()
    with Progress("image", "looking at", every=10) as progress:
        path = report(runs, progress=progress.update, **given)
    click.echo(str(path))
