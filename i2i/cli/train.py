"""``i2i train``: the options are the fields of Settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import Field, fields
from functools import reduce
from pathlib import Path
from typing import Any

import click

from i2i.cli import help
from i2i.cli.param_types import FilePath
from i2i.engine.presets import PRESETS
from i2i.engine.settings import PLACES, Settings


def settings(*names: str) -> Callable[[Any], Any]:
    """Decorate a command with options for these settings. One that is not given is None."""
    return lambda function: reduce(_option, [f for f in reversed(fields(Settings)) if f.name in names], function)


def _option(command: Any, setting: Field[Any]) -> Any:
    choices = setting.metadata.get("choices")
    default = "x".join(map(str, setting.default)) if isinstance(setting.default, tuple) else setting.default
    return help.option(
        f"--{setting.name.rstrip('_').replace('_', '-')}",
        setting.name,
        group=setting.metadata["group"],
        type=click.Choice(choices) if choices else FilePath() if setting.name in PLACES else str,
        multiple=setting.metadata.get("multiple", False),
        callback=_joined if setting.metadata.get("multiple") else None,
        metavar=None if choices else setting.metadata.get("metavar", "DIR" if default is None else "N"),
        help=setting.metadata["help"] + ("" if default is None else f"  [default: {default}]"),
    )(command)


def _joined(_context: click.Context, _parameter: click.Parameter, given: tuple[str, ...]) -> str | None:
    return " ".join(given) or None


def _named_values(_context: click.Context, _parameter: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    pairs = [item.partition("=") for item in given]
    options = {parameter.name for parameter in command.params}
    for name, equals, _ in pairs:
        if not (name and equals):
            raise click.BadParameter(f"{name!r} is not of the form name=value")
        if name in options:
            raise click.BadParameter(
                f"{name} is a setting of the run, not of its method; use --{name.replace('_', '-')}"
            )
    return {name: value for name, _, value in pairs}


RUN_OPTIONS = [
    help.option(
        "--preset",
        group="Method",
        type=click.Choice(list(PRESETS)),
        help="Named set of settings. paper: as the authors trained; fast: smaller networks, half as long; cpu: 128 "
        "pixels, smaller networks and 10000 steps, hours without a GPU; good: what came nearest without pairs, best "
        "with dclgan; uvcgan2: that paper's discriminator, without pairs.  [default: none]",
    ),
    help.option(
        "--set",
        "hyperparameters",
        group="Method",
        multiple=True,
        callback=_named_values,
        metavar="NAME=VALUE",
        help="Hyper-parameter of the method, such as generator=resnet_6 or lambda_cyc=5. Can be repeated.",
    ),
    help.option(
        "--out",
        group="Run",
        type=FilePath(),
        metavar="RUN",
        help="Folder of the run; an existing run continues.  [default: runs/METHOD-A2B]",
    ),
    help.option(
        "--like",
        group="Run",
        type=FilePath(),
        metavar="RUN",
        help="Repeat a run's method, settings and hyper-parameters on other images.  [default: none]",
    ),
    help.option(
        "--override",
        group="Run",
        is_flag=True,
        help="Continue a run with other settings than it was started with, which is refused otherwise; never with "
        "another method, other images or another --from, --freeze, --teacher-to, --range or --derive.",
    ),
    help.option(
        "--dry-run",
        group="Run",
        is_flag=True,
        help="Check data and settings, measure two steps, show what training would do and need, and stop.",
    ),
    help.option("--quiet", group="Run", is_flag=True, help="Print nothing but errors."),
]
"""The options of a training that are no settings."""


def run_options(function: Any) -> Any:
    """Decorate a command with ``RUN_OPTIONS``."""
    return reduce(lambda done, option: option(done), reversed(RUN_OPTIONS), function)


EXAMPLES = [
    ("i2i train pix2pix --data facades", "aligned A|B files"),
    ("i2i train cyclegan --a horses --b zebras", "two folders, no pairs"),
    ("i2i train stargan --data weather", "a folder per domain"),
    ("i2i train pix2pix --a bands --b depth --range b=0..80", "float TIFF or .npy, of any channels"),
    ("i2i train dcgan --data faces --size 64", "a generator, from one folder"),
    ("i2i train cyclegan --a horses --b zebras --out runs/tuned --from runs/other", "fine-tunes another run"),
    ("i2i train --like runs/cyclegan-horses2zebras --a cows --b zebras", "repeats a run's settings on other images"),
    ("i2i train --out runs/cyclegan-horses2zebras", "continues that run"),
]


@help.command("train", examples=EXAMPLES)
@click.argument("method", required=False)
@settings(*(f.name for f in fields(Settings) if f.name != "method"))
@run_options
def command(method: str | None, hyperparameters: dict[str, str], **given: Any) -> None:
    """Train METHOD on folders of images.

    \b
    pix2pix pix2pixhd             pairs
    cyclegan unit munit dclgan    two folders without pairs, both ways
    cut fastcut monce hneg enco   two folders without pairs, from A to B
    direct dtn                    the same
    distill                       one folder and a --teacher (i2i distill), or pairs: a small translator
    stargan                       a folder per domain, or a table of attributes
    gan dcgan began infogan       one folder of images, from noise; with a folder per class, labelled
    vaegan bigan energy           the same; vaegan and bigan translate between the classes too
    stackgan                      images with captions
    package.module:Class          your own translator

    Run the same command again to continue an interrupted run. Use torchrun for several GPUs.
    """
    if given["teacher"] is not None:
        given["teacher"] = file_of(given["teacher"])
    train_or_exit(method, **(given | hyperparameters))


def file_of(teacher: str) -> str:
    """Return the file of a teacher that comes with i2i; a path as it is. Raises ValueError for what is neither."""
    from i2i.runtime.model import catalog

    if Path(teacher).expanduser().exists():
        return teacher
    known = {model.name: str(model.path) for model in catalog.weights()}
    if teacher in known:
        return known[teacher]
    raise ValueError(f"{teacher}: no such run, ONNX file or model that comes with i2i ({', '.join(known)})")


def train_or_exit(method: str | None, **given: Any) -> None:
    """Train and print the run's folder; where a run was interrupted or failed, exit with its status."""
    from i2i.engine import train
    from i2i.engine.interrupt import Interrupted
    from i2i.engine.statistics import NonFinite

    try:
        run = train(method, **given)
    except (Interrupted, NonFinite) as error:
        click.echo(str(error), err=True)
        click.get_current_context().exit(error.exit_status)
    click.echo(run)
