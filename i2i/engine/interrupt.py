"""Signals that end a run: they are noted, and the loop ends the run between two steps."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any

from i2i.engine.ranks import World

AGREE_EVERY = 10  # steps between two agreements of the processes: each costs a message


class Interrupted(Exception):  # noqa: N818 (what happened, not what went wrong)
    """A run was asked to stop, has saved its state, and can go on later."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.exit_status = 128 + number


class Signals:
    """Notes Ctrl-C, SIGTERM and SIGUSR1 (a scheduler's warning); a Ctrl-C after any of them ends the process."""

    def __init__(self) -> None:
        self.received = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():  # only there can signals be had
            for name in ("SIGINT", "SIGTERM", "SIGUSR1"):
                if hasattr(signal, name):
                    number = getattr(signal, name)
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def agreed(self, world: World, step: int) -> int:
        """The signal that all processes stop for after ``step``, or 0; a single process stops at once."""
        if world.size == 1:
            return self.received
        return world.largest(self.received) if step % AGREE_EVERY == 0 else 0

    def _note(self, number: int, frame: FrameType | None) -> None:
        # Only the user's own impatience counts: schedulers send one warning by several ways.
        if self.received and number == signal.SIGINT:
            os._exit(128 + number)
        self.received = self.received or number
