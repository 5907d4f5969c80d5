"""Notes to the user about how a model runs.

Through the logger ``i2i``: without any setting Python prints it on stderr, and a program that wants it elsewhere, or
not at all, has its usual means.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

_LOGGER = "i2i"
_one = threading.Lock()  # so that each note is shown once
_show: Callable[[str], object] | None = None


class _Shown:
    """A function as the stream of a handler."""

    def __init__(self, show: Callable[[str], object]) -> None:
        self.write = show

    def flush(self) -> None:
        """Nothing."""


def note(text: str) -> None:
    """Log a note."""
    import logging  # which takes longer than a small image, and there is seldom something to say

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
    """Call ``show`` with each note from now on, in the note's own thread; None: log through Python's logging again."""
    global _show
    _show = show
