"""Where a model is to run: the options of every verb that runs one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

PROVIDERS = ("auto", "cpu", "cuda", "tensorrt", "openvino")  # a test holds them equal to those of the runtime


def option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds ``--provider``."""
    help = "What the model runs on; auto takes CUDA if there is a card and it loads, else the CPU."
    return click.option("--provider", type=click.Choice(PROVIDERS), default="auto", show_default=True, help=help)(
        command
    )


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds ``--provider`` and ``--allow-fallback``."""
    help = "Let the processor run what a GPU's provider cannot, which costs a copy of the image there and back."
    return option(click.option("--allow-fallback", is_flag=True, help=help)(command))


def notes() -> None:
    """From now on what the runtime has to say of how a model runs goes to stderr, as notes."""
    from i2i.runtime.log import tell

    tell(lambda text: click.echo(f"note: {text}", err=True))
