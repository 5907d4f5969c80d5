"""One video: its files, its progress, and its translation."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from i2i.images.header import NO_LIMIT
from i2i.runtime.jobs.options import Options
from i2i.runtime.model.model import Model
from i2i.runtime.video.detect import HEAD, animation, begins_like_video

_LOOK = 20  # frames between two looks at the size of the result


class CancelledJobError(Exception):
    """The job was cancelled."""


@dataclass
class Job:
    """A video. Its files lie in a folder of its own; their names do not come from the request."""

    id: str
    model: str
    folder: Path
    suffix: str = ""  # of the result
    state: str = "receiving"  # then queued, running, and done, failed or cancelled
    frames: int = 0
    expected: int | None = None
    detail: str = ""  # why it failed
    notes: list[str] = field(default_factory=list)
    changed: float = field(default_factory=time.time)
    cancelled: bool = False
    reserved: int = 0  # bytes of disk

    @property
    def upload(self) -> Path:
        return self.folder / "upload"

    @property
    def result(self) -> Path:
        return self.folder / f"result{self.suffix}"

    def document(self) -> dict[str, Any]:
        """Return the job as JSON."""
        done = 1.0 if self.state == "done" else 0.0 if not self.expected else min(1.0, self.frames / self.expected)
        facts: dict[str, Any] = {
            "id": self.id, "model": self.model, "state": self.state, "frames": self.frames, "expected": self.expected,
            "progress": round(done, 4), "notes": self.notes,
        }  # fmt: skip
        if self.detail:
            facts["detail"] = self.detail
        if self.state == "done":
            facts |= {"result": f"/v1/jobs/{self.id}/result", "bytes": self.result.stat().st_size}
        return facts


def suffix_of(upload: Path) -> str:
    """Return the suffix of a result by the first bytes of its source; "" for bytes that are no video.

    FFmpeg also recognizes playlists and scripts, which name other files and addresses: only these containers get there.
    """
    with open(upload, "rb") as file:
        head = file.read(HEAD)
    if begins_like_video(head):
        brand = head[8:12]
        return ".mov" if head[4:8] == b"ftyp" and brand == b"qt  " else ".mp4" if head[4:8] == b"ftyp" else ".mkv"
    header = animation(upload, NO_LIMIT)  # its frames are measured when it is opened
    return "" if header is None else {"GIF": ".gif", "WEBP": ".webp", "PNG": ".png"}[header.format]


def translate(job: Job, model: Model, options: Options, reserve: Callable[[Job, int], None]) -> None:
    """Translate the upload of a job to its result. Raises VideoError, ModelError, ProblemError, CancelledJobError."""
    from i2i.runtime.video.translate import VideoSummary, translate_video

    grown = 0

    def grow(size: int) -> None:
        nonlocal grown
        if size > grown:
            reserve(job, size - grown)
            grown = size

    def report(summary: VideoSummary) -> None:
        job.frames, job.expected = summary.frames, summary.expected
        if job.cancelled:
            raise CancelledJobError
        if summary.frames % _LOOK == 0:
            grow(sum(path.stat().st_size for path in job.folder.rglob("video*") if path.is_file()))

    if job.cancelled:
        raise CancelledJobError
    summary = translate_video(model, job.upload, job.result, options, report=report, max_pixels=options.max_pixels)
    grow(job.result.stat().st_size)  # an encoder keeps the last frames to the end
    job.notes = [note.replace(str(job.upload), "the video") for note in summary.notes]
    if summary.damage is not None:
        job.notes.append(summary.damage)
