"""Means of the loss terms of a run, and the error of a loss that is not finite."""

from __future__ import annotations

import torch
from torch import Tensor

from i2i.engine.distributed import World
from i2i.errors import I2IError


class NonFinite(I2IError, RuntimeError):  # noqa: N818 (what happened, not what went wrong)
    """A loss term or a weight became NaN or infinite."""

    exit_status = 1


class Statistics:
    """Means of the loss terms since they were last read. They stay on the device until then."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.sums: dict[str, list[Tensor]] = {}  # term -> sum, count, first step at which it was not finite (or -1)

    def add(self, terms: dict[str, Tensor], step: int) -> None:
        for name, value in terms.items():
            value = value.double() if value.device.type == "cpu" else value.float()
            if name not in self.sums:
                self.sums[name] = [torch.zeros_like(value), torch.zeros_like(value), torch.full_like(value, -1)]
            total, count, bad = self.sums[name]
            bad.copy_(torch.where(torch.isfinite(value) | (bad >= 0), bad, torch.full_like(bad, step + 1)))
            total += value
            count += 1

    def peek(self) -> dict[str, float]:
        """Return the means of this process alone since they were last read, without resetting them."""
        if not self.sums:
            return {}
        total, count, _ = torch.stack([torch.stack(row) for row in self.sums.values()]).unbind(1)
        return dict(zip(self.sums, (total / count).tolist(), strict=True))

    def read(self) -> dict[str, float]:
        """Return the means over all processes, and reset them.

        Raises NonFinite in every process, naming the terms that were the first to be NaN or infinite.
        """
        if not self.sums:
            return {}
        table = torch.stack([torch.stack(row) for row in self.sums.values()])
        first = torch.where(table[:, 2] < 0, torch.inf, table[:, 2])
        at = -self.world.largest(-int(first.min()) if torch.isfinite(first.min()) else -(2**31))
        self.world.average([table])
        means = (table[:, 0] / table[:, 1]).tolist()
        names, self.sums = list(self.sums), {}
        if at < 2**31:
            bad = [name for name, step in zip(names, first.tolist(), strict=True) if step == at]
            raise NonFinite(f"the loss became NaN or infinite at step {at}: {_named(bad) or 'on another process'}")
        return dict(zip(names, means, strict=True))


def _named(terms: list[str]) -> str:
    return ", ".join("player {}, term {}".format(*term.split("/", 1)) for term in terms)
