"""Help pages: examples first, then the options in named groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

Example = tuple[str, str]
"""A command line, and what it does."""

GROUPS = (
    *("Input and output", "Data", "Method", "Training", "Run", "Model", "Measurement", "Video", "Large images"),
    *("Many machines", "Third-party models", "Other options"),
)
"""The groups of options, in the order of the help page; the last is that of ``--help`` and ``--version``."""


class Option(click.Option):
    """An option that belongs to one of ``GROUPS``."""

    def __init__(self, *args: Any, group: str, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        assert group in GROUPS, group
        self.group = group


def option(*names: str, group: str, **attributes: Any) -> Callable[..., Any]:
    """Decorate a command with an option of ``group``; the other arguments are those of :func:`click.option`."""
    return click.option(*names, cls=Option, group=group, **attributes)


class Command(click.Command):
    """A command whose help page shows ``examples`` first, and its options in groups."""

    def __init__(self, *args: Any, examples: Sequence[Example], **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.examples = examples

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Examples"):
            formatter.write_dl(list(self.examples), col_max=48)
        super().format_help_text(ctx, formatter)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups: dict[str, list[tuple[str, str]]] = {group: [] for group in GROUPS}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if isinstance(parameter, click.Option) and record:
                groups[getattr(parameter, "group", GROUPS[-1])].append(record)
        for group, records in groups.items():
            if records:
                with formatter.section(group):
                    formatter.write_dl(records)


def command(name: str | None = None, *, examples: Sequence[Example]) -> Callable[..., Any]:
    """Decorate a function as a :class:`Command`."""
    return click.command(name, cls=Command, examples=examples)
