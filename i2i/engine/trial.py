"""A trial of compiled networks: they are used where they give the losses of eager ones, in less time."""

from __future__ import annotations

import time
from dataclasses import replace
from math import isclose

import torch
from torch import nn

from i2i.engine.auto_batch import noise
from i2i.engine.distributed import World
from i2i.engine.pace import span
from i2i.engine.run_folder import Run
from i2i.engine.train_state import TrainState

UNTIMED, TIMED = 3, 2  # steps of a trial: the first compiles, the second and third record CUDA graphs
REL, ABS = 0.05, 0.01  # by which losses may differ, in bf16 as well


def resolve_compile(run: Run, world: World) -> tuple[str, str]:
    """Return the value of ``compile`` that a run trains with, and a line that says why it is not the wanted one, or "".

    The wanted one is tried on noise, beside eager networks; every process must call this. A run that continues keeps
    its value if that still works, whatever the times are. Raises ValueError for CUDA graphs without a GPU.
    """
    wanted, device = run.settings.compile, world.device
    if wanted == "graphs" and device.type == "cpu":
        raise ValueError("compile graphs needs a GPU; choose on or off")
    if wanted == "off" or run.settings.precision == "fp64" or (wanted == "auto" and device.type == "cpu"):
        return "off", ""  # on CPUs compiling takes minutes, and has not paid so far
    candidates = ["on"] if wanted == "on" else ["graphs", "on"]
    eager, reasons = _Trial(run, world, "off"), list[str]()
    for how in candidates:
        reason = _reason_against(run, world, how, eager, timed=not run.started)
        if world.largest(int(bool(reason))) == 0:  # it works in every process
            return how, "; ".join(reasons)
        reasons.append(f"compile {how}: {reason or 'it fails in another process'}")
    return "off", f"not compiled: {'; '.join(reasons)}"


def _reason_against(run: Run, world: World, how: str, eager: _Trial, timed: bool) -> str:
    """Return why a run should not be compiled so, or an empty string."""
    try:
        found = _Trial(run, world, how)
    except Exception as error:  # whatever a compiler raises
        cause = getattr(error, "inner_exception", error)  # of PyTorch's error about a compiler's error
        return (str(cause).strip() or type(cause).__name__).splitlines()[0]
    for ours, theirs in zip(found.losses, eager.losses, strict=True):
        for name, loss in ours.items():
            if not isclose(loss, theirs[name], rel_tol=REL, abs_tol=ABS):
                return f"the loss {name} becomes {loss:.4g} instead of {theirs[name]:.4g}"
    if timed and found.seconds >= eager.seconds:
        return f"a step takes {span(found.seconds)} compiled and {span(eager.seconds)} as it is"
    return ""


class _Trial:
    """A few steps on noise without dropout, whose random numbers differ in compiled networks.

    Attributes:
        losses: terms of each step.
        seconds: least time of a step.
    """

    def __init__(self, run: Run, world: World, how: str) -> None:
        device = world.device
        settings = replace(run.settings, compile=how)
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            game = TrainState(replace(run, settings=settings), World(device=device))
            for module in game.translator.modules():
                if isinstance(module, nn.Dropout):
                    module.p = 0.0
            batch = noise(run, game, settings.images // world.size)
            self.losses: list[dict[str, float]] = []
            seconds = []
            for number in range(UNTIMED + TIMED):
                torch.manual_seed(number)
                began = time.monotonic()
                terms = game.step(batch, number, 1.0)
                self.losses.append({name: float(term) for name, term in terms.items()})  # waits for the device
                seconds.append(time.monotonic() - began)
        self.seconds = min(seconds[UNTIMED:])
