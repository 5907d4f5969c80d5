"""The processes of a run, which torchrun starts on one machine or several; by default there is one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from i2i.engine.pulse import Pulse
from i2i.engine.rendezvous import fresh_store


@dataclass(frozen=True)
class World:
    """The rank of this process, the number of processes, and this process's device."""

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    pulse: Pulse | None = None

    @classmethod
    def join(cls) -> World:
        """Join the other processes if torchrun's variables are set, and select a device."""
        rank, size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        local = int(os.environ.get("LOCAL_RANK", 0))
        device = torch.device("cuda", local) if torch.cuda.is_available() else torch.device("cpu")
        if device.type == "cuda":
            torch.cuda.set_device(device)
            torch.backends.cudnn.benchmark = True  # crops have one size, so the search for the fastest kernel pays
        if size > 1 and not dist.is_initialized():
            # The defaults of its functions keep the group that exists when it is imported, which the first optimiser
            # does: the group's threads would live on after leave(), and sometimes abort the process at its exit.
            from torch.distributed.nn import functional  # noqa: F401
            from torch.distributed.rendezvous import rendezvous

            store, rank, size = next(rendezvous("env://"))
            backend = "nccl" if device.type == "cuda" else "gloo"
            dist.init_process_group(backend, store=fresh_store(store, rank, size), rank=rank, world_size=size)
            return cls(rank, size, device, Pulse(rank, size))
        return cls(rank, size, device)

    def __enter__(self) -> World:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        """Leave the process group. The others go on without this process, unless an error of its own ends it."""
        if self.pulse and (error is None or hasattr(error, "exit_status")):  # an error that all processes raise alike
            self.pulse.leave()
        self.leave()

    def leave(self) -> None:
        """Leave the process group."""
        if self.size > 1 and dist.is_initialized():
            dist.destroy_process_group()

    @contextmanager
    def _message(self) -> Iterator[None]:
        """Wait after a failed message between processes: if one of them is dead, its name ends this one."""
        try:
            yield
        except RuntimeError:
            if self.pulse:
                self.pulse.wait_for_the_lost()
            raise

    @torch.no_grad()
    def average(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by its mean over the processes, in one message."""
        tensors = list(tensors)
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([t.flatten() for t in tensors])
        with self._message():
            dist.all_reduce(flat)
        flat /= self.size
        for t, mean in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            t.copy_(mean.view_as(t))

    def largest(self, number: int) -> int:
        """Return the largest of the numbers given by the processes."""
        if self.size == 1:
            return number
        tensor = torch.tensor(number, device=self.device)
        with self._message():
            dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
            return int(tensor)

    def agree(self, number: int, what: str) -> int:
        """Return ``number`` if it is the same in every process; else raise RuntimeError in each."""
        most, least = self.largest(number), -self.largest(-number)
        if most != least:
            raise RuntimeError(
                f"the processes differ in {what} ({number} here): check that all see the same run folder"
            )
        return number

    def gather(self, thing: Any) -> list[Any]:
        """Return the values of all processes, in order of rank."""
        if self.size == 1:
            return [thing]
        things: list[Any] = [None] * self.size
        with self._message():
            dist.all_gather_object(things, thing)
        return things
