"""Progress of a job on standard error: a bar on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from typing import Any

from i2i.text import plural


def say(text: str, quiet: bool = False) -> None:
    """Print a line for people; standard output is for what programs read."""
    if sys.stderr is not None and not quiet:
        with suppress(OSError):  # a log on a full disk must not end a job
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()


class Progress:
    """Show how much of a job is done: "3/9", with the rate and the time left.

    A context that clears up at its end, whatever ends the job. Nothing is shown before the first ``update``, so that a
    job too short for a bar does not wait for one.

    Args:
        noun: what is counted, in the singular.
        name: what the job does, for the bar; none by default.
        every: seconds between two lines where there is no terminal; infinity for none.
        start: count at the beginning, which the rate leaves out.
        bar: False for lines on a terminal too, where another bar may be shown.
        quiet: show nothing at all.
    """

    def __init__(
        self,
        noun: str,
        name: str = "",
        *,
        every: float = 60.0,
        start: int = 0,
        bar: bool = True,
        quiet: bool = False,
    ) -> None:
        self.noun, self.name, self.every, self.start, self.quiet = noun, name, every, start, quiet
        self.terminal = bar and not quiet and sys.stderr is not None and sys.stderr.isatty()
        self.began = self.last = time.monotonic()
        self.detail = ""
        self.bar: Any = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def update(
        self, done: int, total: int | None = None, *, worked: int | None = None, detail: str | None = None
    ) -> None:
        """Show that ``done`` of ``total`` are done.

        ``worked``, of which the rate is made, is the part that took work (default: all since ``start``). ``detail`` is
        shown behind the count, until there is another.
        """
        self.detail = self.detail if detail is None else detail
        if self.quiet:
            return
        now = time.monotonic()
        if not self.terminal:
            if now - self.last > self.every:
                self.last = now
                name = f"{self.name}: " if self.name else ""
                count = plural(total, self.noun) if total else f"? {self.noun}s"
                say(f"{name}{done} of {count}{'  ' + self.detail if self.detail else ''}")
            return
        if self.bar is None:
            self.bar = _bar(self.name)
            self.bar.start()
        rate = (done - self.start if worked is None else worked) / max(1e-9, now - self.began)
        pace = f"{1 / rate:.1f} s/{self.noun}" if 0 < rate < 1 else f"{rate:.1f} {self.noun}s/s"
        self.bar.update(self.bar.task_ids[0], completed=done, total=total, facts=f"{pace}  {self.detail}")

    def restart(self, name: str) -> None:
        """Count from 0 again, for the next part of a job, which does ``name``."""
        self.name, self.began = name, time.monotonic()
        if self.bar is not None:
            self.close()

    def say(self, text: str) -> None:
        """Print a line, above the bar if there is one."""
        if self.bar is None:
            say(text, self.quiet)
        else:
            self.bar.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """End the bar, and give the terminal its cursor back."""
        if self.bar is None:
            return
        try:
            self.bar.stop()
        except IndexError:  # an interrupt came while it started
            self.bar.console.show_cursor()
        self.bar = None


def _bar(name: str) -> Any:
    """A bar with one task."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = [BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[facts]}"), TimeRemainingColumn()]
    if name:
        columns.insert(0, TextColumn("{task.description}"))
    bar = Bar(*columns, console=Console(stderr=True))
    bar.add_task(name, total=None, facts="")
    return bar
