"""Progress of a run: the terminal, ``log.jsonl`` and TensorBoard."""

from __future__ import annotations

import json
import math
import os
import re
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from i2i.atomic import atomically
from i2i.engine.distributed import World
from i2i.engine.pace import Pace, end, span
from i2i.errors import I2IError
from i2i.progress import Progress

Batch = TypeVar("Batch")


class NonFinite(I2IError, RuntimeError):  # noqa: N818 (what happened, not what went wrong)
    """A loss term or a weight became NaN or infinite."""

    exit_status = 1


class Statistics:
    """Means of the loss terms since they were last read. They stay on the device until then.

    The terms of a step are added up as one tensor: a device has as little to do for ten of them as for one.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        # names of a step's terms -> their sums, and the first steps at which they were not finite (or -1); and a count
        self.sums: dict[tuple[str, ...], tuple[Tensor, Tensor]] = {}
        self.counts: dict[tuple[str, ...], int] = {}

    def add(self, terms: dict[str, Tensor], step: int) -> None:
        if not terms:
            return
        names, values = tuple(terms), torch.stack([term.detach() for term in terms.values()])
        values = values.double() if values.device.type == "cpu" else values.float()
        if names not in self.sums:
            self.sums[names], self.counts[names] = (torch.zeros_like(values), torch.full_like(values, -1)), 0
        total, bad = self.sums[names]
        total += values
        bad.masked_fill_(~torch.isfinite(values) & (bad < 0), step + 1)
        self.counts[names] += 1

    def peek(self) -> dict[str, float]:
        """Return the means of this process alone since they were last read, without resetting them."""
        names, table = self._table()
        return dict(zip(names, (table[0] / table[1]).tolist(), strict=True)) if names else {}

    def read(self) -> dict[str, float]:
        """Return the means over all processes, and reset them.

        Raises NonFinite in every process, naming the terms that were the first to be NaN or infinite.
        """
        names, table = self._table()
        if not names:
            return {}
        first = torch.where(table[2] < 0, torch.inf, table[2])
        at = -self.world.largest(-int(first.min()) if torch.isfinite(first.min()) else -(2**31))
        self.world.average([table])
        means = (table[0] / table[1]).tolist()
        self.sums, self.counts = {}, {}
        if at < 2**31:
            bad = [name for name, step in zip(names, first.tolist(), strict=True) if step == at]
            raise NonFinite(f"the loss became NaN or infinite at step {at}: {_named(bad) or 'on another process'}")
        return dict(zip(names, means, strict=True))

    def _table(self) -> tuple[list[str], Tensor]:
        """Return the names of all terms, and rows of their sums, counts and first steps that were not finite, or -1.

        A player that waits in some steps has its terms among those of the other steps alone.
        """
        names = list(dict.fromkeys(name for group in self.sums for name in group))
        if not names:
            return [], torch.empty(3, 0)
        device = next(iter(self.sums.values()))[0].device
        table = torch.zeros(3, len(names), dtype=torch.float64)
        table[2] = -1
        for group, (total, bad) in self.sums.items():
            at = [names.index(name) for name in group]
            table[0, at] += total.cpu().double()
            table[1, at] += self.counts[group]
            seen, before = bad.cpu().double(), table[2, at]
            table[2, at] = torch.where((before < 0) | ((seen >= 0) & (seen < before)), seen, before)
        return names, table.to(device, torch.float64 if device.type == "cpu" else torch.float32)


def _named(terms: list[str]) -> str:
    return ", ".join("player {}, term {}".format(*term.split("/", 1)) for term in terms)


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
            self._forget_after(start)
        self.progress = Progress("step", run.name, start=start, every=math.inf, quiet=quiet)
        self._excepthook = threading.excepthook
        if self.leads:
            threading.excepthook = self._on_thread_error
        self.board = _board(run, start) if self.leads else None

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
        """Begin to count time, before the first step."""
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
        with self._optional(self.log):
            _append(self.log, json.dumps(line) + "\n")
        if self.board:
            with self._optional(self.log.parent / "tensorboard"):
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
        with self._optional(self.log):
            _append(self.log, json.dumps({"step": step, **line}) + "\n")
        if self.board:
            with self._optional(self.log.parent / "tensorboard"):
                for name, value in _numbers(line):
                    self.board.add_scalar(name, value, step)

    def picture(self, draw: Callable[[], np.ndarray], step: int) -> None:
        """Draw a sample sheet, uint8 [h, w, 3], and show it in TensorBoard."""
        with self._optional("the sample sheet"):
            sheet = draw()
            if self.board:
                with self._optional(self.log.parent / "tensorboard"):
                    self.board.add_image("samples", sheet, step, dataformats="HWC")

    @contextmanager
    def _optional(self, what: object) -> Iterator[None]:
        """Warn instead of raising OSError: only a state that cannot be saved ends a run."""
        try:
            yield
        except OSError as error:
            warnings.warn(f"{what} cannot be written ({error}); training goes on", stacklevel=3)

    def _forget_after(self, step: int) -> None:
        """Drop the lines of steps that will be repeated."""
        if not self.log.exists():
            return
        lines = []
        for line in self.log.read_text().splitlines():
            with suppress(json.JSONDecodeError, KeyError):  # a killed process can leave half a line
                if json.loads(line)["step"] <= step:
                    lines.append(line + "\n")
        atomically(self.log, lambda temporary: temporary.write_text("".join(lines)))


def _append(path: Path, line: str) -> None:
    """Append a whole line to a text file, or raise OSError and leave the file as it was."""
    size = path.stat().st_size if path.exists() else 0
    try:
        with open(path, "a") as file:
            file.write(line)
    except OSError:
        with suppress(OSError):
            os.truncate(path, size)
        raise


def _numbers(line: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in line.items():
        if isinstance(value, dict):
            yield from _numbers(value, f"{prefix}{name}/")
        elif isinstance(value, int | float):
            yield prefix + name, value


def _board(run: Path, start: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:  # TensorBoard is optional
        return None
    try:
        return SummaryWriter(str(run / "tensorboard"), purge_step=start)
    except OSError as error:
        warnings.warn(f"{run / 'tensorboard'} cannot be written ({error}); training goes on", stacklevel=2)
        return None


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
