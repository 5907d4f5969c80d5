"""One process for each graphics card of this machine, which take the files of a folder in turn.

Each process sees its card alone (``CUDA_VISIBLE_DEVICES``), so that memory, compiled engines and encoders are those of
the card, and opens the models itself. A process takes the next file when it has finished one, so that all end at about
the same time.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import queue
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.context import SpawnProcess
from typing import Any, NoReturn

from i2i.errors import MAY_PASS, I2IError
from i2i.runtime.errors import ProviderError
from i2i.runtime.jobs.workers import Outcome
from i2i.runtime.log import note, tell
from i2i.runtime.model.model import Model
from i2i.runtime.system.host import cuda_devices, share
from i2i.text import plural

VISIBLE = "CUDA_VISIBLE_DEVICES"
Part = Callable[[int, Iterator[str], Callable[[Outcome], None]], None]
"""Translates the files of an iterator in the process of that number, from 1, and calls the last with each outcome."""


class GpuError(I2IError):
    """A process of a folder job ended before its work did."""

    exit_status = MAY_PASS


def chosen(gpus: int | str | None, models: Sequence[Model]) -> list[str]:
    """Return the cards to use, as ``CUDA_VISIBLE_DEVICES`` names them; [] for None: this process, on its own card.

    Raises ProviderError if there are not as many, and ValueError for a model on the processor.
    """
    if gpus is None:
        return []
    names = [name for name in os.environ.get(VISIBLE, "").split(",") if name]
    cards = len(cuda_devices())
    names = names[:cards] if names else [str(number) for number in range(cards)]
    wanted = len(names) if gpus == "all" else int(gpus)
    if not 1 <= wanted <= len(names):
        shown = plural(len(names), "card") if names else "no card"
        raise ProviderError(f"gpus is {gpus}, and the NVIDIA driver shows {shown}; `i2i doctor` says more")
    if on_cpu := [model.path.name for model in models if model.on_cpu]:
        raise ValueError(f"gpus is {gpus}, and {', '.join(on_cpu)} runs on the processor; leave gpus out")
    return names[:wanted]


def run(gpus: Sequence[str], names: Sequence[str], part: Part, receive: Callable[[Outcome], None]) -> None:
    """Run ``part`` in a process for each card, on the files of these names; call ``receive`` with each outcome here.

    ``part`` is pickled. Raises the first error of a process, after the others have finished the files that they had
    begun, and GpuError for a process that was killed. After an interrupt no file is left half-written.
    """
    context = multiprocessing.get_context("spawn")
    pickled = pickle.dumps(part)  # unpickled in `_work`, where errors of opening a model are caught
    lock, box = context.Lock(), context.Queue()
    taken = context.Value("q", 0, lock=False)
    processes: list[SpawnProcess] = []
    try:
        for number, gpu in enumerate(gpus, 1):
            arguments = (pickled, number, len(gpus), list(names), taken, lock, box, os.getpid())
            process = context.Process(target=_work, args=arguments, name=f"i2i-gpu-{gpu}")
            with _starting(gpu):
                process.start()
            processes.append(process)
        _receive(processes, taken, len(names), box, receive)
    finally:
        taken.value = len(names)  # no other file is begun; without the lock, which a killed process may hold
        for process in processes:
            if process.is_alive() and process.pid is not None:
                os.kill(process.pid, signal.SIGTERM)
        while any(process.is_alive() for process in processes):
            _message(box, 0.1)  # or a process would wait to put its last outcomes
        for process in processes:
            process.join()


def _receive(
    processes: Sequence[SpawnProcess], taken: Any, total: int, box: Any, receive: Callable[[Outcome], None]
) -> None:
    """Handle what the processes say until each has ended."""
    failure: Exception | None = None
    running = len(processes)
    while running:
        message = _message(box, 0.5)
        if message is _NOTHING:
            dead = [process for process in processes if process.exitcode not in (None, 0)]
            if dead:
                how = f"{dead[0].name}: this process was ended ({dead[0].exitcode}), perhaps for lack of memory"
                raise failure or GpuError(f"{how}; the same command continues")
        elif message is None:
            running -= 1
        elif isinstance(message, str):
            note(message)
        elif isinstance(message, Exception):
            failure = failure or message
            taken.value = total
        else:
            receive(message)
    if failure is not None:
        raise failure


_NOTHING = object()


def _message(box: Any, seconds: float) -> Any:
    try:
        return box.get(timeout=seconds)
    except queue.Empty:
        return _NOTHING


@contextmanager
def _starting(gpu: str) -> Iterator[None]:
    """Let a process that is started within see that card alone, and ignore Ctrl-C, which a terminal sends to all."""
    main = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN) if main else None
    before = os.environ.get(VISIBLE)
    os.environ[VISIBLE] = gpu
    try:
        yield
    finally:
        if before is None:
            del os.environ[VISIBLE]
        else:
            os.environ[VISIBLE] = before
        if main:
            signal.signal(signal.SIGINT, handler)


def _work(part: bytes, number: int, count: int, names: list[str], taken: Any, lock: Any, box: Any, parent: int) -> None:
    """Run a part in this process, and say what comes of it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # also if the parent was no main thread
    signal.signal(signal.SIGTERM, _interrupt)
    if hasattr(signal, "SIGUSR1"):
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # a scheduler's warning to all; the parent sends SIGTERM then
    tell(box.put)
    share(count)
    try:
        try:
            pickle.loads(part)(number, _turns(names, taken, lock, parent), box.put)
        except Exception as error:
            box.put(_sendable(error))
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the parent sends it to all that have not quite ended
        box.put(None)


def _interrupt(*_: object) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a group gets one, and each process another from the parent
    raise KeyboardInterrupt


def _turns(names: Sequence[str], taken: Any, lock: Any, parent: int) -> Iterator[str]:
    """Yield the names that no other process has taken, until the parent is gone."""
    while os.getppid() == parent:
        with lock:
            place = taken.value
            taken.value = place + 1
        if place >= len(names):
            return
        yield names[place]


def _sendable(error: Exception) -> Exception:
    """Return an error that survives pickling: this one, or another with its text."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # whatever its class does when it is made again
        return GpuError(f"{type(error).__name__}: {error}")
    return error
