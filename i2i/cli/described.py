"""Options of the command line that are the fields of a dataclass, and stated there alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import click


def options_of(described: type, of: str, command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds an option for each field of ``described``, whose metadata holds its help, choices and bounds.

    ``of`` says in the help what they are about. An option that is not given is None.
    """
    for field in reversed(fields(described)):
        facts = field.metadata
        name, help = f"--{field.name.replace('_', '-')}", f"{of}: {facts['help'][0].lower()}{facts['help'][1:]}"
        if facts.get("flag"):
            command = click.option(name, is_flag=True, default=None, help=help)(command)
            continue
        kind: Any = click.Choice(facts["choices"]) if "choices" in facts else str
        if "least" in facts:
            kind = click.IntRange(facts["least"], facts.get("most"))
        command = click.option(name, type=kind, default=None, metavar=facts.get("metavar"), help=help)(command)
    return command
