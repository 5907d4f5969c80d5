"""Files in which a run's progress is kept for later: ``log.jsonl`` and those of TensorBoard."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from i2i.atomic import atomically


def append(path: Path, line: str) -> None:
    """Append a whole line to a text file, or raise OSError and leave the file as it was."""
    size = path.stat().st_size if path.exists() else 0
    try:
        with open(path, "a") as file:
            file.write(line)
    except OSError:
        with suppress(OSError):
            os.truncate(path, size)
        raise


def forget_after(log: Path, step: int) -> None:
    """Drop the lines of a log of steps that will be repeated."""
    if not log.exists():
        return
    lines = []
    for line in log.read_text().splitlines():
        with suppress(json.JSONDecodeError, KeyError):  # a killed process can leave half a line
            if json.loads(line)["step"] <= step:
                lines.append(line + "\n")
    atomically(log, lambda temporary: temporary.write_text("".join(lines)))


@contextmanager
def optional(what: object) -> Iterator[None]:
    """Warn instead of raising OSError: only a state that cannot be saved ends a run."""
    try:
        yield
    except OSError as error:
        warnings.warn(f"{what} cannot be written ({error}); training goes on", stacklevel=3)


def numbers(line: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Yield the numbers of a line by their path, such as "val/a2b/L1"."""
    for name, value in line.items():
        if isinstance(value, dict):
            yield from numbers(value, f"{prefix}{name}/")
        elif isinstance(value, int | float):
            yield prefix + name, value


def open_board(run: Path, start: int) -> Any:
    """Return TensorBoard's writer from step ``start`` on; None where it is not installed or cannot be written."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:  # TensorBoard is optional
        return None
    try:
        return SummaryWriter(str(run / "tensorboard"), purge_step=start + 1)
    except OSError as error:
        warnings.warn(f"{run / 'tensorboard'} cannot be written ({error}); training goes on", stacklevel=2)
        return None
