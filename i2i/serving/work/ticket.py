"""One request's claim to be worked on: its deadline, and whether somebody still waits for the result."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

DEADLINE, GONE, FAILED = "deadline", "client gone", "request failed"
"""Why work is given up; the last for the other images of a request that fails as a whole."""


class AbandonedError(Exception):
    """Work that nobody waits for any more; ``str(error)`` is the reason."""


class Ticket:
    """A deadline and a flag that any thread may look at between two steps of the work.

    Attributes:
        stages: seconds by the name of a step, of all images of the request together.
        reason: why the work was given up; None before.
    """

    def __init__(self, seconds: float, observe: Callable[[str, float], object]) -> None:
        """Begin a request of so many seconds; ``observe`` is called with each step of each image, and its seconds."""
        self.seconds, self.deadline = seconds, time.monotonic() + seconds
        self.stages: dict[str, float] = {}
        self.reason: str | None = None
        self._observe = observe

    @property
    def left(self) -> float:
        """Seconds until the deadline; at least 0."""
        return max(0.0, self.deadline - time.monotonic())

    def abandon(self, reason: str) -> str:
        """Let the work end at its next step, and return why: the first reason of several."""
        self.reason = self.reason or reason
        return self.reason

    def check(self, *_: object) -> None:
        """Raise AbandonedError if nobody waits for the result any more."""
        if self.reason is not None:
            raise AbandonedError(self.reason)
        if time.monotonic() >= self.deadline:
            raise AbandonedError(DEADLINE)

    def add(self, stage: str, seconds: float) -> None:
        """Count the seconds of a step of one image."""
        self.stages[stage] = self.stages.get(stage, 0.0) + seconds
        self._observe(stage, seconds)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Check, and count the seconds of the block as the step ``name``."""
        self.check()
        start = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - start)
