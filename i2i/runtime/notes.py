"""What a user should know of how a model runs, as it comes to pass.

Through the logger ``i2i``: without any setting Python prints it on stderr, and a program that wants it elsewhere, or
not at all, has its usual means.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

LOGGER = logging.getLogger("i2i")


def note(text: str) -> None:
    """Says it."""
    LOGGER.warning("%s", text)


class Told(logging.Handler):
    """Hands notes on to a function that shows them, instead of Python's own way to stderr."""

    def __init__(self, show: Callable[[str], object]) -> None:
        super().__init__()
        self._show = show

    def emit(self, record: logging.LogRecord) -> None:
        """One note."""
        self._show(record.getMessage())


def tell(show: Callable[[str], object]) -> None:
    """From now on ``show`` is called with each note, in the thread that it comes from; it replaces an earlier one."""
    for handler in [handler for handler in LOGGER.handlers if isinstance(handler, Told)]:
        LOGGER.removeHandler(handler)
    LOGGER.addHandler(Told(show))
