"""Signals that stop a run: they are noted, and the loop stops between two steps."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any

from i2i.engine.distributed import World

AGREE_EVERY = 10  # steps between two checks across processes, each of which costs a message


class Interrupted(Exception):  # noqa: N818 (what happened, not what went wrong)
    """A run was stopped by a signal, has saved its state, and can continue later."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.exit_status = 128 + number


class Signals:
    """Note Ctrl-C, SIGTERM and SIGUSR1 (a scheduler's warning); a second Ctrl-C ends the process at once."""

    def __init__(self) -> None:
        self.received = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():  # signals reach only the main thread
            for name in ("SIGINT", "SIGTERM", "SIGUSR1"):
                if hasattr(signal, name):
                    number = getattr(signal, name)
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def agreed(self, world: World, step: int) -> int:
        """Return the signal that all processes stop for after ``step``, or 0; a single process stops at once."""
        if world.size == 1:
            return self.received
        return world.largest(self.received) if step % AGREE_EVERY == 0 else 0

    def _note(self, number: int, frame: FrameType | None) -> None:
        # Only Ctrl-C by the user ends at once: schedulers send one warning in several ways.
        if self.received and number == signal.SIGINT:
            os._exit(128 + number)
        self.received = self.received or number
