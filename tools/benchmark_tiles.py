#!/usr/bin/env python3
"""Compare tiles with the whole image: time, PSNR, agreement where tiles overlap, memory.

python tools/benchmark_tiles.py MODEL.onnx --image PHOTO.jpg
python tools/benchmark_tiles.py MODEL.onnx --image PHOTO.jpg --size 2048 --rows 1024

PSNR is meaningful for a trained model and a photograph only. The time is that of one inference on all cores, whole and
in tiles in turn; core-seconds do not depend on other programs.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

import click
import cv2
import numpy as np
from measuring import core_seconds, measure

import i2i
from i2i.images import Image, read_image
from i2i.images.large.writer import write_strips
from i2i.metrics import psnr
from i2i.runtime import Model
from i2i.runtime.tiles import shared_statistics
from i2i.runtime.tiles.grid import Span, cut
from i2i.runtime.tiles.tiler import SIDE, Array, Tiling, halo, translate_tiled

# The command line with every image translated in strips.
CHILD = """
import atexit, re
from i2i.runtime.jobs import oversized
oversized.DECODE_LIMIT = 0
# The peak that the kernel reports to a parent includes the parent's own.
atexit.register(lambda: print(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]))
from i2i.cli import main
main()
"""


@click.command()
@click.argument("path", metavar="MODEL", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--image", "photo", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--size", default=1536, show_default=True, help="Side of the image, resized to it, in pixels.")
@click.option("--exact", default=640, show_default=True, help="Side of the image for --tile exact; 0: not measured.")
@click.option("--exact-tile", default=512, show_default=True, help="Side of its tiles.")
@click.option("--width", default=16384, show_default=True, help="Width of the TIFF whose memory is measured.")
@click.option("--rows", default=384, show_default=True, help="Height of that TIFF; 0: not measured.")
@click.option("--repeats", default=1, show_default=True)
@click.option("--threads", type=int, help="Threads of an inference.  [default: all cores]")
def main(
    path: Path, photo: Path, size: int, exact: int, exact_tile: int, width: int, rows: int, repeats: int,
    threads: int | None,
) -> None:  # fmt: skip
    """Measure MODEL and print a table."""
    model = i2i.load(path, "cpu", threads)
    if model.spec.tiling == "no":
        raise click.UsageError(f"{path} says that it cannot be tiled")
    print(f"{path.name}, {model.threads} threads, {photo.name}; receptive field {model.spec.receptive_field}\n")
    print("| measured | figure | target |")
    print("|---|---|---|")
    image = sized(photo, size)
    against_whole(model, image, Tiling(), "auto", 35, repeats)
    agreement(model, image)
    if exact:
        against_whole(model, sized(photo, exact), Tiling(exact=True, side=exact_tile), "exact", 50, 1)
    if rows:
        memory(path, image, width, rows)


def sized(photo: Path, size: int) -> np.ndarray:
    """Return the middle of the photo as a square of that side."""
    pixels = read_image(photo).pixels
    if pixels.shape[2] == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    side = min(pixels.shape[:2])
    top, left = (pixels.shape[0] - side) // 2, (pixels.shape[1] - side) // 2
    how = cv2.INTER_AREA if size < side else cv2.INTER_CUBIC
    return cv2.resize(pixels[top : top + side, left : left + side], (size, size), interpolation=how)


def against_whole(model: Model, image: np.ndarray, tiling: Tiling, name: str, least: int, repeats: int) -> None:
    """Measure time and PSNR of tiles against the whole image."""
    results: dict[str, np.ndarray] = {}
    wall, work = measure(
        {
            "whole": lambda: results.update(whole=model.tiled("off").run(image[None])[0]),
            "tiles": lambda: results.update(tiles=translate_tiled(model.executor, image, None, tiling)),
        },
        repeats,
    )
    seconds = {task: min(values) for task, values in wall.items()}
    used = {task: min(values) for task, values in work.items()}
    at = f"`{name}`, {image.shape[1]} px in tiles of {tiling.side}"
    limit = "<= 1.6" if name == "auto" else ""
    print(f"| {at}: time over that of the whole image | {seconds['tiles'] / seconds['whole']:.2f} | {limit} |")
    print(f"| ... in core-seconds | {used['tiles'] / used['whole']:.2f} ({used['whole']:.1f} s whole) | {limit} |")
    print(f"| ... PSNR against the whole image | {psnr(results['tiles'], results['whole']):.1f} dB | >= {least} |")
    worst = np.abs(results["tiles"].astype(int) - results["whole"]).max()
    print(f"| ... largest difference | {worst} levels | |", flush=True)


def agreement(model: Model, image: np.ndarray) -> None:
    """Measure the difference of neighbouring tiles where both have a result."""
    runner, around = shared_statistics.Runner(model.executor, None), halo(model.spec, False)
    picture = Array(image)
    start = core_seconds()
    run = runner.open(runner.forms.fixed(shared_statistics.sampled(runner, picture, model.spec.source)))
    sampling = core_seconds() - start
    spans = cut(image.shape[0], SIDE, around)
    found: list[np.ndarray] = []
    above: list[tuple[Span, np.ndarray]] = []
    for rows in spans:
        tiles = [run(picture.read(rows.seen, columns.seen)[None])[0][0] for columns in spans]
        for (left, a), (right, b) in pairwise(zip(spans, tiles, strict=True)):
            found.append(difference(a, left, b, right, 1))
        for tile, (before, other) in zip(tiles, above, strict=False):
            found.append(difference(other, before, tile, rows, 0))
        above = [(rows, tile) for tile in tiles]
    off = np.concatenate([part.ravel() for part in found])
    share = 100 * float((off == 0).mean())
    print(f"| neighbouring tiles differ where they overlap by at most | {off.max()} levels ({share:.2f} % by 0) | 1 |")
    print(f"| statistics of patches, of all that tiles take | {sampling:.1f} core-s | |", flush=True)


def difference(a: np.ndarray, first: Span, b: np.ndarray, second: Span, axis: int) -> np.ndarray:
    """Return the difference of two tiles where they overlap along an axis."""
    both = slice(second.kept.start, first.kept.stop)
    parts = [
        tile.take(range(both.start - span.seen.start, both.stop - span.seen.start), axis).astype(int)
        for tile, span in ((a, first), (b, second))
    ]
    return np.abs(parts[0] - parts[1])


def memory(path: Path, image: np.ndarray, width: int, rows: int) -> None:
    """Measure the memory of ``i2i translate`` on a TIFF of that width, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.tif", Path(folder) / "out.tif"
        across = np.concatenate([image] * -(-width // image.shape[1]), axis=1)[:, :width]
        down = [across[: min(len(across), rows - top)] for top in range(0, rows, len(across))]
        write_strips(source, map(Image, down), "TIFF")
        command = [sys.executable, "-c", CHILD, "translate", source, target, "-m", path, "--provider", "cpu"]
        command += ["--tile", str(SIDE), "--max-pixels", str(width * rows)]
        done = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True)
    peak = int(done.stdout.split()[-1]) / 2**20
    print(f"| peak memory of a TIFF of {width} x {rows} pixels | {peak:.2f} GiB | <= 2.5 GB |", flush=True)


if __name__ == "__main__":
    main()
