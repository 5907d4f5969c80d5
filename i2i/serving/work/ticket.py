"""One request's claim to be worked on: its deadline, and whether somebody still waits for the result."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

DEADLINE, GONE = "deadline", "client gone"


class AbandonedError(Exception):
    """Work that nobody waits for any more; ``str(error)`` is DEADLINE or GONE."""


class Ticket:
    """A deadline and a flag that any thread may look at between two steps of the work.

    Attributes:
        stages: seconds by the name of a step, of all images of the request together.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds, self.deadline = seconds, time.monotonic() + seconds
        self.stages: dict[str, float] = {}
        self._gone = False

    @property
    def left(self) -> float:
        """Seconds until the deadline; at least 0."""
        return max(0.0, self.deadline - time.monotonic())

    def abandon(self) -> None:
        """Let the work end at its next step."""
        self._gone = True

    def check(self, *_: object) -> None:
        """Raise AbandonedError if nobody waits for the result any more."""
        if self._gone:
            raise AbandonedError(GONE)
        if time.monotonic() >= self.deadline:
            raise AbandonedError(DEADLINE)

    def add(self, stage: str, seconds: float) -> None:
        """Count the seconds of a step."""
        self.stages[stage] = self.stages.get(stage, 0.0) + seconds

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Check, and count the seconds of the block as the step ``name``."""
        self.check()
        start = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - start)
