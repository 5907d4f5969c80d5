"""Kinds of options: paths, and options made from the fields of a dataclass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import click

from i2i.cli.help import option
from i2i.text import is_url, is_url_of_folder, not_found


class FilePath(click.Path):
    """A path; a URL is refused with a hint, unless a file has that name."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if is_url(value):
            self.fail(not_found(value), param, ctx)
        return super().convert(value, param, ctx)


class Place(FilePath):
    """A path, or the URL of a folder, which stays text."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if is_url_of_folder(value) else super().convert(value, param, ctx)


class CodeValue(click.ParamType):
    """A number by name: "slant=-1" gives ("slant", -1.0)."""

    name = "CODE=VALUE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, float]:
        name, _, number = value.rpartition("=")
        try:
            found = float(number)
        except ValueError:
            name, found = "", 0.0
        if not name:
            self.fail(f"{value!r} is not of the form code=number", param, ctx)
        return name, found


def options_of(described: type, group: str, command: Callable[..., Any]) -> Callable[..., Any]:
    """Add an option to ``command`` for each field of the dataclass ``described``.

    The field's metadata contains its help text, choices and bounds. ``group`` is the section of the help page. An
    option that is not given is None.
    """
    for field in reversed(fields(described)):
        facts = field.metadata
        name, text = f"--{field.name.replace('_', '-')}", facts["help"]
        if facts.get("flag"):
            command = option(name, group=group, is_flag=True, default=None, help=text)(command)
            continue
        if field.default is not None:
            text += f"  [default: {field.default or 0}]"
        kind: Any = click.Choice(facts["choices"]) if "choices" in facts else str
        if "least" in facts:
            kind = click.IntRange(facts["least"], facts.get("most"))
        metavar, several = facts.get("metavar"), facts.get("multiple", False)
        command = option(name, group=group, type=kind, default=None, multiple=several, metavar=metavar, help=text)(
            command
        )
    return command
