"""Time, memory, size and loss of a model in fp32, fp16 and int8 on every provider that loads here.

    python tools/benchmark_precision.py --model fp32.onnx --images DIR [--providers cpu,openvino] [--size 256]

Each pair of a precision and a provider has its own process, whose peak memory is printed. All of them stay open and
translate one image in turn, so that a busy machine slows all of them equally. The loss is measured against fp32 on the
CPU, on the images that are held out when int8 is calibrated.
"""

from __future__ import annotations

import multiprocessing
import statistics
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

import click
import numpy as np

import i2i
from i2i.runtime.providers.table import PROVIDERS
from i2i.spec import PRECISIONS, Spec


def serve(pipe: Connection, path: str, provider: str, threads: int | None) -> None:
    """Open the model, report its provider, and answer each image with the result, seconds and peak memory."""
    try:
        model = i2i.load(path, provider, threads)
        pipe.send(model.provider)
    except Exception as error:  # whatever keeps a provider from loading is a row of the table
        pipe.send(error)
        return
    while (image := pipe.recv()) is not None:
        start = time.perf_counter()
        try:
            result: object = model(image)
        except Exception as error:
            result = error
        seconds = time.perf_counter() - start
        pipe.send((result, seconds, peak()))


def peak() -> int:
    """Return the peak memory of this process in bytes. Not ``getrusage``, which includes the parent's."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/self/status says nothing of VmHWM; the peak memory is known on Linux alone")


class Row:
    """One precision on one provider."""

    def __init__(self, precision: str, provider: str, path: Path, threads: int | None) -> None:
        self.precision, self.provider, self.path = precision, provider, path
        self.seconds: list[float] = []
        self.results: list[np.ndarray] = []
        self.peak, self.error = 0, ""
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, str(path), provider, threads), daemon=True)
        self.process.start()
        theirs.close()
        said = self._answer()
        if not self.error and said != provider:
            self.error = f"ran on {said}"

    def _answer(self) -> object:
        try:
            said = self.pipe.recv()
        except EOFError:
            said = RuntimeError(f"its process ended with status {self.process.exitcode}")
        if isinstance(said, Exception):
            self.error = str(said).splitlines()[0]
        return said

    def translate(self, image: np.ndarray, keep: bool) -> None:
        """One image; the first of a session is not timed."""
        self.pipe.send(image)
        said = self._answer()
        if not isinstance(said, tuple):
            return
        result, seconds, self.peak = said
        if isinstance(result, Exception):
            self.error = str(result).splitlines()[0]
        elif keep:
            self.results.append(result)
        else:
            self.seconds.append(seconds)

    def close(self) -> None:
        if self.process.is_alive():
            self.pipe.send(None)
            self.process.join(10)


@click.command
@click.option("--model", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=True, help="In fp32.")
@click.option("--images", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--providers", default="cpu,openvino,cuda,tensorrt", show_default=True)
@click.option("--precisions", default=",".join(PRECISIONS), show_default=True)
@click.option("--rounds", default=7, show_default=True, help="Images that each is timed on, in turn.")
@click.option("--threads", type=int, default=None, help="[default: all cores]")
@click.option("--keep", type=click.Path(file_okay=False, path_type=Path), help="Where fp16 and int8 stay.")
def main(
    model: Path, images: Path, providers: str, precisions: str, rounds: int, threads: int | None, keep: Path | None
) -> None:
    """Print a table in Markdown: milliseconds an image, peak memory, size and loss, for precisions and providers."""
    from i2i.exporter import calibration
    from i2i.runtime.graphs.onnx_file import read_spec

    chosen = providers.split(",")
    if unknown := set(chosen) - set(PROVIDERS):
        raise click.UsageError(f"no such provider: {', '.join(unknown)}")
    spec = read_spec(model)
    if spec is None or spec.dtype != "uint8" or spec.domains:
        raise click.UsageError(f"{model} is no export of 8-bit pixels in one direction")
    held_out = list(calibration.gather(images, None, spec, True).held_out)
    with tempfile.TemporaryDirectory() as temporary:
        rows = []
        reference = Row("fp32", "cpu", model, threads)
        for precision in precisions.split(","):
            try:
                file = reduced(model, keep or Path(temporary), precision, images)
            except ValueError as error:
                click.echo(f"no {precision}: {error}", err=True)
                continue
            for provider in chosen:
                again = (precision, provider) == ("fp32", "cpu")
                rows.append(reference if again else Row(precision, provider, file, threads))
        measure([reference, *(row for row in rows if row is not reference)], held_out, rounds)
        table(rows, reference, spec)
    side = _largest(held_out)
    click.echo(f"\n{side.shape[1]} x {side.shape[0]} pixels, median of {rounds}; loss on {len(held_out)} images")


def measure(rows: list[Row], images: list[np.ndarray], rounds: int) -> None:
    """Return the results for all images, and then the seconds of the largest image, in turn."""
    for image in images:
        for row in rows:
            if not row.error:
                row.translate(image, keep=True)
    for _ in range(rounds):
        for row in rows:
            if not row.error:
                row.translate(_largest(images), keep=False)
    for row in rows:
        row.close()


def table(rows: list[Row], reference: Row, spec: Spec) -> None:
    """Print the table, with the reason where there are no figures."""
    from i2i.exporter import precision_loss

    click.echo("| precision | provider | ms/image | peak MiB | file MB | PSNR dB | largest | |")
    click.echo("|---|---|---:|---:|---:|---:|---:|---|")
    for row in rows:
        size = f"{row.path.stat().st_size / 1e6:.1f}"
        if row.error or not row.seconds:
            click.echo(f"| {row.precision} | {row.provider} | | | {size} | | | {row.error} |")
            continue
        lost = precision_loss.loss(row.results, reference.results, spec)
        click.echo(
            f"| {row.precision} | {row.provider} | {1000 * statistics.median(row.seconds):.1f} "
            f"| {row.peak / 2**20:.0f} | {size} | {lost.psnr:.1f} | {lost.largest:.0f} | |"
        )


def _largest(images: list[np.ndarray]) -> np.ndarray:
    return max(images, key=lambda image: image.size)


def reduced(model: Path, folder: Path, precision: str, images: Path) -> Path:
    """Return the model in that precision. Raises ValueError."""
    path = folder / f"{model.stem}.{precision}.onnx"
    if precision == "fp32":
        return model
    if not path.exists():
        i2i.export(model, path, precision=precision, calibrate=images)
    return path


if __name__ == "__main__":
    main()
