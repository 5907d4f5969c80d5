"""``benchmark.py translate``: a folder, a video and one image, each compared with a bare session."""

from __future__ import annotations

import itertools
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click
import cv2
import onnxruntime
from measuring import NAMES, PausedJob, bare_session, draw, resnet, timed

import i2i
from i2i.images import Image, encode_image, read_image
from i2i.runtime import Model
from i2i.runtime.model import catalog
from i2i.runtime.system.host import cores

FORMS = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}

BARE = """
import sys
import numpy
import onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=[sys.argv[2]])
shape = (1, int(sys.argv[4]), int(sys.argv[4]), 3)
session.run(None, {session.get_inputs()[0].name: numpy.zeros(shape, sys.argv[3])})
"""
"""The smallest program that runs a model once."""


@click.command
@click.option(
    "--model",
    "given",
    multiple=True,
    help="As of `i2i translate`.  [default: a ResNet-9 generator (ngf 64) with random weights, and the default model]",
)
@click.option("--images", default=1000, show_default=True, help="Files in the folder.")
@click.option("--size", default=256, show_default=True, help="Their height and width, and that of frames.")
@click.option("--format", "suffix", type=click.Choice(list(FORMS)), default="jpg", show_default=True)
@click.option("--rounds", default=10, show_default=True, help="Each measures a part of everything, in turn.")
@click.option("--share", default=0.4, show_default=True, help="Share of the files for the bare session.")
@click.option("--frames", default=32, show_default=True, help="Frames of the video, in every third round.")
@click.option("--only", type=click.Choice(["folder", "video", "image"]), multiple=True, help="Leave out the others.")
@click.option("--provider", type=click.Choice(["auto", *NAMES]), default="cpu", show_default=True)
def translate(
    given: tuple[str, ...],
    images: int,
    size: int,
    suffix: str,
    rounds: int,
    share: float,
    frames: int,
    only: tuple[str, ...],
    provider: str,
) -> None:
    """Measure what i2i adds to a bare onnxruntime session, in three tables of Markdown; everything in turn, in one run.

    Folder: one job over all files, in a process that is paused while others are measured, compared with a session with
    onnxruntime's default options that takes one decoded image after the other. The limit is the best that a program
    could reach that decodes and encodes on the same cores: inference / (inference + decode + encode) in core-seconds.

    Video: frames a second of a job divided by the least of decoding, the bare session and encoding, each alone.

    Image: the wall time of `i2i translate one.jpg` over that of a process that imports onnxruntime, loads the model and
    runs it once on zeros of the same size; both from the start of Python to its end, with compiled bytecode.
    """
    with tempfile.TemporaryDirectory(prefix="i2i-benchmark-") as place:
        root = Path(place)
        paths = [catalog.resolve(name).path.resolve() for name in given]
        paths = paths or [resnet(root / "resnet9.onnx", blocks=9), catalog.resolve(None).path]
        files = sorted(draw(root / "in", images, size, suffix).iterdir())
        cv2.setNumThreads(1)
        kinds = {"folder": Folder, "video": Video, "image": Single}
        measured = [
            kind(path, provider, root, files, rounds, share, frames)
            for name, kind in kinds.items()
            if not only or name in only
            for path in paths
        ]
        start = time.perf_counter()
        try:
            for number in range(rounds):
                for each in measured:
                    each.measure(number)
                minutes = (time.perf_counter() - start) / 60
                click.echo(f"round {number + 1} of {rounds}, {minutes:.1f} minutes", err=True)
        finally:
            for each in measured:
                each.end()
        provider = " and ".join(sorted({each.loaded.provider for each in measured}))
    click.echo(
        f"{size} x {size} {suffix}, {cores()} cores ({platform.machine()}), {provider}, "
        f"onnxruntime {onnxruntime.__version__}, i2i {i2i.__version__}, {rounds} rounds, {minutes:.0f} minutes"
    )
    last = None
    for each in measured:
        if type(each) is not last:
            titles = each.titles
            click.echo(f"\n| {' | '.join(titles)} |\n|{'---|' * len(titles)}")
        last = type(each)
        click.echo(f"| {' | '.join(each.row())} |")


class Measured:
    """One model's row of a table: the tasks of a round, and the final figures."""

    titles: tuple[str, ...]

    def __init__(
        self, path: Path, provider: str, root: Path, files: list[Path], rounds: int, share: float, frames: int
    ) -> None:
        self.path, self.root, self.files, self.rounds = path, root, files, rounds
        self.share, self.frames = share, frames
        self.loaded = Model(path, provider, side_by_side=True)

    def measure(self, number: int) -> None: ...

    def row(self) -> list[str]:
        raise NotImplementedError

    def end(self) -> None: ...


class Folder(Measured):
    titles = (
        "folder", "images/s", "bare session", "**ratio** (rounds)", "core-ms an image", "session", "decode", "encode",
        "limit", "ratio / limit",
    )  # fmt: skip

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.part = max(1, round(len(self.files) * self.share / self.rounds))
        self.decoded = [read_image(file).pixels for file in self.files[: self.part]]
        self.results = [Image(self.loaded(pixels)) for pixels in self.decoded]
        self.bare = bare_session(self.path, self.loaded)
        self.bare(self.decoded[0])
        self.job = PausedJob(
            self.path, self.loaded.provider, self.files[0].parent, self.root / f"out-{self.path.stem}", len(self.files)
        )
        self.clock: dict[str, list[tuple[float, float]]] = {name: [] for name in ("job", "session", "decode", "encode")}

    def measure(self, number: int) -> None:
        form = FORMS[self.files[0].suffix[1:]]
        at = number * self.part
        some = [self.files[(at + each) % len(self.files)] for each in range(self.part)]
        tasks = {
            "decode": lambda: [read_image(file) for file in some],
            "encode": lambda: [encode_image(image, form) for image in self.results],
            "session": lambda: [self.bare(pixels) for pixels in self.decoded],
        }
        for name, task in tasks.items():
            seconds, used = timed(task)
            self.clock[name].append((seconds / self.part, used / self.part))
        done, seconds = self.job.go_on(len(self.files) * (number + 1) // self.rounds)
        self.clock["job"].append((seconds / done, 0.0))

    def row(self) -> list[str]:
        count = len(self.files)
        rate = count / self.job.seconds
        session, decode, encode = (
            [statistics.mean(column) for column in zip(*self.clock[name], strict=True)]
            for name in ("session", "decode", "encode")
        )
        ratios = [bare[0] / job[0] for bare, job in zip(self.clock["session"], self.clock["job"], strict=True)]
        ratio = rate * session[0]
        limit = session[1] / (session[1] + decode[1] + encode[1])
        spent = (1000 * self.job.core_seconds / count, *(1000 * each[1] for each in (session, decode, encode)))
        return [
            self.path.stem, f"{rate:.4g}", f"{1 / session[0]:.4g}",
            f"**{ratio:.3f}** ({min(ratios):.3f} to {max(ratios):.3f})", *(f"{each:.4g}" for each in spent),
            f"{limit:.3f}", f"{ratio / limit:.3f}",
        ]  # fmt: skip

    def end(self) -> None:
        self.job.end()


class Video(Measured):
    titles = ("video", "frames/s", "decode alone", "bare session", "encode alone", "**ratio** (rounds)")

    def __init__(self, *arguments: object) -> None:
        from benchmark_video import video_tasks

        super().__init__(*arguments)  # type: ignore[arg-type]
        size = read_image(self.files[0]).height
        place = self.root / f"video-{self.path.stem}"
        place.mkdir()
        self.tasks = video_tasks(self.path, self.loaded, self.frames, size, place)
        self.wall: dict[str, list[float]] = {name: [] for name in self.tasks}

    def measure(self, number: int) -> None:
        if number % 3 == 0:
            for name, task in self.tasks.items():
                self.wall[name].append(timed(task)[0])

    def row(self) -> list[str]:
        alone = ("decoding", "bare session", "encoding")
        ratios = [max(self.wall[name][n] for name in alone) / job for n, job in enumerate(self.wall["i2i translate"])]
        rates = {name: self.frames / statistics.median(seconds) for name, seconds in self.wall.items()}
        return [
            self.path.stem, f"{rates['i2i translate']:.4g}", *(f"{rates[name]:.4g}" for name in alone),
            f"**{statistics.median(ratios):.3f}** ({min(ratios):.3f} to {max(ratios):.3f})",
        ]  # fmt: skip


def environment() -> dict[str, str]:
    """Return the environment of a child that imports the same packages as this process."""
    root = str(Path(i2i.__file__).parent.parent)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}


class Single(Measured):
    titles = ("one image", "i2i (s)", "load and run (s)", "**ratio** of the medians", "core-seconds", "ratio")
    names = ("i2i", "bare")

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.environment = environment() | {"PYTHONPYCACHEPREFIX": str(self.root / "bytecode")}
        self.environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self.numbers: Iterator[int] = itertools.count()
        self.clock: dict[str, list[tuple[float, float]]] = {name: [] for name in self.names}
        size = str(read_image(self.files[0]).height)
        words = [str(self.path), NAMES[self.loaded.provider], self.loaded.spec.dtype, size]
        self.commands = {
            "bare": lambda: [sys.executable, "-c", BARE, *words],
            "i2i": lambda: [
                sys.executable, "-m", "i2i", "translate", str(self.files[0]), str(self._target()),
                "-m", str(self.path), "--provider", self.loaded.provider,
            ],
        }  # fmt: skip
        for command in self.commands.values():  # what this leaves as bytecode is there afterwards
            self._run(command())

    def _target(self) -> Path:
        return self.root / f"one-{self.path.stem}-{next(self.numbers)}{self.files[0].suffix}"

    def _run(self, command: list[str]) -> None:
        subprocess.run(command, env=self.environment, cwd=self.root, capture_output=True, check=True)

    def measure(self, number: int) -> None:
        import resource

        for name in self.names[:: 1 if number % 2 else -1]:
            for _ in range(2):
                command = self.commands[name]()
                self.clock[name].append(timed(lambda: self._run(command), resource.RUSAGE_CHILDREN))  # noqa: B023

    def row(self) -> list[str]:
        ours, bare = (
            [statistics.median(column) for column in zip(*self.clock[name], strict=True)] for name in self.names
        )
        return [
            self.path.stem, f"{ours[0]:.3f}", f"{bare[0]:.3f}", f"**{ours[0] / bare[0]:.3f}**",
            f"{ours[1]:.3f} / {bare[1]:.3f}", f"{ours[1] / bare[1]:.3f}",
        ]  # fmt: skip
