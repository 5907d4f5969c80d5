"""Time and memory of a training step of each method."""

from __future__ import annotations

import itertools
import multiprocessing
import statistics
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import click
from measuring import measure

import i2i

DOMAINS = 5
"""Number of domains of a method between many, as in its authors' experiments on faces."""


@click.command
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

    Its share of what the machine can do is that of a large matrix product, taken in turn with the steps: in seconds on
    a GPU, in core-seconds on a CPU.

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
    products = {each: product(each, world) for each in precision}
    tasks = dict(zip(names, games, strict=True)) | {f"matmul {each}": task for each, task in products.items()}
    wall, work = measure(tasks, 2 + steps, unmeasured=2)
    clock = wall if world.device.type == "cuda" else work
    peaks = {each: PRODUCT / min(clock[f"matmul {each}"]) for each in products}
    operations = [count_operations(game) for game in games]
    click.echo(f"{world.device}, {size} x {size}, batch {batch}, {' '.join(hyper)} i2i {i2i.__version__}")
    click.echo(
        f"{'':20}{'ms a step':>12}{'(least, most)':>20}{'ratio':>7}{'core-ms':>10}{'ratio':>7}{'GB':>7}{'ratio':>7}"
        f"{'GFLOP':>9}{'of peak':>9}"
    )
    for name, most, row, count in zip(names, memory, rows, operations, strict=True):
        share = count / statistics.median(clock[name]) / peaks[row[1]["precision"]]
        middle, cores = statistics.median(wall[name]), statistics.median(work[name])
        ratios = [a / b for a, b in zip(wall[name], wall[names[0]], strict=True)]
        span = f"{1000 * min(wall[name]):.1f}, {1000 * max(wall[name]):.1f}"
        click.echo(
            f"{name:20}{1000 * middle:>12.1f}{span:>20}{statistics.median(ratios):>7.2f}{1000 * cores:>10.1f}"
            f"{cores / statistics.median(work[names[0]]):>7.2f}{most:>7.2f}{most / memory[0]:>7.2f}"
            f"{count / 1e9:>9.1f}{share:>9.0%}"
        )
    unit = "second" if world.device.type == "cuda" else "core-second"
    for each, peak in peaks.items():
        click.echo(f"peak: a product of two {SIDE} x {SIDE} matrices in {each} does {peak / 1e9:.0f} GFLOP a {unit}")


SIDE = 2048
PRODUCT = 2 * SIDE**3
"""Operations of the matrix product that stands for what the machine can do."""


def product(precision: str, world: Any) -> Callable[[], None]:
    """Return a function that multiplies two matrices."""
    import torch

    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision, torch.float32)
    a, b = (torch.rand(SIDE, SIDE, device=world.device).to(dtype) for _ in range(2))

    def multiply() -> None:
        torch.mm(a, b)
        if world.device.type == "cuda":
            torch.cuda.synchronize()

    return multiply


def count_operations(step: Callable[[], None]) -> int:
    """Return the multiplications and additions of a step's convolutions and matrix products, both ways."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


Row = tuple[str, dict[str, Any]]
"""A method, and the settings and hyper-parameters it is measured with."""


def game_on_noise(row: Row, world: Any) -> Callable[[], None]:
    """Return a function that plays one step of a method, on the same noise at each call."""
    import torch

    from i2i.engine.prepare import of_size
    from i2i.engine.run_folder import Run
    from i2i.engine.train_state import TrainState
    from i2i.translators import translator_class

    method, given = row
    many = translator_class(method).data == "domains"
    run = Run.open(method, "no run", {"a": ".", "b": ".", **given, **({"domains": DOMAINS} if many else {})})
    run.facts |= {"source": {"channels": 3}, "target": {"channels": 3}}
    run.hyperparameters |= of_size(run.settings)
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
