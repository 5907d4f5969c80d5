"""What the command line may say of a model that others made: the options that ``translate`` and ``describe`` share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import click

from i2i.runtime.foreign.told import NAMES, Told


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds an option for each field of :class:`Told`."""
    for field in reversed(fields(Told)):
        facts = field.metadata
        kind: Any = click.Choice(facts["choices"]) if "choices" in facts else str
        if "least" in facts:
            kind = click.IntRange(facts["least"])
        command = click.option(
            f"--{field.name.replace('_', '-')}",
            type=kind,
            default=None,
            metavar=facts.get("metavar"),
            help=f"Of a model that others made: {facts['help'][0].lower()}{facts['help'][1:]}",
        )(command)
    return command


def taken_from(options: dict[str, Any]) -> Told:
    """What ``options`` say of the model, taken out of them. Raises ValueError for what has no meaning."""
    return Told(**{name: options.pop(name) for name in NAMES})
