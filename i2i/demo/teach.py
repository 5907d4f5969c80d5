"""The demo's trainings: the user's own command, ``i2i train``, one process for each task and all at once.

Networks as small as these gain nothing from a second thread, and lose much where cores are busy; two processes of one
thread each use two cores to the full.
"""

from __future__ import annotations

import json
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

EVERY = 10.0  # seconds between two lines about how far it is
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class TrainingError(ValueError):
    """A training ended with another exit status than 0."""

    exit_status = 1


def train_all(commands: Mapping[Path, Sequence[str]], say: Callable[[str], None]) -> None:
    """Runs ``i2i train`` with each list of arguments until all are done; what each says is in ``RUN.log``.

    ``commands`` maps the folder of each run to the arguments after ``i2i train``. Raises TrainingError with the end of
    what it said when one fails; the others are then asked to save and stop, as they are on Ctrl-C.
    """
    with _processes(commands) as running:
        told = time.monotonic()
        while any(process.poll() is None for process in running.values()):
            for run, process in running.items():
                if process.poll():
                    raise TrainingError(f"i2i train ended with status {process.returncode}:\n{_last_words(run)}")
            if time.monotonic() - told >= EVERY:
                told = time.monotonic()
                say("  " + ",  ".join(f"{run.name} {_progress(run)}" for run in running))
            time.sleep(0.1)
    failed = [run for run, process in running.items() if process.returncode]
    if failed:
        status = running[failed[0]].returncode
        raise TrainingError(f"i2i train ended with status {status}:\n{_last_words(failed[0])}")


@contextmanager
def _processes(commands: Mapping[Path, Sequence[str]]) -> Iterator[dict[Path, subprocess.Popen[bytes]]]:
    """The trainings; whatever happens, none of them outlives the context."""
    environment = os.environ | dict.fromkeys(THREADS, "1")
    running: dict[Path, subprocess.Popen[bytes]] = {}
    with _stopped_by(signal.SIGTERM):
        try:
            for run, arguments in commands.items():
                run.parent.mkdir(parents=True, exist_ok=True)
                with open(_log(run), "wb") as log:
                    # In a session of its own it does not get the terminal's Ctrl-C, but one signal from here: a second
                    # would end it before it has saved.
                    running[run] = subprocess.Popen(
                        [sys.executable, "-m", "i2i", "train", *arguments],
                        stdout=log,
                        stderr=log,
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
    """Makes a signal an orderly end of this process, where it is the main thread that is to end."""

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


def _log(run: Path) -> Path:
    return run.with_name(run.name + ".log")


def _last_words(run: Path) -> str:
    return "\n".join(_log(run).read_text(errors="replace").splitlines()[-8:])


def _progress(run: Path) -> str:
    """How far a run is, by the last line of its log."""
    try:
        steps = json.loads((run / "run.json").read_text())["steps"]
        line = json.loads((run / "log.jsonl").read_text().splitlines()[-1])
    except (OSError, ValueError, KeyError, IndexError):  # it has only begun
        return "begins"
    return f"{line['step']}/{steps} steps"
