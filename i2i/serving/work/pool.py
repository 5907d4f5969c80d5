"""Worker threads behind a bounded queue, for one event loop."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

from i2i.serving.metrics import Metrics
from i2i.serving.problems import ProblemError, overloaded
from i2i.serving.work.ticket import DEADLINE, GONE, AbandonedError, Ticket
from i2i.text import plural

Result = TypeVar("Result")

LAST_WAIT = 5.0
_SMOOTHING = 0.1  # weight of the newest image in the mean time of one
_PATIENCE = 0.02  # seconds between two looks for room in the queue


class _Item(NamedTuple):
    work: Callable[[], Any]
    ticket: Ticket
    arrived: float
    result: Future[Any]


class Pool:
    """Threads that take one image each. ``run`` is called in one event loop.

    ``running`` and ``done`` count images in work, and those that are over.

    An image whose deadline passes or whose client leaves while it waits is taken out of the queue, with its bytes; one
    in work is given up between two steps. (``ThreadPoolExecutor`` keeps what is cancelled until its turn comes.)
    """

    def __init__(self, workers: int, queue: int, metrics: Metrics) -> None:
        self.workers, self.queue, self.running, self.done = workers, queue, 0, 0
        self._items: deque[_Item] = deque()
        self._seconds: float | None = None  # mean time of an image in work
        self._metrics = metrics
        self._changed = threading.Condition()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._serve, name=f"i2i-serve-{number}", daemon=True) for number in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """Images that wait for a thread."""
        return len(self._items)

    def expected(self) -> float:
        """Return the seconds after which an image that comes now would start; 0 as long as that is unknown."""
        if self.running < self.workers or self._seconds is None:
            return 0.0
        return (self.waiting + 1) / self.workers * self._seconds

    async def run(self, work: Callable[[], Result], ticket: Ticket, *, patient: bool = False) -> Result:
        """Return the result of ``work``, called in a thread.

        ``patient`` waits for room in the queue. Raises ProblemError 429 if the queue is full, or so long that the
        deadline would pass, ProblemError 504 after the deadline, and the errors of ``work``.
        """
        try:
            while patient and self._is_full():
                ticket.check()
                await asyncio.sleep(_PATIENCE)
            item = self._admit(work, ticket)
            try:
                async with asyncio.timeout(ticket.left):
                    return await asyncio.wrap_future(item.result)
            except BaseException:
                self._take_out(item)
                raise
        except (TimeoutError, AbandonedError) as error:
            self._metrics.abandoned.labels(ticket.abandon(DEADLINE)).inc()
            raise ProblemError(
                504,
                f"no result within the {ticket.seconds:g} s that a request may take; send a smaller image, or later",
            ) from error
        except asyncio.CancelledError:
            self._metrics.abandoned.labels(ticket.abandon(GONE)).inc()
            raise

    def _is_full(self) -> bool:
        # An idle thread has room for one that waits, until it wakes up and takes it.
        return self.running + self.waiting >= self.workers + self.queue

    def _admit(self, work: Callable[[], Any], ticket: Ticket) -> _Item:
        seconds = math.ceil(max(1.0, self.expected()))
        again = f"try again in about {seconds} s"
        if self._is_full():
            raise overloaded(f"{plural(self.waiting, 'image')} in the queue, which is the limit; {again}", seconds)
        if self.expected() > ticket.left:
            limit = f"the {ticket.seconds:g} s that a request may take"
            raise overloaded(
                f"{plural(self.waiting, 'image')} in the queue, which take longer than {limit}; {again}", seconds
            )
        item = _Item(work, ticket, time.perf_counter(), Future())
        with self._changed:
            if self._closed:
                raise overloaded("the service is stopping", 1, status=503)
            self._items.append(item)
            self._changed.notify()
        return item

    def _take_out(self, item: _Item) -> None:
        with self._changed, suppress(ValueError):  # it may be in work already
            self._items.remove(item)

    def _serve(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._items or self._closed)
                if not self._items:
                    return
                item = self._items.popleft()
                self.running += 1
            try:
                self._work(item)
            finally:
                with self._changed:
                    self.running -= 1
                    self.done += 1
                del item  # or its bytes stay until the next one

    def _work(self, item: _Item) -> None:
        if not item.result.set_running_or_notify_cancel():
            return
        start = time.perf_counter()
        item.ticket.add("queue", start - item.arrived)
        try:
            item.ticket.check()
            result = item.work()
        except BaseException as error:
            item.result.set_exception(error)
            return
        spent = time.perf_counter() - start
        self._seconds = spent if self._seconds is None else self._seconds + _SMOOTHING * (spent - self._seconds)
        item.result.set_result(result)

    def close(self) -> None:
        """Let the threads end; those whose inference does not return within LAST_WAIT seconds are left alone."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        until = time.monotonic() + LAST_WAIT
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
