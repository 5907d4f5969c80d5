"""``benchmark.py many``: compare rate and memory of a folder job at its end with those at its start."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import click
import numpy as np
from measuring import PausedJob, draw, timed

from i2i.runtime import Model, translate_folder
from i2i.runtime.model import catalog

PARTS = 100
"""Number of parts of the job. The first tenth of them is compared with the last; the very first part, which includes
the start, is left out. Each has at least ten images, since the job stops one or two images late."""
CONTROL = 50
"""Number of images of the control: a job that is always the same and runs after each part."""


@click.command
@click.option("--files", type=click.IntRange(10 * PARTS), default=20_000, show_default=True, help="In the folder.")
@click.option("--size", default=16, show_default=True, help="Their height and width.")
@click.option("--model", help="As of `i2i translate`.  [default: the default model]")
@click.option("--flat", is_flag=True, help="All in one folder, instead of a thousand in each.")
def many(files: int, size: int, model: str | None, flat: bool) -> None:
    """Measure one job over a folder of many small images, and the same command again, which skips all of them.

    The job is paused after each part for a control job that is always the same, to detect changes of the machine:
    `over the control` is the job's time per image divided by the control's. All figures are medians of parts,
    `last / first` with its standard error.
    """
    path = catalog.resolve(model).path
    with tempfile.TemporaryDirectory(prefix="i2i-benchmark-") as place:
        root = Path(place)
        pictures = sorted(draw(root / "drawn", CONTROL, size, "png").iterdir())
        for number in range(files):
            folder = root / "in" / ("all" if flat else f"{number // 1000:03}")
            folder.mkdir(parents=True, exist_ok=True)
            os.link(pictures[number % len(pictures)], folder / f"{number:06}.png")
        control = Model(path, "cpu", side_by_side=True)

        def constant() -> None:
            with tempfile.TemporaryDirectory(dir=place) as target:
                translate_folder(control, root / "drawn", Path(target))

        constant()
        job, samples = PausedJob(path, "cpu", root / "in", root / "out", files), []
        try:
            for part in range(PARTS):
                used = job.core_seconds
                count, seconds = job.go_on(files * (part + 1) // PARTS)
                samples.append((count, seconds, job.core_seconds - used, job.resident, *timed(constant)))
        finally:
            job.end()
        show(np.array(samples))
        job = PausedJob(path, "cpu", root / "in", root / "out", files)
        try:
            job.go_on(files)
        finally:
            job.end()
        spent = 1000 * job.core_seconds / files
        click.echo(f"\nskipped in {job.seconds:.1f} s, {spent:.3f} core-ms an image, {job.resident / 2**20:.1f} MiB")


def show(samples: np.ndarray) -> None:
    """``samples`` are of each part: images, seconds, core-seconds and bytes held; seconds and core-seconds of the
    control."""
    count, seconds, used, resident, wall, work = samples.T
    tenth = PARTS // 10
    click.echo(
        f"the first {count[0]:.0f} of {count.sum():.0f} after {seconds[0]:.2f} s, all in {seconds.sum():.1f} s\n"
    )
    click.echo("|  | first tenth | last tenth | last / first |\n|---|---|---|---|")
    columns = {
        "seconds an image, over the control": seconds / count / (wall / CONTROL),
        "core-seconds an image, over the control": used / count / (work / CONTROL),
        "ms an image": 1000 * seconds / count,
        "core-ms an image": 1000 * used / count,
        "core-ms an image of the control": 1000 * work / CONTROL,
        "memory (MiB)": resident / 2**20,
    }
    for name, values in columns.items():
        some = np.percentile([values[1 : 1 + tenth], values[-tenth:]], (25, 50, 75), axis=1)  # [quartile, first | last]
        a, b = some[1]
        error = np.hypot(*(some[2] - some[0]) / some[1]) * 0.93 / tenth**0.5  # of medians, were the spread a Gaussian's
        click.echo(f"| {name} | {a:.4g} | {b:.4g} | {b / a:.3f} +- {error:.3f} |")
    grown = (resident[-1] - resident[tenth]) / count[tenth + 1 :].sum()
    click.echo(f"\ngrown since the first tenth: {grown:.1f} bytes a file")
