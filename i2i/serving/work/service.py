"""The state of a running service: models, threads, videos, and whether it takes requests."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from i2i.runtime.memory.memory_limit import MemoryLimit
from i2i.runtime.system import host
from i2i.serving.metrics import Metrics
from i2i.serving.problems import overloaded
from i2i.serving.settings import Settings
from i2i.serving.work.pool import Pool
from i2i.serving.work.store import ModelStore
from i2i.serving.work.ticket import Ticket
from i2i.serving.work.videos import Videos

PAUSE, LONGEST = 5.0, 60.0
"""Seconds without an image, and of work, after which freed memory goes back to the system."""
BODY_SHARE = 8
"""Request bodies may take one part in this many of the memory that is free at the start."""


class Service:
    """A service before, while and after it takes requests.

    Attributes:
        ready: True once every model has run its first images, until the service stops.
        most_body_bytes: of all bodies that are in memory at once.
    """

    def __init__(self, sources: Sequence[str], settings: Settings, jobs: str = "") -> None:
        """Prepare a service; ``jobs`` begins the names of its videos."""
        self.settings, self.metrics = settings, Metrics()
        self.store = ModelStore(sources, settings, self.metrics)
        self.videos = Videos(settings, self.metrics, jobs)
        self.ready = self.stopping = False
        free = host.available_memory()
        self.most_body_bytes = max(
            settings.max_body, 2**31 if free is None else free // BODY_SHARE // settings.processes
        )
        self._pool: Pool | None = None
        self._started = asyncio.Event()
        self._release = host.release_memory
        self.metrics.watch("i2i_queue_waiting", lambda: 0 if self._pool is None else self._pool.waiting)
        self.metrics.watch("i2i_running", lambda: 0 if self._pool is None else self._pool.running)

    @property
    def pool(self) -> Pool:
        """The threads. Raises ProblemError 503 while models are loaded."""
        if self.stopping:
            raise overloaded("the service is stopping", 1, status=503)
        if self._pool is None or not self.ready:
            raise overloaded("the models are being loaded", 5, status=503)
        return self._pool

    @property
    def decoded(self) -> MemoryLimit:
        """The limit on the bytes of decoded images, once the models are loaded."""
        assert self.store.parallel is not None
        return self.store.parallel.decoded

    def ticket(self) -> Ticket:
        """Return the ticket of a request whose body has arrived."""
        return Ticket(self.settings.timeout, lambda stage, spent: self.metrics.stages.labels(stage).observe(spent))

    async def start(self) -> None:
        """Load and warm up the models. Raises as ``ModelStore.load``."""
        await _in_thread(self.store.load)
        assert self.store.parallel is not None
        self._pool = Pool(self.store.parallel.workers, self.settings.queue, self.metrics)
        self.ready = not self.stopping
        self.metrics.ready.set(self.ready)
        self._started.set()

    async def refresh(self, settled: bool = False) -> None:
        """Load, replace and unload models whose files have changed, while others are in use.

        Before the models are loaded it waits for that, since a file may change after it was read.
        """
        await self._started.wait()
        if self.stopping:
            return
        await _in_thread(partial(self.store.refresh, settled))

    async def release_memory(self) -> None:
        """Return freed memory to the system, again and again.

        The C library keeps what images of many sizes took and freed, in pieces. Each call costs the next images some
        milliseconds, so it waits for a pause.
        """
        released, when, seen = 0, time.monotonic(), 0
        while True:
            await asyncio.sleep(PAUSE)
            done, running = (0, 0) if self._pool is None else (self._pool.done, self._pool.running)
            paused = done == seen and not running
            if done != released and (paused or time.monotonic() >= when + LONGEST):
                await asyncio.to_thread(self._release)
                released, when = done, time.monotonic()
            seen = done

    def stop(self) -> None:
        """Refuse further requests; those that were accepted go on."""
        self.stopping, self.ready = True, False
        self.metrics.ready.set(0)
        self.videos.stop()

    def close(self) -> None:
        """End the threads, for which images in work are waited for a few seconds, and free everything."""
        if self._pool is not None:
            self._pool.close()
        self.videos.close()
        self.store.close()


async def _in_thread(work: Callable[[], object]) -> None:
    """Call ``work`` in a thread of its own, which the end of the process does not wait for."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def finish(error: Exception | None) -> None:
        if not done.done():
            done.set_exception(error) if error is not None else done.set_result(None)

    def run() -> None:
        error = None
        try:
            work()
        except Exception as problem:
            error = problem
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(finish, error)

    threading.Thread(target=run, name="i2i-load", daemon=True).start()
    await done
