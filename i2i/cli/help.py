"""Help pages: examples first, then the options in named groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

Example = tuple[str, str]
"""A command line, and what it does."""

GROUPS = (
    *("Input and output", "Data", "Method", "Training", "Run", "Service", "Model", "Limits", "Measurement", "Video"),
    "Large images",
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
    """A command whose help page shows ``examples`` first, and its options in groups.

    ``elsewhere`` maps options that another command has to a hint, which the error for such an option ends with.
    """

    def __init__(
        self, *args: Any, examples: Sequence[Example], elsewhere: Mapping[str, str] | None = None, **attributes: Any
    ) -> None:
        super().__init__(*args, **attributes)
        self.examples, self._elsewhere = examples, elsewhere or {}

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if hint := self._elsewhere.get(error.option_name):
                raise click.NoSuchOption(error.option_name, f"{error.message} {hint}.", ctx=ctx) from error
            raise

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


def command(
    name: str | None = None, *, examples: Sequence[Example], elsewhere: Mapping[str, str] | None = None
) -> Callable[..., Any]:
    """Decorate a function as a :class:`Command`."""
    return click.command(name, cls=Command, examples=examples, elsewhere=elsewhere)
