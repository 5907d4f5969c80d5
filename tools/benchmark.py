#!/usr/bin/env python3
"""How fast i2i translates, beside what the hardware allows. Each figure is printed with what it is compared to.

python tools/benchmark.py translate                     # a ResNet-6 generator (ngf 64) at 256 pixels; needs i2i[train]
python tools/benchmark.py translate --model FILE.onnx
python tools/benchmark.py train                         # a step of each method, on the GPU where there is one
python tools/benchmark.py train --method cyclegan --method cut --method fastcut
"""

from __future__ import annotations

import itertools
import multiprocessing
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
import onnxruntime

import i2i
from i2i.images import Image, encode_image, read_image, write_image
from i2i.runtime import Model, Options, translate_folder
from i2i.runtime.machine import cores
from i2i.spec import Domain, Spec

DOMAINS = 5
"""Of a method between many: as many as in its authors' experiments on faces."""


@click.group
def main() -> None:
    """Benchmarks of i2i."""


@main.command
@click.option("--model", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="An export of i2i.")
@click.option("--images", default=32, show_default=True, help="Images in the folder.")
@click.option("--size", default=256, show_default=True, help="Their height and width.")
@click.option("--format", "suffix", type=click.Choice(["jpg", "png", "webp"]), default="jpg", show_default=True)
@click.option("--repeats", default=3, show_default=True, help="Rounds; each measures everything once, in turn.")
@click.option("--provider", type=click.Choice(["auto", "cpu", "cuda"]), default="cpu", show_default=True)
def translate(model: Path | None, images: int, size: int, suffix: str, repeats: int, provider: str) -> None:
    """`i2i translate` of a folder against a bare onnxruntime session on the same images, decoded beforehand.

    The bare session has onnxruntime's default options and takes one image at a time. The limit is what a translator
    could reach that decodes and encodes on the same cores: inference / (inference + decode + encode) in core-seconds.
    """
    with tempfile.TemporaryDirectory(prefix="i2i-benchmark-") as place:
        path = model or resnet(Path(place) / "resnet6.onnx")
        loaded = Model(path, provider, side_by_side=True)
        folder = draw(Path(place) / "in", images, size, suffix)
        files = sorted(folder.iterdir())
        decoded = [read_image(file).pixels for file in files]
        translated = [Image(loaded(pixels)) for pixels in decoded]
        bare = bare_session(path, loaded)

        def job() -> None:
            target = Path(tempfile.mkdtemp(dir=place))
            summary = translate_folder(loaded, folder, target, Options())
            assert summary.done == images, summary

        form = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}[suffix]
        tasks: dict[str, Callable[[], object]] = {
            "bare session": lambda: [bare(pixels) for pixels in decoded],
            "i2i translate": job,
            "decoding": lambda: [read_image(file) for file in files],
            "encoding": lambda: [encode_image(image, form) for image in translated],
        }
        cv2.setNumThreads(1)
        wall, work = measure(tasks, repeats)
    show(path, loaded, images, size, suffix, wall, work)


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
    """One step of training of each method, with its authors' networks, on noise: no reading of images.

    The methods take their steps in turn, so that a busy machine slows all alike. The most memory that each needs is
    measured in a process of its own: of a GPU what PyTorch allocates, of a CPU what the process holds beyond PyTorch.
    """
    from i2i.engine.ranks import World
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
    """A step of the game of a method, on the same noise at each call."""
    import torch

    from i2i.engine.game import Game
    from i2i.engine.run import Run
    from i2i.translators import translator_class

    method, given = row
    many = translator_class(method).data == "domains"
    run = Run.open(method, "no run", {"a": ".", "b": ".", **given, **({"domains": DOMAINS} if many else {})})
    run.facts |= {"source": {"channels": 3}, "target": {"channels": 3}}
    game, n = Game(run, world), run.settings.batch
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
    """The most memory in GB that two steps of a method need; for a process that has done nothing else."""
    from i2i.engine.ranks import World
    from i2i.engine.report import most_memory

    world = World.join()
    before = 0.0 if world.device.type == "cuda" else most_memory(world.device)
    step = game_on_noise(row, world)
    for _ in range(2):  # the optimisers' moments come with the first
        step()
    return most_memory(world.device) - before


def measure(
    tasks: dict[str, Callable[[], object]], repeats: int, unmeasured: int = 0
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Wall seconds and core-seconds of each task, taken in turn so that a busy machine slows all alike."""
    wall: dict[str, list[float]] = {name: [] for name in tasks}
    work: dict[str, list[float]] = {name: [] for name in tasks}
    for turn in range(repeats):
        for name, task in tasks.items():
            start, used = time.perf_counter(), _core_seconds()
            task()
            if turn < unmeasured:
                continue
            wall[name].append(time.perf_counter() - start)
            work[name].append(_core_seconds() - used)
    return wall, work


def _core_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def show(
    path: Path,
    model: Model,
    images: int,
    size: int,
    suffix: str,
    wall: dict[str, list[float]],
    work: dict[str, list[float]],
) -> None:
    """Prints the figures, per image."""
    head(path, model, f"{images} {suffix} images of {size} x {size}")
    table(images, "image", wall, work)
    ratios = [bare / whole for bare, whole in zip(wall["bare session"], wall["i2i translate"], strict=True)]
    inference = statistics.median(work["bare session"])
    files = statistics.median(work["decoding"]) + statistics.median(work["encoding"])
    limit = inference / (inference + files)
    ratio = statistics.median(ratios)
    click.echo(f"ratio to the bare session    {ratio:.3f}   (rounds: {' '.join(f'{each:.3f}' for each in ratios)})")
    click.echo(f"limit                        {limit:.3f}   inference / (inference + decode + encode), core-seconds")
    click.echo(f"ratio / limit                {ratio / limit:.3f}")


def head(path: Path, model: Model, what: str) -> None:
    versions = f"onnxruntime {onnxruntime.__version__}, i2i {i2i.__version__}"
    click.echo(f"{path.name} on {model.provider}, {what}, {cores()} cores, {versions}")


def table(count: int, unit: str, wall: dict[str, list[float]], work: dict[str, list[float]]) -> None:
    """A line for each task: its rate, in the middle and of each round, and the work of one unit."""
    click.echo(f"{'':16}{f'{unit}s/s':>10}{'(rounds)':>26}{f'core-ms per {unit}':>20}")
    for name in wall:
        rates = [count / seconds for seconds in wall[name]]
        rounds = " ".join(f"{rate:.4g}" for rate in rates)
        spent = 1000 * statistics.median(work[name]) / count
        click.echo(f"{name:16}{statistics.median(rates):>10.2f}{rounds:>26}{spent:>20.2f}")


def bare_session(path: Path, model: Model) -> Callable[[np.ndarray], np.ndarray]:
    """An onnxruntime session as a user would make it, on the provider that the model runs on."""
    name = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}[model.provider]
    session = onnxruntime.InferenceSession(str(path), providers=[name])
    entry = session.get_inputs()[0].name
    dtype = model.spec.dtype
    return lambda pixels: session.run(None, {entry: pixels[None].astype(dtype, copy=False)})[0]


def draw(folder: Path, count: int, size: int, suffix: str) -> Path:
    """Pictures with the detail of photographs: smooth shapes, edges and some noise."""
    folder.mkdir(parents=True)
    for number in range(count):
        rng = np.random.default_rng(number)
        coarse = rng.integers(0, 256, (8, 8, 3), np.uint8)
        picture = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC).astype(np.int16)
        for _ in range(20):
            centre = tuple(int(value) for value in rng.integers(0, size, 2))
            colour = tuple(int(value) for value in rng.integers(0, 256, 3))
            cv2.circle(picture, centre, int(rng.integers(2, size // 6)), colour, -1, cv2.LINE_AA)
        picture = picture + rng.normal(0, 4, picture.shape).astype(np.int16)
        write_image(folder / f"{number:04d}.{suffix}", Image(np.clip(picture, 0, 255).astype(np.uint8)))
    return folder


def resnet(path: Path) -> Path:
    """The generator of CycleGAN with 6 blocks and random weights: its speed does not depend on them."""
    from i2i.exporter import export_network
    from i2i.networks.resnet import ResNet

    spec = Spec("benchmark", "a2b", Domain("a"), Domain("b"))
    return export_network(ResNet(blocks=6, ngf=64), spec, path)


if __name__ == "__main__":
    main()
