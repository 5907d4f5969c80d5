"""Errors of videos."""

from __future__ import annotations

import os
from pathlib import Path

from i2i.errors import I2IError


class VideoError(I2IError):
    """A video that cannot be read or written: ``str(error)`` is "SOURCE: reason"."""

    exit_status = 1

    def __init__(self, source: object, reason: str) -> None:
        self.source, self.reason = os.fsencode(str(source)).decode("utf-8", "backslashreplace"), reason
        super().__init__(self.source, reason)  # both, so that the error survives pickling

    def __str__(self) -> str:
        return f"{self.source}: {self.reason}".replace("\n", "\\n")


class DamagedError(VideoError):
    """A video of which only a part could be read; that part was translated, and is in ``written``."""

    def __init__(self, source: object, reason: str, written: Path | None = None) -> None:
        super().__init__(source, reason)
        self.written = written


class InterruptedVideo(KeyboardInterrupt):
    """Ctrl-C during a job: the frames so far are in ``partial``, None if there were none or its name was taken."""

    def __init__(self, frames: int, partial: Path | None) -> None:
        self.frames, self.partial = frames, partial
        super().__init__(frames, partial)
