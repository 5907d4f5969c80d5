"""``benchmark.py data``: what images cost before a step has them, and what the start of a run costs."""

from __future__ import annotations

import multiprocessing
import os
import statistics
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
from measuring import draw, timed

import i2i
from i2i.images import Image, write_image

AUGMENT = "crop,flip,colour:0.2,rotate:10,scale:0.8..1.2,cutout:0.25"

PHOTO, ODD = (3000, 4000), (2999, 3997)
"""Height and width of photos of 12 megapixels; the sides of the second cannot be divided."""


@click.command
@click.option("--files", default=100, show_default=True, help="Number of JPEGs of 256 x 256 pixels.")
@click.option("--photos", default=10, show_default=True, help="Number of JPEGs of 12 megapixels.")
@click.option("--epochs", default=3, show_default=True, help="Passes over them, after the first.")
@click.option("--workers", default=2, show_default=True, help="Threads that read images.")
@click.option("--index", default=100_000, show_default=True, help="Number of small files of a start; 0: none.")
def data(files: int, photos: int, epochs: int, workers: int, index: int) -> None:
    """Measure images a second of the pipeline alone, at size 256, and the first and the second start of a run.

    Core-milliseconds are the processor time of a sample, image by image in one thread, and their median. A shared
    machine inflates them less than the rates.
    """
    from i2i.data import View
    from i2i.data.augment import parse_augment

    with tempfile.TemporaryDirectory(prefix="i2i-benchmark-") as place:
        root = Path(place)
        os.environ["I2I_CACHE"] = str(root / "cache")
        click.echo(f"i2i {i2i.__version__}, OpenCV {cv2.__version__}, {workers} workers")
        click.echo(f"{'':34}{'core-ms a sample':>18}{'images/s':>10}")
        small = draw(root / "small", files, 256, "jpg")
        large = photographs(root / "large", photos)
        odd = photographs(root / "odd", photos, ODD)
        for name, kind, folder, cache, passes in (
            ("256-pixel files", "images", small, 0, epochs),
            ("256-pixel files, all augmented", "images", small, 0, epochs),
            ("photos, --cache off", "images", large, 0, 1),
            ("photos of odd sides, --cache off", "images", odd, 0, 1),
            ("photos as A | B, --cache off", "pairs", large, 0, 1),
            ("photos, cold cache", "images", large, 10**9, 1),
            ("photos, warm cache", "images", large, 10**9, epochs),
        ):
            view = View(**parse_augment(AUGMENT)) if "augmented" in name else View()
            cost, rate = pipeline(kind, folder, view, cache, passes, workers, cold="cold" in name)
            click.echo(f"{name:34}{cost:>18.2f}{rate:>10.1f}")
        if index:
            starts(root, index)


def photographs(folder: Path, count: int, size: tuple[int, int] = PHOTO) -> Path:
    """Draw JPEGs with structure of all sizes and the noise of a sensor."""
    folder.mkdir()
    for number in range(count):
        rng = np.random.default_rng(number)
        layers = [cv2.resize(rng.integers(0, 256, (n, n, 3)).astype(np.float32), size[::-1]) for n in (5, 50, 400)]
        pixels = (sum(layers) + rng.normal(0, 18, (*size, 3))) / 3
        write_image(folder / f"{number}.jpg", Image(np.clip(pixels, 0, 255).astype(np.uint8)))
    return folder


def pipeline(
    kind: str, folder: Path, view: Any, cache: int, passes: int, workers: int, cold: bool
) -> tuple[float, float]:
    """Return core-milliseconds a sample in one thread, and images a second in ``workers`` threads.

    Each is measured with a set of the cache of its own, which is complete at the beginning unless ``cold``.
    """
    from i2i.data import Batches, read_folders

    dataset, found = read_folders(kind, data=folder), []
    for threads in (0, workers):
        with (
            dataset.reader.caching(cache, f"{folder} {threads}", view, click.echo),
            Batches(dataset, view, 1, workers=threads) as batches,
        ):
            for _ in range(0 if cold else len(dataset)):
                next(batches)
            found.append([timed(lambda: next(batches)) for _ in range(passes * len(dataset))])
    alone, threaded = found
    seconds = sum(wall for wall, _ in threaded)
    return 1000 * statistics.median(used for _, used in alone), len(threaded) / seconds


def starts(root: Path, count: int) -> None:
    """Print what reading a data set of small files takes at the first start and at the second, and a run's resume."""
    (pattern,) = draw(root / "drawn", 1, 16, "png").iterdir()
    for number in range(count):
        folder = root / "many" / f"train{'AB'[number % 2]}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:06}.png").write_bytes(pattern.read_bytes())
    click.echo(f"{f'{count} files':34}{'core-seconds':>18}{'seconds':>10}{'GB':>8}")
    for name, task in (
        ("first start", partial(start, root / "many")),
        ("second start", partial(start, root / "many")),
        ("a run of one step", partial(run, root / "many", 1)),
        ("its resume, of another step", partial(run, root / "many", 2)),
    ):
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as own:
            seconds, used, memory = own.submit(task).result()
        click.echo(f"{name:34}{used:>18.2f}{seconds:>10.2f}{memory:>8.2f}")


def start(folder: Path) -> tuple[float, float, float]:
    """Return wall seconds, core-seconds and additional memory in GB of reading a data set, in a new process."""
    from i2i.data import read_folders

    return _measured(lambda: read_folders("unpaired", data=folder))


def run(folder: Path, steps: int) -> tuple[float, float, float]:
    """Return the same of ``steps`` steps of a tiny network on it, or of the rest of them, in a new process."""
    from i2i.engine import train

    tiny: Any = {"generator": "resnet_1", "discriminator": "patch_1", "ngf": 2, "ndf": 2, "size": 16, "save_every": 1}
    out = folder.parent / "run"
    return _measured(lambda: train("cyclegan", data=folder, out=out, steps=steps, sample_every=0, quiet=True, **tiny))


def _measured(task: Callable[[], object]) -> tuple[float, float, float]:
    import torch

    from i2i.engine.report import most_memory

    before = most_memory(torch.device("cpu"))
    seconds, used = timed(task)
    return seconds, used, most_memory(torch.device("cpu")) - before
