"""How far a job is, and paths as text."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from i2i.runtime.jobs.folder import Outcome, Summary

Report = Callable[["Outcome", "Summary"], None]


@contextmanager
def reporting() -> Iterator[Report]:
    """Show on stderr each file that failed, how far the job is (by a bar on a terminal, else a line a minute), and at
    the end, in one line for each kind of loss, what results lack of their sources."""
    lost: dict[tuple[str, str], tuple[int, Path]] = {}  # of what, in which format: how many, and the first

    def tell(outcome: Outcome, say: Callable[[str], None]) -> None:
        if outcome.note:
            say(f"{'failed' if outcome.status == 'failed' else 'note'}: {outcome.note}")
        for what in outcome.lost.what:
            count, first = lost.get((what, outcome.lost.format), (0, outcome.source))
            lost[what, outcome.lost.format] = count + 1, first

    try:
        with _progress(tell) as report:
            yield report
    finally:
        for (what, format), (count, first) in lost.items():
            results, more = ("1 result", "") if count == 1 else (f"{count} results", f" and {count - 1} more")
            text = f"{results} without {what}, which could not be carried over to {format}: {shown(first)}{more}"
            click.echo(f"note: {text}", err=True)


@contextmanager
def _progress(tell: Callable[[Outcome, Callable[[str], None]], None]) -> Iterator[Report]:
    if not sys.stderr.isatty():
        last = time.monotonic()

        def line(outcome: Outcome, summary: Summary) -> None:
            nonlocal last
            tell(outcome, lambda text: click.echo(text, err=True))
            if time.monotonic() - last > 60:
                last = time.monotonic()
                click.echo(f"{summary.done + summary.skipped + summary.failed} of {summary.total}", err=True)

        yield line
        return

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]:.1f} images/s"), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("", total=None, rate=0.0)
        start = time.monotonic()

        def update(outcome: Outcome, summary: Summary) -> None:
            tell(outcome, lambda text: console.print(text, markup=False, highlight=False, soft_wrap=True))
            rate = summary.done / max(1e-9, time.monotonic() - start)
            over = summary.done + summary.skipped + summary.failed
            progress.update(bar, total=summary.total, completed=over, rate=rate)

        yield update


def shown(path: Path) -> str:
    """A path as text that any terminal takes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace").replace("\n", "\\n")
