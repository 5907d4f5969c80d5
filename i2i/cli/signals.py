"""Signals of schedulers, which end a job as Ctrl-C does."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn


@contextmanager
def interrupting() -> Iterator[None]:
    """Let SIGTERM and SIGUSR1 raise KeyboardInterrupt, and then exit with status 128 + the signal's number.

    A process that is the first one of a container would ignore SIGTERM otherwise. Signals that a host program handles
    stay with it.
    """
    caught: list[int] = []

    def interrupt(number: int, _frame: FrameType | None) -> NoReturn:
        caught.append(number)
        raise KeyboardInterrupt

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():
        numbers = []
    numbers = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, interrupt)
    try:
        yield
    except (KeyboardInterrupt, SystemExit):  # a job that was ended may have a status of its own
        if not caught:
            raise
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)
    if caught:
        raise SystemExit(128 + caught[0])
