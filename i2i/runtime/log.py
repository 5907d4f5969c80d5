"""Notes for the user about how a model runs.

They go to the logger ``i2i``: by default Python prints them on stderr, and a program can redirect or silence them with
the means of ``logging``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

_LOGGER = "i2i"
_one = threading.Lock()  # each note is shown once
_show: Callable[[str], object] | None = None


class _Shown:
    """Stream of a handler that calls a function."""

    def __init__(self, show: Callable[[str], object]) -> None:
        self.write = show

    def flush(self) -> None:
        """Do nothing."""


def note(text: str) -> None:
    """Log a note as a warning, or pass it to the function set by ``tell``."""
    import logging  # its import takes longer than a small image, and notes are rare

    logger = logging.getLogger(_LOGGER)
    with _one:
        show = _show
        if show is None:
            logger.warning("%s", text)
            return
        handler = logging.StreamHandler(_Shown(show))
        handler.terminator = ""
        logger.addHandler(handler)
        try:
            logger.warning("%s", text)
        finally:
            logger.removeHandler(handler)


def tell(show: Callable[[str], object] | None) -> None:
    """Set the function that is called with each note, in the thread that logs it; None restores ``logging``."""
    global _show
    _show = show
