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
