"""``benchmark.py ray``: a folder job on Ray with one worker and with two, killed workers, and many small files."""

from __future__ import annotations

import json
import os
import signal
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import psutil
from measuring import draw, head

from i2i.runtime import Model, Options
from i2i.runtime.jobs.folder import Outcome, Summary, translate_folders
from i2i.runtime.jobs.journal import JOURNAL
from i2i.runtime.jobs.ray.engine import OnRay
from i2i.runtime.model import catalog

PARTS = ("scale", "files")


@click.command
@click.option("--model", help="As of `i2i translate`.  [default: the default model]")
@click.option("--only", "parts", type=click.Choice(PARTS), multiple=True, help="A part of it.  [default: all]")
@click.option("--images", default=240, show_default=True, help="Of 256 x 256 pixels, for the scale.")
@click.option("--rounds", default=5, show_default=True, help="Turns of one worker and of two.")
@click.option("--files", default=20_000, show_default=True, help="Small files in one job.")
@click.option("--size", default=16, show_default=True, help="Their height and width.")
@click.option("--kills", default=3, show_default=True, help="Workers killed (SIGKILL) during that job.")
def ray(model: str | None, parts: tuple[str, ...], images: int, rounds: int, files: int, size: int, kills: int) -> None:
    """Measure how a job scales from one worker of one core to two, and what killed workers cost.

    Ray is started before, and its worker processes have run a job, so that only the jobs are measured. One and two
    workers take turns, so that a busy machine slows both; on a machine of two cores nothing else may run.
    """
    path = catalog.resolve(model).path
    net = Model(path, "cpu", side_by_side=True)
    head(path, net, "Ray on this machine")
    with tempfile.TemporaryDirectory(prefix="i2i-benchmark-") as place, cluster():
        if "scale" in (parts or PARTS):
            scale(net, Path(place), images, rounds)
        if "files" in (parts or PARTS):
            many(net, Path(place), files, size, kills)


@contextmanager
def cluster() -> Iterator[None]:
    """Start Ray with two cores."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    start = time.perf_counter()
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    click.echo(f"Ray started in {time.perf_counter() - start:.1f} s\n")
    try:
        yield
    finally:
        ray.shutdown()


def job(
    model: Model, source: Path, workers: int, target: Path, report: Callable[[Outcome, Summary], None] | None = None
) -> tuple[Summary, float]:
    """Run a job with so many workers; return its counts and seconds."""
    start = time.perf_counter()
    done = translate_folders([(model, target)], source, Options(), report, engine=OnRay(workers=workers))
    return done, time.perf_counter() - start


def scale(model: Model, root: Path, count: int, rounds: int) -> None:
    """Print the rate with one worker and with two."""
    pictures = draw(root / "drawn", count, 256, "jpg")
    rates: dict[int, list[float]] = {1: [], 2: []}
    job(model, pictures, 2, root / "warm")
    for turn in range(rounds):
        for workers, found in rates.items():
            done, seconds = job(model, pictures, workers, root / f"out-{turn}-{workers}")
            assert done.done == count
            found.append(count / seconds)
    ratios = [two / one for one, two in zip(*rates.values(), strict=True)]
    click.echo("| workers | images/s |\n|---|---|")
    for workers, found in rates.items():
        click.echo(f"| {workers} | {statistics.median(found):.2f} ({min(found):.2f} to {max(found):.2f}) |")
    click.echo(f"\n**{statistics.median(ratios):.2f}** ({min(ratios):.2f} to {max(ratios):.2f}), {count} images a job")


def many(model: Model, root: Path, count: int, size: int, kills: int) -> None:
    """Print how a job over many small files ends, of which workers are killed."""
    pictures, source = sorted(draw(root / "small", 50, size, "png").iterdir()), root / "many"
    for number in range(count):
        folder = source / f"{number // 1000:03}"
        folder.mkdir(parents=True, exist_ok=True)
        os.link(pictures[number % len(pictures)], folder / f"{number:06}.png")
    target, killed, over = root / "many-out", 0, [0]

    def kill() -> None:
        nonlocal killed
        while killed < kills and not ended.wait(0.02):
            if over[0] >= count * (killed + 1) // (kills + 1):
                for process in workers()[:1]:
                    process.send_signal(signal.SIGKILL)
                    killed += 1

    def report(_: Outcome, summary: Summary) -> None:
        over[0] = summary.done + summary.failed + summary.skipped

    ended = threading.Event()
    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    done, seconds = job(model, source, 2, target, report)
    ended.set()
    killer.join()
    with open(target / JOURNAL) as file:
        names = [entry["name"] for entry in map(json.loads, file) if "size" in entry]
    results = sum(1 for _ in target.rglob("*.png"))
    again, skipping = job(model, source, 2, target)
    click.echo(f"\n{count} files of {size} x {size} pixels, {killed} workers killed: {seconds:.1f} s")
    click.echo(f"{done.done} done, {done.failed} failed; {results} results, {len(names) - len(set(names))} made twice")
    click.echo(f"the same command again: {again.skipped} skipped in {skipping:.1f} s")


def workers() -> list[psutil.Process]:
    """Return the processes of Ray that run a task of this process."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if process.cmdline()[:1] == ["ray::task"]:
                found.append(process)
        except psutil.Error:
            continue
    return found
