"""Ctrl-C between two frames and not within one: what is encoded must reach the file whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Interrupt:
    """As a context, holds Ctrl-C back while a frame is written (``hold``), and lets it through while one is awaited.

    In the main thread and with Python's own handler; elsewhere signals are left to the program.
    """

    def __init__(self) -> None:
        self._held, self._asked = False, False
        self._before: Any = None

    def __enter__(self) -> Interrupt:
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._before = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Raises KeyboardInterrupt at its end if it was asked for within."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._asked:
            self._asked = False
            raise KeyboardInterrupt

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self._held or self._asked:  # who asks twice does not want to wait
            raise KeyboardInterrupt
        self._asked = True
