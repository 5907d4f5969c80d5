"""Ctrl-C between two frames and not within one, so that encoded frames reach the file completely."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Interrupt:
    """Context that delays Ctrl-C while a frame is written (``hold``), and allows it while one is awaited.

    This works in the main thread with Python's own handler; elsewhere signals are left to the program.
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
        """Delay Ctrl-C within the block; raise its KeyboardInterrupt at the end."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._asked:
            self._asked = False
            raise KeyboardInterrupt

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self._held or self._asked:  # a second Ctrl-C does not wait
            raise KeyboardInterrupt
        self._asked = True
