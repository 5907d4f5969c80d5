"""Videos as jobs: accepted, translated one at a time, kept for a while, within a limit of disk space."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from i2i import atomic
from i2i.errors import I2IError
from i2i.runtime.jobs.options import Options
from i2i.runtime.model.model import Model
from i2i.runtime.video.detect import HEAD, animation, begins_like_video
from i2i.serving.metrics import Metrics
from i2i.serving.problems import ProblemError, of, overloaded
from i2i.serving.settings import Settings
from i2i.text import plural

STATES = ("queued", "running", "done", "failed", "cancelled")
LAST_WAIT = 5.0
"""Seconds for which a stopping service waits for a video that was cancelled."""
_OVER = STATES[2:]
_PREFIX, _LOCK = "i2i-serve-", "lock"
_LOOK = 20  # frames between two looks at the size of the result


class _CancelledError(Exception):
    """The job was cancelled."""


@dataclass
class Job:
    """A video. Its files lie in a folder of its own; their names do not come from the request."""

    id: str
    model: str
    folder: Path
    suffix: str = ""  # of the result
    state: str = "receiving"
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


class Videos:
    """The jobs of a service, in a temporary folder that goes with it."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings, self._metrics = settings, metrics
        self._jobs: dict[str, Job] = {}
        self._queue: deque[tuple[Job, Callable[[], None]]] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._folder: Path | None = None
        self._lock: IO[str] | None = None
        self._thread: threading.Thread | None = None

    def accept(self, model: str) -> Job:
        """Return a new job, with ``job.upload`` to write. Raises ProblemError 429 if there are too many."""
        with self._changed:
            self._expire()
            active = sum(job.state not in _OVER for job in self._jobs.values())
            if active >= self._settings.video_queue:
                raise overloaded(f"{plural(active, 'video')} in the queue, which is the limit; try again later", 30)
            if self._folder is None:
                self._claim_folder()
            assert self._folder is not None
            job = Job(secrets.token_hex(16), model, self._folder)
            job.folder = self._folder / job.id
            job.folder.mkdir()
            self._jobs[job.id] = job
            return job

    def _claim_folder(self) -> None:
        """Make the folder, with a lock for as long as this process lives, and delete those of killed services."""
        if hasattr(os, "getuid"):  # where there are locks
            for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
                with suppress(OSError):
                    if left.is_symlink() or left.stat().st_uid != os.getuid():
                        continue
                    with open(left / _LOCK, "r+") as file:
                        atomic.lock(file)
                        shutil.rmtree(left, ignore_errors=True)
        self._folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self._lock = open(self._folder / _LOCK, "w")  # noqa: SIM115  # until ``close``
        atomic.lock(self._lock)

    def reserve(self, job: Job, count: int) -> None:
        """Count more bytes of disk. Raises ProblemError 507 beyond the limit."""
        with self._changed:
            used = sum(each.reserved for each in self._jobs.values())
            if used + count > self._settings.max_disk:
                most = plural(self._settings.max_disk, "byte")
                raise ProblemError(507, f"videos take more than the limit of {most} on the disk")
            job.reserved += count

    def start(self, job: Job, run: Callable[[Job], None]) -> None:
        """Queue a job whose upload is complete; ``run`` translates it, in the thread of the videos."""
        with self._changed:
            job.state = "queued"
            self._queue.append((job, lambda: run(job)))
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="i2i-videos", daemon=True)
                self._thread.start()
            self._changed.notify()

    def get(self, identity: str) -> Job:
        """Return a job. Raises ProblemError 404."""
        with self._changed:
            self._expire()
            if identity not in self._jobs:
                raise ProblemError(404, "no such job; results are deleted after a while")
            return self._jobs[identity]

    def cancel(self, job: Job) -> None:
        """End a job, and delete its files."""
        with self._changed:
            job.cancelled = True
            if job.state == "running":
                return  # its thread deletes it
            self._queue = deque(each for each in self._queue if each[0] is not job)
            self._delete(job)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._stopping)
                if not self._queue:
                    return
                job, run = self._queue.popleft()
                job.state = "running"
            self._run(job, run)

    def _run(self, job: Job, run: Callable[[], None]) -> None:
        try:
            run()
            state, detail = "done", ""
        except _CancelledError:
            state, detail = "cancelled", ""
        except Exception as error:
            state, detail = (
                "failed",
                of(error).detail.replace(str(job.upload), "the video").replace(str(job.result), "the result"),
            )
        with self._changed:
            for path in [job.upload] if state == "done" else list(job.folder.iterdir()):
                with suppress(OSError):
                    path.unlink()
            job.state, job.detail, job.changed = state, detail, time.time()
            job.reserved = job.result.stat().st_size if state == "done" else 0
            self._metrics.videos.labels(state).inc()
            if state == "cancelled":
                self._delete(job)

    def _expire(self) -> None:
        """Delete results that were kept long enough."""
        oldest = time.time() - self._settings.keep
        for job in [job for job in self._jobs.values() if job.state in _OVER and job.changed < oldest]:
            self._delete(job)

    def _delete(self, job: Job) -> None:
        self._jobs.pop(job.id, None)
        shutil.rmtree(job.folder, ignore_errors=True)

    def stop(self) -> None:
        """Cancel what waits and what runs: the results would go with the service."""
        with self._changed:
            self._stopping = True
            self._queue.clear()
            for job in self._jobs.values():
                job.cancelled = True
            self._changed.notify_all()

    def close(self) -> None:
        """End the thread and delete everything."""
        self.stop()
        if self._thread is not None:
            self._thread.join(LAST_WAIT)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        if self._lock is not None:
            self._lock.close()


def suffix_of(upload: Path) -> str:
    """Return the suffix of a result by the first bytes of its source; "" for bytes that are no video.

    FFmpeg also recognizes playlists and scripts, which name other files and addresses: only these containers get there.
    """
    with open(upload, "rb") as file:
        head = file.read(HEAD)
    if begins_like_video(head):
        brand = head[8:12]
        return ".mov" if head[4:8] == b"ftyp" and brand == b"qt  " else ".mp4" if head[4:8] == b"ftyp" else ".mkv"
    header = animation(upload)
    return "" if header is None else {"GIF": ".gif", "WEBP": ".webp", "PNG": ".png"}[header.format]


def translate(job: Job, model: Model, options: Options, videos: Videos) -> None:
    """Translate the upload of a job to its result. Raises VideoError, ModelError, ProblemError, _CancelledError."""
    from i2i.runtime.video.translate import VideoSummary, translate_video

    grown = 0

    def grow(size: int) -> None:
        nonlocal grown
        if size > grown:
            videos.reserve(job, size - grown)
            grown = size

    def report(summary: VideoSummary) -> None:
        job.frames, job.expected = summary.frames, summary.expected
        if job.cancelled:
            raise _CancelledError
        if summary.frames % _LOOK == 0:
            grow(sum(path.stat().st_size for path in job.folder.rglob("video*") if path.is_file()))

    if job.cancelled:
        raise _CancelledError
    try:
        summary = translate_video(model, job.upload, job.result, options, report=report)
    except I2IError:
        if job.cancelled:
            raise _CancelledError from None
        raise
    grow(job.result.stat().st_size)  # an encoder keeps the last frames to the end
    job.notes = [note.replace(str(job.upload), "the video") for note in summary.notes]
    if summary.damage is not None:
        job.notes.append(summary.damage)
