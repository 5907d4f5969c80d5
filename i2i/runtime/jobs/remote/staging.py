"""Temporary folder for the few files that are on their way."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from i2i import atomic

_PREFIX = "i2i-stage-"


@contextmanager
def staging() -> Iterator[Path]:
    """Yield a new folder among the temporary files, deleted at the end; delete those of killed jobs."""
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError), open(left / "lock") as file:
            atomic.lock(file)
            shutil.rmtree(left, ignore_errors=True)
    place, held = _claimed()
    with held:
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)


def _claimed() -> tuple[Path, IO[str]]:
    """Return a new folder and the open file whose lock keeps it."""
    while True:
        place = Path(tempfile.mkdtemp(prefix=_PREFIX))
        file = open(place / "lock", "w")  # noqa: SIM115  (open as long as the folder is in use)
        atomic.lock(file, wait=True)
        if os.fstat(file.fileno()).st_nlink:
            return place, file
        file.close()  # another process took it for one of a killed job before it was locked
