"""Estimates of the time, memory and disk space that a run will take on this machine, from measured steps."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from math import lcm
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from i2i.data import Dataset
from i2i.engine.auto_batch import noise
from i2i.engine.distributed import World
from i2i.engine.options import preset_of
from i2i.engine.pace import end, span
from i2i.engine.prepare import of_size, sample_batch, training_view
from i2i.engine.report import most_memory
from i2i.engine.run_folder import KEPT_STATES, Run
from i2i.engine.samples import averaged, sample_sheet, shown, shown_as
from i2i.engine.schedule import length
from i2i.engine.settings import Settings
from i2i.engine.train_state import TrainState
from i2i.image_pool import ImagePool
from i2i.text import plural
from i2i.translators import Views
from i2i.translators.energy import Pool

DAY = 86_400.0
HOURS = "cpu"  # the preset that takes hours without a GPU


def plan(run: Run, dataset: Dataset, game: TrainState) -> list[str]:
    """Return lines about the time, memory and disk space of a run, measured in two steps; every process must call this.

    The steps change the weights of ``game``.
    """
    settings, world = run.settings, game.world
    steps = max(length(settings, len(dataset))[0] - run.facts.get("step", 0), 0)
    share = settings.images // world.size
    if world.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(world.device)  # trials of batches and compilers took more
    each = step_seconds(game, noise(run, game, share))
    began = time.monotonic()
    for position in (0, 1):
        dataset.sample(position, settings.seed, training_view(settings))
    reading = (time.monotonic() - began) / 2 * share / max(settings.workers, 1)
    each = max(each, reading) if settings.workers else each + reading

    sheets = steps // settings.sample_every + 1 if settings.sample_every else 0
    took, size = _of_a_sheet(run, dataset, game) if sheets else (0.0, 0)
    total = steps * each + sheets * took
    besides = "; evaluations come on top" if settings.eval_every else ""
    state = game.state_dict()
    saved = _bytes(state) + world.size * _unfilled(game)
    if settings.eval_every:
        saved += _bytes(state["ema"])  # the best weights are part of the state
    parts = {
        "states": (KEPT_STATES + 1) * saved,  # a third while it is written
        "weights": (2 if settings.eval_every else 1) * _bytes(state["ema"]),
        "sample sheets": sheets * size * (2 if find_spec("tensorboard") else 1),
    }
    disk = sum(parts.values())
    free = shutil.disk_usage(next(p for p in (run.path, *run.path.absolute().parents) if p.exists())).free
    short = f"; only {_shown(free)} are free there" if free < disk else ""
    lines = [
        f"time: {span(each)} a step here, {steps} steps: {span(total)}, until {end(total)}{besides}",
        f"peak memory: {most_memory(world.device):.1f} GB",
        f"disk: {_shown(disk)} ({', '.join(f'{name} {_shown(part)}' for name, part in parts.items())}){short}",
    ]
    return [line for line in (*lines, faster(run, dataset, world, total)) if line]


def step_seconds(game: TrainState, batch: Views) -> float:
    """Return the mean time of a step on ``batch``, from one in which every player moves and one like most others."""
    together = lcm(*(move.player.every for move in game.moves.values()))
    if game.world.device.type == "cuda":
        for _ in range(3):  # searches for the fastest kernels, compiles, records CUDA graphs
            game.step(batch, together - 1, 1.0)
    times = []
    for number in (together - 1, together):  # counted from 0; players with ``every`` > 1 wait in the second
        torch.cuda.synchronize() if game.world.device.type == "cuda" else None
        began = time.monotonic()
        game.step(batch, number, 1.0)
        torch.cuda.synchronize() if game.world.device.type == "cuda" else None
        times.append(time.monotonic() - began)
    return times[1] if together == 1 else (times[0] + (together - 1) * times[1]) / together


def faster(run: Run, dataset: Dataset, world: World, seconds: float) -> str:
    """Return a line about the preset for CPUs, measured here, if a run of ``seconds`` takes days on one; else "".

    The measurement takes two steps of that preset.
    """
    if world.device.type != "cpu" or seconds < DAY:
        return ""
    other = _under(run, HOURS)
    steps = length(other.settings, len(dataset))[0]
    note = f"note: on this CPU the run takes {span(seconds)}"
    try:
        with torch.random.fork_rng(devices=[]):
            game = TrainState(other, World())
            each = step_seconds(game, noise(other, game, other.settings.images))
    except ValueError:  # images or hyper-parameters that do not go with the preset
        return note
    if each * steps > seconds / 2:
        return note
    words = f"{' x '.join(map(str, other.settings.size))} pixels, smaller networks, {plural(steps, 'step')}"
    return f"{note}. --preset {HOURS} ({words}) with another --out takes {span(each * steps)}"


def _under(run: Run, preset: str) -> Run:
    """Return the run of the same command with ``preset``, which what was given overrides."""
    settings, hyper = preset_of(preset, run.settings.method)
    settings = {k: v for k, v in settings.items() if getattr(run.settings, k) == getattr(Settings, k)}
    if run.settings.epochs != Settings.epochs:
        settings.pop("steps", None)
    other = replace(run, settings=replace(run.settings, **settings))
    other.hyperparameters = hyper | run.hyperparameters | of_size(other.settings)
    return other


def _of_a_sheet(run: Run, dataset: Dataset, game: TrainState) -> tuple[float, int]:
    """Return the seconds that a sample sheet takes, and its bytes."""
    batch = game.here(sample_batch(run.settings, dataset))
    with tempfile.TemporaryDirectory() as folder:
        path, began = Path(folder, "sheet.png"), time.monotonic()
        sample_sheet(shown(averaged(game.translator, game.ema), batch), path, *shown_as(run, dataset))
        return time.monotonic() - began, path.stat().st_size


def _unfilled(game: TrainState) -> int:
    """Return the bytes by which the pools of images will still grow."""
    pools = [module for module in game.translator.modules() if isinstance(module, ImagePool | Pool) and module.images]
    return sum((pool.size - len(pool.images)) * pool.images[0].nbytes for pool in pools)


def _tensors(state: Any) -> Iterator[Tensor]:
    if isinstance(state, Tensor):
        yield state
    elif isinstance(state, dict | list | tuple):
        for part in state.values() if isinstance(state, dict) else state:
            yield from _tensors(part)


def _bytes(state: Any) -> int:
    return sum(tensor.nbytes for tensor in _tensors(state))


def _shown(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
