"""Ctrl-C between two frames and not within one, so that encoded frames reach the file completely."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Interrupt:
    """Context that delays Ctrl-C while a frame is written (``hold``), and allows it while one is awaited.

    SIGTERM and SIGUSR1 too, where Python handles them. This works in the main thread; elsewhere signals are left alone.
    """

    def __init__(self) -> None:
        self._held = False
        self._asked: tuple[int, FrameType | None] | None = None
        self._before: dict[int, Callable[[int, FrameType | None], Any]] = {}

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)]
            for number in numbers:
                if callable(handler := signal.getsignal(number)):
                    self._before[number] = handler
                    signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            if signal.getsignal(number) == self._handle:  # and not what the handler itself has set
                signal.signal(number, handler)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Delay signals within the block; handle them at its end."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._asked is not None:
            (number, frame), self._asked = self._asked, None
            self._before[number](number, frame)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self._held or self._asked is not None:  # a second one does not wait
            self._before[number](number, frame)
        else:
            self._asked = number, frame
