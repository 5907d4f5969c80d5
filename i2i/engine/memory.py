"""Memory that a training step needs, found without computing it, and what to lower where it does not fit."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from i2i.engine.auto_batch import play_on_noise
from i2i.engine.distributed import World
from i2i.engine.run_folder import Run
from i2i.engine.settings import Settings
from i2i.engine.train_state import TrainState
from i2i.runtime.system.host import available_memory, resident_memory

PROGRAM = 600_000_000  # bytes of a process without tensors
BESIDES = 1.1  # of the tensors' memory: what libraries need for convolutions, and the gaps between tensors


class Peak(TorchDispatchMode):
    """Count the bytes of the tensors that exist at a time: ``now``, and at most so far: ``most``."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self.seen: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self.seen:
            return
        self.seen.add(key)
        self.now += size
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._free, key, size)

    def _free(self, key: int, size: int) -> None:
        self.seen.discard(key)
        self.now -= size


def needed(run: Run) -> int | None:
    """Return the bytes that a process of a run needs at most in a step, as far as tensors are concerned.

    Two steps are played on tensors without contents, in seconds. None for a method whose steps depend on numbers that
    only a computation yields.
    """
    double = run.settings.precision == "fp64"
    known = replace(run.settings, precision="fp32" if double else run.settings.precision, compile="off")
    known = replace(known, teacher=None, perceptual=0.0)  # other networks, whose tensors have contents
    run = replace(run, settings=known)
    images = run.settings.batch  # of one process: the caller divides
    with torch.random.fork_rng(devices=[]), FakeTensorMode(), Peak() as peak:
        try:
            play_on_noise(run, TrainState(run, World()), images)
        except (RuntimeError, AssertionError):  # of a tensor with contents, or a value that is not there
            return None
    return int(BESIDES * peak.most * (2 if double else 1))


@contextmanager
def enough_memory(run: Run, world: World) -> Iterator[None]:
    """Turn running out of memory into a ValueError that says what a step needs, and what would fit."""
    try:
        yield
        return
    except torch.OutOfMemoryError as error:
        reason: Exception = error
    except RuntimeError as error:
        if "DefaultCPUAllocator" not in str(error):
            raise
        reason = error
    raise ValueError(advice(run, world, _room(world))) from reason


def _room(world: World) -> int | None:
    """Return the bytes that tensors of this process can take, those that it has among them; None if unknown."""
    if world.device.type == "cuda":
        return torch.cuda.mem_get_info(world.device)[0] + torch.cuda.memory_reserved(world.device)
    free = available_memory()
    return None if free is None else free + max(resident_memory() - PROGRAM, 0)


def advice(run: Run, world: World, room: int | None) -> str:
    """Return a sentence about a step that does not fit into ``room`` bytes, and the first change with which it does."""
    place = "memory" if world.device.type == "cpu" else "the GPU's memory"
    each = replace(run.settings, batch=run.settings.batch // world.size)
    need = needed(replace(run, settings=each)) if room is not None else None
    if room is None or need is None:
        return f"a step does not fit into {place}; give --checkpointing on, a smaller --batch or a smaller --size"
    text = f"a step needs about {need / 1e9:.1f} GB, and {room / 1e9:.1f} GB of {place} are free"
    for settings, words in _smaller(each, world.size):
        try:
            less = needed(replace(run, settings=settings))
        except ValueError:  # a size that the networks do not take
            continue
        if less is not None and less <= room:
            return f"{text}; {words} needs about {less / 1e9:.1f} GB"
    return f"{text}; neither checkpointing nor a quarter of the size fits: use smaller networks (--preset cpu)"


def _smaller(settings: Settings, processes: int) -> Iterator[tuple[Settings, str]]:
    """Yield smaller and smaller settings of one process, with the options that make them: the same game first."""
    parts, batch, accumulate = "", settings.batch, settings.accumulate
    thrifty = [("off", "")] if settings.checkpointing == "off" else []
    for checkpointing, option in (*thrifty, ("on", "" if settings.checkpointing == "on" else "--checkpointing on")):
        batch, accumulate, parts = settings.batch, settings.accumulate, ""
        while True:
            words = " ".join(word for word in (option, parts) if word)
            if words:
                yield replace(settings, checkpointing=checkpointing, batch=batch, accumulate=accumulate), words
            if batch == 1 or batch % 2:
                break
            batch, accumulate = batch // 2, accumulate * 2
            parts = f"--batch {batch * processes} --accumulate {accumulate}"
    for share in (3, 2, 1):
        size = (settings.size[0] * share // 4, settings.size[1] * share // 4)
        shown = f"{size[0]}" if size[0] == size[1] else f"{size[0]}x{size[1]}"
        words = " ".join(word for word in ("--checkpointing on", parts, f"--size {shown}") if word)
        yield replace(settings, checkpointing="on", batch=batch, accumulate=accumulate, size=size), words
