"""Temporary folder for the few files that are on their way."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from i2i import atomic

_PREFIX = "i2i-stage-"


@contextmanager
def staging() -> Iterator[Path]:
    """Yield a new folder among the temporary files, deleted at the end; delete those of killed jobs."""
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError), open(left / "lock") as file:
            atomic.lock(file)
            shutil.rmtree(left, ignore_errors=True)
    place = Path(tempfile.mkdtemp(prefix=_PREFIX))
    with open(place / "lock", "w") as file:
        atomic.lock(file)
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)
