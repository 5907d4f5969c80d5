"""Options that choose the execution provider of a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from i2i.runtime.providers.table import PROVIDERS


def option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--provider``."""
    help = "Execution provider; auto takes CUDA if there is a graphics card and it loads, else the CPU."
    return click.option("--provider", type=click.Choice(list(PROVIDERS)), default="auto", show_default=True, help=help)(
        command
    )


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--provider`` and ``--allow-fallback``."""
    help = "Let the processor run what a GPU's provider cannot, which costs a copy of the image there and back."
    return option(click.option("--allow-fallback", is_flag=True, help=help)(command))


def notes() -> None:
    """Print the runtime's notes on stderr from now on."""
    from i2i.runtime.log import tell

    tell(lambda text: click.echo(f"note: {text}", err=True))
