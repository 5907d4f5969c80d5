"""``i2i train``: the options are the fields of Settings."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import click

from i2i.engine.settings import PRESETS, Settings


def _options(function: Any) -> Any:
    """Add one option for each setting. None means "not given": a continued run keeps its value."""
    for setting in reversed([f for f in fields(Settings) if f.name != "method"]):
        choices = setting.metadata.get("choices")
        default = "x".join(map(str, setting.default)) if isinstance(setting.default, tuple) else setting.default
        words = setting.metadata["help"] + ("" if default in (None, 0) else f"  [default: {default}]")
        function = click.option(
            f"--{setting.name.replace('_', '-')}",
            type=click.Choice(choices) if choices else str,
            metavar=None if choices else setting.metadata.get("metavar", "DIR" if default is None else "N"),
            help=words,
        )(function)
    return function


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


@click.command("train")
@click.argument("method", required=False)
@_options
@click.option("--out", type=click.Path(), metavar="RUN", help="Folder of the run; an existing run is continued.")
@click.option("--preset", type=click.Choice(list(PRESETS)), help="Named group of settings; given options override it.")
@click.option("--set", "hyperparameters", multiple=True, callback=_named_values, metavar="NAME=VALUE",
              help="A hyper-parameter of the method, such as generator=resnet_6 or lambda_cyc=5.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Check data and settings, print the plan, and stop.")
@click.option("--quiet", is_flag=True, help="Print only errors.")
def command(method: str | None, hyperparameters: dict[str, str], **given: Any) -> None:
    """Train METHOD on folders of images.

    \b
    pix2pix                       pairs
    cyclegan unit                 two folders without pairs, both ways
    cut fastcut direct constancy  two folders without pairs, from A to B
    stargan                       one folder per domain, or a table of attributes
    package.module:Class          your own translator

    \b
    i2i train pix2pix  --data facades              aligned A|B files
    i2i train cyclegan --a horses --b zebras       any two folders
    i2i train stargan  --data weather              one folder per domain
    i2i train cyclegan --a horses --b zebras --out runs/tuned --init runs/other   fine-tunes another run
    i2i train --out runs/cyclegan-horses2zebras    continues that run

    The same command again continues a stopped run. Start it with torchrun to use several GPUs.
    """
    from torch import OutOfMemoryError

    from i2i.engine import train
    from i2i.engine.interrupt import Interrupted
    from i2i.engine.report import NonFinite

    try:
        run = train(method, **(given | hyperparameters))
    except OutOfMemoryError as error:
        raise ValueError(
            f"this does not fit into the GPU's memory; use a smaller --size or --batch ({error})"
        ) from error
    except (Interrupted, NonFinite) as error:
        click.echo(str(error), err=True)
        click.get_current_context().exit(error.exit_status)
    click.echo(run)
