"""``benchmark.py many``: whether rate and memory of a folder job are at its end what they were at its start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
from measuring import core_seconds, draw

import i2i
from i2i.runtime import Model, models, translate_folder

PARTS = 10
"""The first and the last of them are compared."""


@click.command
@click.option("--files", default=20_000, show_default=True, help="Images in the folder.")
@click.option("--size", default=16, show_default=True, help="Their height and width.")
@click.option("--model", help="As of `i2i translate`.  [default: the default model]")
def many(files: int, size: int, model: str | None) -> None:
    """One job over a folder of many small images, and the same command again, which skips them all.

    Of each part: images a second, core-milliseconds an image, which a busy machine changes less, and the memory that
    the process holds, measured a hundred times. A first small folder pays what a first image costs.
    """
    path = models.resolve(model).path
    with tempfile.TemporaryDirectory(prefix="i2i-benchmark-") as place:
        root = Path(place)
        pictures = sorted(draw(root / "drawn", 100, size, "png").iterdir())
        for number in range(files):
            folder = root / "in" / f"{number // 1000:03}"
            if number % 1000 == 0:
                folder.mkdir(parents=True)
            os.link(pictures[number % len(pictures)], folder / f"{number:06}.png")
        for status in ("done", "skipped"):
            command = [sys.executable, __file__, str(path), str(root / "drawn"), str(root / "in"), str(root)]
            told = subprocess.run(command, env=environment(), stdout=subprocess.PIPE, text=True, check=True).stdout
            facts = json.loads(told)
            assert facts[status] == files, facts
            show(status, facts)


def environment() -> dict[str, str]:
    """Of a child that is to import what this process imports."""
    root = str(Path(i2i.__file__).parent.parent)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}


def show(status: str, facts: dict[str, Any]) -> None:
    over, seconds, used, resident = np.array(facts["samples"]).T
    edges = [np.searchsorted(over, over[-1] * part / PARTS) for part in range(PARTS + 1)]
    first, last = (slice(edges[part], edges[part + 1] + 1) for part in (0, PARTS - 1))

    def of(part: slice) -> tuple[float, float, float]:
        images = over[part][-1] - over[part][0]
        spent = 1000 * (used[part][-1] - used[part][0]) / images
        return images / (seconds[part][-1] - seconds[part][0]), spent, resident[part].mean() / 2**20

    click.echo(f"{status} {int(over[-1])}: the first after {facts['start']:.2f} s, all in {seconds[-1]:.1f} s")
    click.echo("|  | images/s | core-ms an image | memory (MiB) |\n|---|---|---|---|")
    rows = {"first tenth": of(first), "last tenth": of(last)}
    rows["last / first"] = tuple(b / a for a, b in zip(rows["first tenth"], rows["last tenth"], strict=True))
    for name, (rate, spent, memory) in rows.items():
        click.echo(f"| {name} | {rate:.4g} | {spent:.4g} | {memory:.4g} |")
    grown = resident[edges[PARTS]] - resident[edges[1]]
    click.echo(f"grown since the first tenth: {grown / (over[edges[PARTS]] - over[edges[1]]):.1f} bytes a file\n")


def job(path: str, warm: str, source: str, place: str) -> dict[str, Any]:
    """The job, for a process that does nothing else: [images over, seconds, core-seconds, bytes held] as it runs."""
    model = Model(Path(path), "cpu", side_by_side=True)
    with tempfile.TemporaryDirectory(dir=place) as target:
        translate_folder(model, Path(warm), Path(target))
    samples: list[tuple[float, ...]] = []
    start = time.perf_counter()

    def report(_: object, summary: Any) -> None:
        over = summary.done + summary.skipped
        if over == 1 or over % max(1, summary.total // 100) == 0 or over == summary.total:
            samples.append((over, time.perf_counter() - start, core_seconds(), resident()))

    summary = translate_folder(model, Path(source), Path(place) / "out", report=report)
    return {"start": samples[0][1], "samples": samples, "done": summary.done, "skipped": summary.skipped}


def resident() -> int:
    """Bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    print(json.dumps(job(*sys.argv[1:])))
