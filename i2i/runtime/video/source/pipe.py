"""A pipe as a source of bytes that can be stopped while nothing comes."""

from __future__ import annotations

import os
import select
import sys
import threading
from typing import IO, Any

_TURN = 0.2  # seconds after which a wait looks whether it was stopped


class Pipe:
    """A pipe that ends where its writer ends it, or when it is stopped."""

    def __init__(self, file: Any) -> None:
        """Go on where the file is; this waits for its first bytes."""
        self._number = file.fileno()
        self._ahead: bytes = file.read1(1 << 16)  # with what the file holds already, of which ``select`` knows nothing
        self._stopped = threading.Event()

    def read(self, size: int) -> bytes:
        """Return what has come, up to ``size`` bytes; nothing at the end."""
        if self._ahead:
            data, self._ahead = self._ahead[:size], self._ahead[size:]
            return data
        while not self._stopped.is_set():
            if select.select([self._number], [], [], _TURN)[0]:
                return os.read(self._number, size)
        return b""

    def stop(self) -> None:
        """End it for the thread that reads."""
        self._stopped.set()


def stoppable(file: IO[bytes]) -> IO[bytes] | Pipe:
    """Return a pipe as one that can be stopped, and any other file as it is; Windows waits for sockets alone."""
    return file if file.seekable() or sys.platform == "win32" else Pipe(file)
