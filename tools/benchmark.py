#!/usr/bin/env python3
"""Measure the speed of i2i against what the hardware allows. Each figure is printed with its reference.

python tools/benchmark.py translate              # folders, single images and videos; needs i2i[train] for its ResNet-9
python tools/benchmark.py translate --model FILE.onnx --only folder
python tools/benchmark.py many                   # 20,000 files in one job: rate and memory at its start and its end
python tools/benchmark.py data                   # images before a step: 256-pixel files, photos, 100,000 files
python tools/benchmark.py serve                  # a service beside a bare loop around ONNX Runtime
python tools/benchmark.py train                  # a step of each method, on the GPU where there is one
python tools/benchmark.py train --method cyclegan --method cut --method fastcut
"""

from __future__ import annotations

import itertools
import multiprocessing
import statistics
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import benchmark_data
import benchmark_many
import benchmark_serve
import benchmark_translate
import click
from measuring import measure

import i2i

DOMAINS = 5
"""Number of domains of a method between many, as in its authors' experiments on faces."""


@click.group
def main() -> None:
    """Benchmarks of i2i."""


main.add_command(benchmark_translate.translate)
main.add_command(benchmark_many.many)
main.add_command(benchmark_data.data)
main.add_command(benchmark_serve.serve)


@main.command
@click.option("--method", "methods", multiple=True, help="Which to compare with the first of them.  [default: all]")
@click.option("--size", default=256, show_default=True, help="Height and width of the images.")
@click.option("--batch", default=1, show_default=True, help="Images a step.")
@click.option("--precision", type=click.Choice(["fp32", "bf16", "fp16"]), multiple=True, default=["fp32"])
@click.option("--steps", default=10, show_default=True, help="Steps of each that are timed, after two that are not.")
@click.option("--set", "hyper", multiple=True, metavar="NAME=VALUE", help="A hyper-parameter of all of them.")
def train(
    methods: tuple[str, ...], size: int, batch: int, precision: tuple[str, ...], steps: int, hyper: tuple[str, ...]
) -> None:
    """Time one training step of each method, with its authors' networks, on noise, without reading images.

    The methods take their steps in turn, so that a busy machine slows all of them equally. The peak memory of each is
    measured in a separate process: on a GPU what PyTorch allocates, on a CPU what the process uses beyond PyTorch.
    """
    from i2i.engine.distributed import World
    from i2i.translators import TRANSLATORS

    given = {"batch": batch, "size": size, **dict(pair.split("=", 1) for pair in hyper)}
    rows = [(method, given | {"precision": each}) for method in methods or TRANSLATORS for each in precision]
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), max_tasks_per_child=1) as own:
        memory = list(own.map(most_memory_of, rows))
    world = World.join()
    games = [game_on_noise(row, world) for row in rows]
    names = [f"{method} {row['precision']}" for method, row in rows]
    wall, work = measure(dict(zip(names, games, strict=True)), 2 + steps, unmeasured=2)
    click.echo(f"{world.device}, {size} x {size}, batch {batch}, {' '.join(hyper)} i2i {i2i.__version__}")
    click.echo(
        f"{'':20}{'ms a step':>12}{'(least, most)':>20}{'ratio':>7}{'core-ms':>10}{'ratio':>7}{'GB':>7}{'ratio':>7}"
    )
    for name, most in zip(names, memory, strict=True):
        middle, cores = statistics.median(wall[name]), statistics.median(work[name])
        ratios = [a / b for a, b in zip(wall[name], wall[names[0]], strict=True)]
        span = f"{1000 * min(wall[name]):.1f}, {1000 * max(wall[name]):.1f}"
        click.echo(
            f"{name:20}{1000 * middle:>12.1f}{span:>20}{statistics.median(ratios):>7.2f}{1000 * cores:>10.1f}"
            f"{cores / statistics.median(work[names[0]]):>7.2f}{most:>7.2f}{most / memory[0]:>7.2f}"
        )


Row = tuple[str, dict[str, Any]]
"""A method, and the settings and hyper-parameters it is measured with."""


def game_on_noise(row: Row, world: Any) -> Callable[[], None]:
    """Return a function that plays one step of a method, on the same noise at each call."""
    import torch

    from i2i.engine.run_folder import Run
    from i2i.engine.train_state import TrainState
    from i2i.translators import translator_class

    method, given = row
    many = translator_class(method).data == "domains"
    run = Run.open(method, "no run", {"a": ".", "b": ".", **given, **({"domains": DOMAINS} if many else {})})
    run.facts |= {"source": {"channels": 3}, "target": {"channels": 3}}
    game, n = TrainState(run, world), run.settings.batch
    batch = {name: torch.rand(n, 3, *run.settings.size, device=world.device) * 2 - 1 for name in ("x", "y")}
    if many:
        batch = {"x": batch["x"], "c": torch.eye(DOMAINS, device=world.device)[torch.arange(n) % DOMAINS]}
    steps = itertools.count()

    def step() -> None:
        game.step(batch, next(steps), 1.0)
        if world.device.type == "cuda":
            torch.cuda.synchronize()

    return step


def most_memory_of(row: Row) -> float:
    """Return the peak memory in GB of two steps of a method; for a process that has done nothing else."""
    from i2i.engine.distributed import World
    from i2i.engine.report import most_memory

    world = World.join()
    before = 0.0 if world.device.type == "cuda" else most_memory(world.device)
    step = game_on_noise(row, world)
    for _ in range(2):  # the optimisers' moments come with the first
        step()
    return most_memory(world.device) - before


if __name__ == "__main__":
    main()
