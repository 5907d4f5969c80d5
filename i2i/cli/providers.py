"""Options for the execution provider, shared by all commands that run a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from i2i.cli.help import option as grouped
from i2i.runtime.providers.table import PROVIDERS


def option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--provider``."""
    text = "Execution provider that runs the model; auto: CUDA if a GPU is present and it loads, else the CPU."
    choice = click.Choice(list(PROVIDERS))
    return grouped("--provider", group="Model", type=choice, default="auto", show_default=True, help=text)(command)


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--provider`` and ``--allow-fallback``."""
    text = "Let the CPU run operators that the GPU's provider lacks; each costs a copy of the image there and back."
    return option(grouped("--allow-fallback", group="Model", is_flag=True, help=text)(command))


def print_notes() -> None:
    """Print the notes of the runtime on standard error from now on."""
    from i2i.runtime.log import tell

    tell(lambda text: click.echo(f"note: {text}", err=True))
