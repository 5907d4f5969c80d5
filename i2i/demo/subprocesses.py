"""Run ``i2i`` commands as parallel subprocesses of one thread each.

Networks as small as those of the demo gain nothing from a second thread, and lose much where cores are busy; two
processes of one thread each use two cores fully.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

EVERY = 1.0  # seconds between two calls of ``progress``
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class CommandError(ValueError):
    """A command ended with an exit status other than 0."""

    exit_status = 1


def run_all(commands: Mapping[Path, Sequence[str]], progress: Callable[[], None] = lambda: None) -> None:
    """Run ``i2i`` with each list of arguments until all are done, and call ``progress`` every second.

    ``commands`` maps the log file of a command to its arguments. If one fails, the others are stopped, as on Ctrl-C,
    and CommandError is raised with the end of its log.
    """
    with _processes(commands) as running:
        last = time.monotonic()
        while any(process.poll() is None for process in running.values()) and not _failed(running):
            if time.monotonic() - last >= EVERY:
                last = time.monotonic()
                progress()
            time.sleep(0.1)
        for log in _failed(running):
            words = "\n".join(log.read_text(errors="replace").splitlines()[-8:])
            raise CommandError(f"i2i {commands[log][0]} ended with status {running[log].returncode}:\n{words}")


def _failed(running: Mapping[Path, subprocess.Popen[bytes]]) -> list[Path]:
    return [log for log, process in running.items() if process.poll()]


@contextmanager
def _processes(commands: Mapping[Path, Sequence[str]]) -> Iterator[dict[Path, subprocess.Popen[bytes]]]:
    """Start the commands; none of them outlives the context."""
    environment = os.environ | dict.fromkeys(THREADS, "1")
    running: dict[Path, subprocess.Popen[bytes]] = {}
    with _stopped_by(signal.SIGTERM):
        try:
            for log, arguments in commands.items():
                log.parent.mkdir(parents=True, exist_ok=True)
                with open(log, "wb") as file:
                    # A new session does not receive the terminal's Ctrl-C, only the signal from here: a second one
                    # would end a training before it has saved.
                    running[log] = subprocess.Popen(
                        [sys.executable, "-m", "i2i", *arguments],
                        stdout=file,
                        stderr=file,
                        env=environment,
                        start_new_session=True,
                    )
            yield running
        finally:
            for process in running.values():
                if process.poll() is None:
                    process.terminate()
            for process in running.values():
                process.wait()


@contextmanager
def _stopped_by(number: int) -> Iterator[None]:
    """Exit in an orderly way on a signal; does nothing outside the main thread."""

    def stop(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, stop)
    try:
        yield
    finally:
        signal.signal(number, before)
