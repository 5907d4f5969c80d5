"""One process for each device behind one port: a parent that starts, watches and stops them.

The parent binds and listens, and every process accepts from that socket: a connection goes to a process whose event
loop is free, and none that waits is lost when a process dies. (Sockets of their own under SO_REUSEPORT get connections
by a hash, whether their process is free or not, and those that wait go with it.)
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from i2i.runtime.log import tell
from i2i.runtime.system.host import cores
from i2i.serving import server
from i2i.serving.settings import CPU, Settings
from i2i.serving.web.guard import to_stderr
from i2i.serving.web.siblings import Siblings
from i2i.serving.work.service import Service

VISIBLE, ORDER = "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"
SIGNALS = (signal.SIGTERM, signal.SIGINT, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))
SHORTEST, LONGEST = 1.0, 30.0
"""Seconds before a process that ended is started again: doubled as long as it ends before it is ready."""


class _Worker:
    """A process for one device, started again and again."""

    def __init__(self, number: int, settings: Settings) -> None:
        self.number, self.device = number, settings.devices[number]
        self._settings = _of_device(settings, self.device)
        self.process: Any = None  # of the context "spawn"
        self.said: Connection
        self.ready = False
        self.changed = False  # models, while it was loading them
        self.failure: Exception | None = None  # with which it ended
        self.delay, self.due = SHORTEST, 0.0  # before the next start, and its time

    def start(self, *arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self.said, theirs = context.Pipe()
        self.ready, self.changed, self.failure = False, False, None
        self.process = context.Process(target=_run, args=(self.number, self._settings, theirs, *arguments))
        with _visible(self.device):
            self.process.start()
        theirs.close()

    def hear(self) -> str | None:
        """Return what the process says, "" for nothing; None once it has ended. Keep the error that it ended with."""
        try:
            while self.said.poll():
                heard = self.said.recv()
                if isinstance(heard, str):
                    return heard
                self.failure = heard
        except (EOFError, OSError):
            self.said.close()
            self.process.join()
            return None
        return ""

    def send(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.process is not None and not self.due:
            with suppress(ProcessLookupError):
                os.kill(self.process.pid, number)


def serve(sources: Sequence[str], settings: Settings, say: Callable[[str], object]) -> None:
    """Serve models with one process for each of ``settings.devices`` until SIGTERM or Ctrl-C.

    A process that ends is started again; it takes requests once its models are loaded. SIGTERM, Ctrl-C and SIGHUP go to
    all of them. Raises as ``server.serve``; also ValueError where there are no sockets in the file system.
    """
    if not hasattr(socket, "AF_UNIX") or os.name != "posix":
        raise ValueError(
            "several devices need Linux or macOS; start one service for each of them, on ports of their own"
        )
    settings.token()
    workers = [_Worker(number, settings) for number in range(len(settings.devices))]
    bound = server.bind(settings.host, settings.port)
    try:
        server.announce(settings, bound, say)
        with tempfile.TemporaryDirectory(prefix="i2i-processes-") as folder:
            _Supervisor(workers, (list(sources), bound, Path(folder)), say).run()
    finally:
        bound.close()


class _Supervisor:
    """The loop of the parent; ``arguments`` are those of ``_run`` that all processes have."""

    def __init__(self, workers: Sequence[_Worker], arguments: tuple[Any, ...], say: Callable[[str], object]) -> None:
        self._workers, self._arguments, self._say = workers, arguments, say
        self._started = self._stopping = False
        self._received: deque[int] = deque()  # signals, which are passed on by the loop: a process may be starting

    def run(self) -> None:
        """Start the processes and watch them until all have ended. Raises the error of one that cannot start."""
        with self._signals():
            for worker in self._workers:
                worker.start(*self._arguments, False)
            while running := [worker for worker in self._workers if worker.process is not None]:
                there = [worker for worker in running if not worker.due]
                wait([worker.said for worker in there], timeout=SHORTEST / 4)
                for worker in there:
                    self._watch(worker)
                while self._received:
                    self._pass_on(self._received.popleft())
                self._start_again()
        failed = next((worker.failure for worker in self._workers if worker.failure is not None), None)
        if failed is not None and not self._started:
            raise failed

    def _watch(self, worker: _Worker) -> None:
        heard = worker.hear()
        if heard is None:
            self._ended(worker)
        elif heard.startswith("ready"):
            worker.ready, worker.delay = True, SHORTEST
            if worker.changed:
                worker.send(signal.SIGHUP)
            if self._started:
                self._say(f"process {worker.number} ({worker.device}): {heard}")
            elif all(each.ready for each in self._workers):
                self._started = True
                self._say(f"{heard}, in processes {', '.join(f'{w.number} ({w.device})' for w in self._workers)}")

    def _ended(self, worker: _Worker) -> None:
        status = worker.process.exitcode
        worker.process.close()
        if self._stopping or not self._started:  # a model that cannot be loaded ends the service, as with one process
            worker.process = None
            if not self._stopping:
                self._stopping = True
                worker.failure = worker.failure or OSError(f"process {worker.number} ended with status {status}")
                for each in self._workers:
                    each.send(signal.SIGTERM)
            return
        reason = f": {worker.failure}" if worker.failure is not None else ""
        self._say(
            f"process {worker.number} ({worker.device}) ended with status {status}{reason}; it is started again in "
            f"{worker.delay:g} s"
        )
        worker.due = time.monotonic() + worker.delay
        worker.delay = min(2 * worker.delay, LONGEST)

    def _start_again(self) -> None:
        for worker in self._workers:
            if worker.due and self._stopping:
                worker.process, worker.due = None, 0.0
            elif worker.due and worker.due <= time.monotonic():
                worker.due = 0.0
                worker.start(*self._arguments, True)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        def received(number: int, _: object) -> None:
            self._received.append(number)

        before = {number: signal.signal(number, received) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _pass_on(self, number: int) -> None:
        stop = signal.SIGINT if self._stopping else signal.SIGTERM  # a second one ends the work at once
        if number != signal.SIGHUP and not self._stopping:
            self._say("stopping: finishing what was accepted")
            self._stopping = True
        for worker in self._workers:
            if number != signal.SIGHUP:
                worker.send(stop)
            elif worker.ready:
                worker.send(signal.SIGHUP)
            else:  # it may not handle the signal yet, and may have read the files already
                worker.changed = True


def _of_device(settings: Settings, device: str) -> Settings:
    """Return the settings of the process for a device. Raises ValueError if the provider does not run there."""
    count = len(settings.devices)
    more: dict[str, Any] = {"processes": count, "max_disk": max(1, settings.max_disk // count)}
    if device == CPU:
        share = max(1, cores() // settings.devices.count(CPU))
        if settings.provider not in ("auto", CPU):
            raise ValueError(f"the provider {settings.provider} does not run on device {device}; leave it out")
        return replace(settings, provider="cpu", workers=settings.workers or share, **more)
    if settings.provider == CPU:
        raise ValueError(f"the provider {settings.provider} does not run on device {device}; leave it out")
    return replace(settings, provider="cuda" if settings.provider == "auto" else settings.provider, **more)


@contextmanager
def _visible(device: str) -> Iterator[None]:
    """Let a process that is started within the block see one GPU alone, counted among those that this one sees."""
    before = os.environ.get(VISIBLE)
    if device != CPU:
        os.environ.setdefault(ORDER, "PCI_BUS_ID")  # as nvidia-smi counts
        seen = before.split(",") if before and device.isdecimal() else []
        os.environ[VISIBLE] = seen[int(device)] if device.isdecimal() and int(device) < len(seen) else device
    try:
        yield
    finally:
        if before is not None:
            os.environ[VISIBLE] = before
        else:
            os.environ.pop(VISIBLE, None)


def _run(
    number: int,
    settings: Settings,
    parent: Connection,
    sources: Sequence[str],
    bound: socket.socket,
    folder: Path,
    late: bool,
) -> None:
    """Serve in a process of its own until SIGTERM, or the end of the parent."""
    os.setpgid(0, 0)  # or Ctrl-C would reach it beside the SIGTERM of the parent
    tell(lambda text: to_stderr(f"note: process {number}: {text}"))

    server.prepare_process()

    def say(text: str) -> None:
        with suppress(OSError):  # the parent has been killed
            parent.send(text)

    siblings = Siblings(folder, number, settings.devices)
    threading.Thread(target=_watch_parent, args=(parent,), daemon=True).start()
    try:
        siblings.socket_path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as private:
            private.bind(str(siblings.socket_path))
            service = Service(sources, settings, f"{number}-")
            asyncio.run(server.run(service, bound, say, to_stderr, server.Shared(siblings, private, late)))
    except (ValueError, OSError, ImportError) as error:
        parent.send(error)
        sys.exit(1)


def _watch_parent(parent: Connection) -> None:
    """Stop this process once the parent has ended: it never sends anything."""
    with suppress(EOFError, OSError):
        parent.recv()
    os.kill(os.getpid(), signal.SIGTERM)
