"""Speed of a run, and the moments at which a person should see it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

SLOW = 2.5  # seconds of a first step after which it alone is reported
SOON = 2.0  # seconds from the first step to the first report of quick ones
LEAST, MOST = 10.0, 60.0  # seconds between two reports: they become rarer in the first minute
# below so many seconds: the seconds of a unit, and its name
UNITS = ((1, 1e-3, "ms"), (120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h"), (float("inf"), 86_400, "days"))


class Speed(NamedTuple):
    """Speed of the steps since the last report."""

    step: float
    """Seconds a step, without evaluations."""
    waited: float
    """Share of that time in which the step waited for its batch, from 0 to 1."""
    left: float
    """Seconds until the last step, as the run went on average so far, evaluations and sample sheets included."""


class Pace:
    """Clock of a run from step ``start`` to ``steps``. The first step, which is slower, counts only until the next.

    ``clock`` returns seconds; by default it is the system's.
    """

    def __init__(self, start: int, steps: int, clock: Callable[[], float] | None = None) -> None:
        self.start, self.steps, self.clock = start, steps, clock or time.monotonic
        self.restart()

    def restart(self) -> None:
        """Begin to count now: at the first step."""
        self.began = self.since = self.clock()
        self.last = self.first = self.start
        self.waited = 0.0
        self.next: float | None = None

    def left_out(self, seconds: float) -> None:
        """Leave an evaluation out of the time of a step."""
        self.since += seconds

    def due(self, step: int) -> bool:
        """True if ``step`` steps done should be reported now; the last step always is."""
        now = self.clock()
        if self.next is None:  # the first step is done
            if now - self.began <= SLOW and step < self.steps:
                self.began = self.since = now
                self.first = self.last = step
                self.next, self.waited = now + SOON, 0.0
                return False
            self.next = now
        return now >= self.next or step >= self.steps

    def read(self, step: int) -> Speed:
        """Return the speed after ``step`` steps since it was last read."""
        now = self.clock()
        each = (now - self.since) / max(step - self.last, 1)
        share = self.waited / max(now - self.since, 1e-9)
        left = (self.steps - step) * (now - self.began) / max(step - self.first, 1)
        self.next = now + min(max(now - self.began, LEAST), MOST)
        if self.first == self.start:  # a slow first step
            self.began, self.first = now, step
        self.since, self.last, self.waited = now, step, 0.0
        return Speed(each, min(share, 1.0), left)


def span(seconds: float) -> str:
    """Return a duration with two digits in the unit that fits: "12 ms", "9.3 s", "42 min", "7.5 h", "26 days"."""
    size, unit = next((size, unit) for most, size, unit in UNITS if seconds < most)
    return f"{seconds / size:.{1 if seconds / size < 9.95 else 0}f} {unit}"


def end(seconds: float) -> str:
    """Return the local time ``seconds`` from now: "14:30", or with its date if that is not today."""
    try:
        now = datetime.now()
        at = now + timedelta(seconds=seconds)
    except OverflowError:
        return "in the distant future"
    return at.strftime("%H:%M" if at.date() == now.date() else "%d %b %Y, %H:%M")
