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
from pathlib import Path
from typing import IO

from i2i import atomic
from i2i.serving.metrics import Metrics
from i2i.serving.problems import ProblemError, of, overloaded
from i2i.serving.settings import Settings
from i2i.serving.work.video_job import CancelledJobError, Job
from i2i.text import plural

LAST_WAIT = 5.0
"""Seconds for which a stopping service waits for a video that was cancelled."""
_OVER = ("done", "failed", "cancelled")
_PREFIX, _LOCK = "i2i-serve-", "lock"


class Videos:
    """The jobs of a service, in a temporary folder that goes with it."""

    def __init__(self, settings: Settings, metrics: Metrics, prefix: str = "") -> None:
        self._settings, self._metrics, self._prefix = settings, metrics, prefix
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
            job = Job(self._prefix + secrets.token_hex(16), model, self._folder)
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
                while not (self._queue or self._stopping):
                    self._changed.wait(self._expire())
                if not self._queue:
                    return
                job, run = self._queue.popleft()
                job.state = "running"
            self._run(job, run)

    def _run(self, job: Job, run: Callable[[], None]) -> None:
        try:
            run()
            state, detail = "done", ""
        except CancelledJobError:
            state, detail = "cancelled", ""
        except Exception as error:
            state, detail = (
                "failed",
                of(error).detail.replace(str(job.upload), "the video").replace(str(job.result), "the result"),
            )
        with self._changed:
            if job.cancelled:  # after the last frame, too
                state, detail = "cancelled", ""
            for path in [job.upload] if state == "done" else list(job.folder.iterdir()):
                with suppress(OSError):
                    path.unlink()
            job.state, job.detail, job.changed = state, detail, time.time()
            job.reserved = job.result.stat().st_size if state == "done" else 0
            self._metrics.videos.labels(state).inc()
            if state == "cancelled":
                self._delete(job)

    def _expire(self) -> float | None:
        """Delete results that were kept long enough; return the seconds until the next one, None if there is none."""
        now, keep = time.time(), self._settings.keep
        for job in [job for job in self._jobs.values() if job.state in _OVER and job.changed + keep <= now]:
            self._delete(job)
        return min((job.changed + keep - now for job in self._jobs.values() if job.state in _OVER), default=None)

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
