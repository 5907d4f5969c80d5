"""Progress of a run: the terminal, ``log.jsonl`` and TensorBoard."""

from __future__ import annotations

import json
import math
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from i2i.engine.distributed import World
from i2i.engine.log_file import append, forget_after, numbers, open_board, optional
from i2i.engine.pace import Pace, end, span
from i2i.progress import Progress

Batch = TypeVar("Batch")


class Reporter:
    """Report a run's progress; only the first process does.

    ``log.jsonl`` and TensorBoard get a line every so many steps, as the settings say; people get one by time, the first
    a few seconds after the first step. ``advise`` is called once, with the seconds that are left after the first steps,
    and returns a line for people, or an empty string.
    """

    def __init__(
        self, run: Path, start: int, steps: int, batch: int, world: World, quiet: bool,
        advise: Callable[[float], str] = lambda seconds: "",
    ) -> None:  # fmt: skip
        self.log = run / "log.jsonl"
        self.steps, self.batch, self.device = steps, batch, world.device
        self.since, self.last, self.waited = time.monotonic(), start, 0.0
        self.pace, self.means = Pace(start, steps), dict[str, float]()
        self.leads = world.rank == 0  # only the first process reports
        self.quiet = quiet = quiet or not self.leads
        self.advise: Callable[[float], str] | None = advise
        if self.leads:
            forget_after(self.log, start)
        self.progress = Progress("step", run.name, start=start, every=math.inf, quiet=quiet)
        self._excepthook = threading.excepthook
        if self.leads:
            threading.excepthook = self._on_thread_error
        self.board = open_board(run, start) if self.leads else None

    def __enter__(self) -> Reporter:
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.close()
        if self.board:
            with suppress(OSError):
                self.board.close()
        threading.excepthook = self._excepthook

    def _on_thread_error(self, error: threading.ExceptHookArgs) -> None:
        """Ignore OSError: TensorBoard's thread raises it again in this one, where it becomes a warning."""
        if not issubclass(error.exc_type, OSError):
            self._excepthook(error)

    def begin(self) -> None:
        """Begin to count time and the GPU's memory, before the first step."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)  # trials of batches and compilers took more
        self.since, self.waited = time.monotonic(), 0.0
        self.pace.restart()

    def fetch(self, batches: Iterator[Batch]) -> Batch:
        """Return the next batch, and count the time that the step waited for it."""
        began = time.monotonic()
        batch = next(batches)
        took = time.monotonic() - began
        self.waited += took
        self.pace.waited += took
        return batch

    def advance(self, step: int, losses: Callable[[], dict[str, float]] = dict) -> None:
        """Move the bar to ``step`` steps done, and now and then show the speed, and ``losses()`` or the last means."""
        self.progress.update(step, self.steps)
        if self.quiet or not self.pace.due(step):
            return
        means = losses() or self.means  # waits for the device, so that the clock is right
        speed = self.pace.read(step)
        facts = [
            f"{self.batch / max(speed.step, 1e-9):.3g} img/s",
            f"{span(speed.left)} left, until {end(speed.left)}" if step < self.steps else "",
            f"{most_memory(self.device):.1f} GB",
            f"data wait {speed.waited:.0%}",
            "  ".join(f"{name} {mean:.3g}" for name, mean in means.items()),
        ]
        detail = "  ".join(fact for fact in facts if fact)
        self.progress.update(step, self.steps, detail=detail)
        if not self.progress.terminal:
            self.say(f"step {step}/{self.steps}  {span(speed.step)}/step  {detail}")
        if self.advise and (advice := self.advise(speed.left)):
            self.say(advice)
        self.advise = None

    def say(self, text: str) -> None:
        self.progress.say(text)

    def figures(self, step: int, rate: float, means: dict[str, float]) -> None:
        """Report the means since the last call, after ``step`` steps."""
        if not self.leads:
            return
        now = time.monotonic()
        speed = (step - self.last) * self.batch / max(now - self.since, 1e-9)
        line = {
            "step": step, "rate": rate, **means, "images_per_second": speed, "memory_gb": most_memory(self.device),
            "data_wait": min(self.waited / max(now - self.since, 1e-9), 1.0),
        }  # fmt: skip
        self.since, self.last, self.waited, self.means = now, step, 0.0, means
        with optional(self.log):
            append(self.log, json.dumps(line) + "\n")
        if self.board:
            with optional(self.log.parent / "tensorboard"):
                for name, mean in (means | {"images_per_second": speed}).items():
                    self.board.add_scalar(name, mean, step)

    def measured(self, step: int, line: dict[str, Any], began: float) -> None:
        """Report figures of validation images after ``step`` steps; ``line`` is their line of the log.

        Objects within it become curves by their path, such as "val/a2b/L1". The time since ``began`` does not count as
        training.
        """
        took = time.monotonic() - began
        self.since += took
        self.pace.left_out(took)
        if not self.leads:
            return
        with optional(self.log):
            append(self.log, json.dumps({"step": step, **line}) + "\n")
        if self.board:
            with optional(self.log.parent / "tensorboard"):
                for name, value in numbers(line):
                    self.board.add_scalar(name, value, step)

    def picture(self, draw: Callable[[], np.ndarray], step: int) -> None:
        """Draw a sample sheet, uint8 [h, w, 3], and show it in TensorBoard."""
        with optional("the sample sheet"):
            sheet = draw()
            if self.board:
                with optional(self.log.parent / "tensorboard"):
                    self.board.add_image("samples", sheet, step, dataformats="HWC")


def most_memory(device: torch.device) -> float:
    """Return the peak memory in GB: the GPU's, or the process's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    status = Path("/proc/self/status")
    # ru_maxrss would begin at the peak of the program that started this one
    if status.exists() and (peak := re.search(r"VmHWM:\s+(\d+) kB", status.read_text())):
        return int(peak[1]) / 1e6
    if sys.platform == "win32":
        return float("nan")
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e9 if sys.platform == "darwin" else 1e6)
