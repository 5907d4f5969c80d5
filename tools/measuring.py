"""Shared parts of the benchmarks: pictures, models, bare sessions, clocks, and a job that can be paused."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
import onnxruntime

import i2i
from i2i.images import Image, write_image
from i2i.runtime import Model
from i2i.runtime.system.host import cores
from i2i.spec import Domain, Spec

# onnxruntime's names of i2i's providers; OpenVINO is another library, and has no bare session here.
NAMES = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}
Tasks = dict[str, Callable[[], object]]


def measure(tasks: Tasks, repeats: int, unmeasured: int = 0) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Measure wall seconds and core-seconds of each task, in turn, so that a busy machine slows all of them equally."""
    wall: dict[str, list[float]] = {name: [] for name in tasks}
    work: dict[str, list[float]] = {name: [] for name in tasks}
    for turn in range(repeats):
        for name, task in tasks.items():
            seconds, used = timed(task)
            if turn >= unmeasured:
                wall[name].append(seconds)
                work[name].append(used)
    return wall, work


def timed(task: Callable[[], object], who: int = resource.RUSAGE_SELF) -> tuple[float, float]:
    """Return wall seconds and core-seconds of a task in this process, or in its children."""
    start, used = time.perf_counter(), core_seconds(who)
    task()
    return time.perf_counter() - start, core_seconds(who) - used


def core_seconds(who: int = resource.RUSAGE_SELF) -> float:
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


class PausedJob:
    """A folder job in its own process, which is paused (SIGSTOP) while it is not being measured.

    So a bare session can be measured between two parts of one job, and neither has to start again.

    Attributes:
        seconds: run time of the job since its model was loaded.
    """

    def __init__(self, path: Path, provider: str, folder: Path, target: Path, images: int) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.images, self.seconds = images, 0.0
        self._shared = spawn.Array("d", 3, lock=False)
        self._here, there = spawn.Pipe()
        self._process = spawn.Process(target=_job, args=(path, provider, folder, target, self._shared, there))
        self._process.start()
        assert self._here.recv() == "ready"
        self._stop()

    @property
    def over(self) -> int:
        """Number of images done in this job or before."""
        return int(self._shared[0])

    @property
    def core_seconds(self) -> float:
        """Core-seconds of the job so far."""
        return self._shared[1]

    @property
    def resident(self) -> float:
        """Bytes of memory in use, at most fifty images ago; 0 if unknown."""
        return self._shared[2]

    def go_on(self, until: int) -> tuple[int, float]:
        """Run until that many images are done; return the number of images and the wall seconds."""
        before, start = self.over, time.perf_counter()
        self._signal(signal.SIGCONT)
        if before == 0:
            self._here.send("go")
        done = until >= self.images and self._here.recv()
        while not done and self.over < until:
            time.sleep(0.001)
        seconds = time.perf_counter() - start
        if done:
            self._process.join()
        else:
            self._stop()
        self.seconds += seconds
        return self.over - before, seconds

    def end(self) -> None:
        if self._process.is_alive():
            self._process.kill()
        self._process.join()

    def _stop(self) -> None:
        self._signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    @property
    def _pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(self._pid, number)


def _job(path: Path, provider: str, folder: Path, target: Path, shared: Any, parent: Any) -> None:
    from i2i.runtime import Options, translate_folder

    model, memory = Model(path, provider, side_by_side=True), Path("/proc/self/statm")
    parent.send("ready")
    parent.recv()
    used = core_seconds()

    def report(_: object, summary: Any) -> None:
        shared[0], shared[1] = summary.done + summary.skipped, core_seconds() - used
        if shared[0] % 50 == 0 and memory.exists():
            shared[2] = int(memory.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    summary = translate_folder(model, folder, target, Options(), report)
    assert summary.done + summary.skipped == summary.total, summary
    parent.send("done")


def head(path: Path, model: Model, what: str) -> None:
    versions = f"onnxruntime {onnxruntime.__version__}, i2i {i2i.__version__}"
    click.echo(f"{path.name} on {model.provider}, {what}, {cores()} cores, {versions}")


def table(count: int, unit: str, wall: dict[str, list[float]], work: dict[str, list[float]]) -> None:
    """Print a line for each task: its median rate, the rates of the rounds, and the work of one unit."""
    click.echo(f"{'':16}{f'{unit}s/s':>10}{'(rounds)':>26}{f'core-ms per {unit}':>20}")
    for name in wall:
        rates = [count / seconds for seconds in wall[name]]
        rounds = " ".join(f"{rate:.4g}" for rate in rates)
        spent = 1000 * statistics.median(work[name]) / count
        click.echo(f"{name:16}{statistics.median(rates):>10.2f}{rounds:>26}{spent:>20.2f}")


def bare_session(path: Path, model: Model) -> Callable[[np.ndarray], np.ndarray]:
    """Open an onnxruntime session with default options, on the provider that the model runs on."""
    session = onnxruntime.InferenceSession(str(path), providers=[NAMES[model.provider]])
    entry = session.get_inputs()[0].name
    dtype = model.spec.dtype
    return lambda pixels: session.run(None, {entry: pixels[None].astype(dtype, copy=False)})[0]


def draw(folder: Path, count: int, size: int, suffix: str) -> Path:
    """Draw images with the detail of photographs: smooth shapes, edges and some noise."""
    folder.mkdir(parents=True)
    for number in range(count):
        rng = np.random.default_rng(number)
        coarse = rng.integers(0, 256, (8, 8, 3), np.uint8)
        picture = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC).astype(np.int16)
        for _ in range(20):
            centre = tuple(int(value) for value in rng.integers(0, size, 2))
            colour = tuple(int(value) for value in rng.integers(0, 256, 3))
            cv2.circle(picture, centre, int(rng.integers(2, max(3, size // 6))), colour, -1, cv2.LINE_AA)
        picture = picture + rng.normal(0, 4, picture.shape).astype(np.int16)
        write_image(folder / f"{number:05d}.{suffix}", Image(np.clip(picture, 0, 255).astype(np.uint8)))
    return folder


def resnet(path: Path, blocks: int = 6) -> Path:
    """Write the generator of CycleGAN with ngf 64 and random weights, which do not affect its speed."""
    from i2i.exporter import export_network
    from i2i.networks.resnet import ResNet

    spec = Spec("benchmark", "a2b", Domain("a"), Domain("b"))
    return export_network(ResNet(blocks=blocks, ngf=64), spec, path)
