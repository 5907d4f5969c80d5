#!/usr/bin/env python3
"""Frames a second of a video job, beside decoding, a bare session and encoding alone.

python tools/benchmark_video.py                    # a ResNet-6 generator (ngf 64) at 256 pixels; needs i2i[train]
python tools/benchmark_video.py --model FILE.onnx --frames 100
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import av
import click
import numpy as np
from measuring import bare_session, draw, head, measure, resnet, table

from i2i.images import read_image
from i2i.runtime import Model, Options
from i2i.runtime.video import translate_video


@click.command
@click.option("--model", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="An export of i2i.")
@click.option("--frames", default=32, show_default=True, help="Of the film.")
@click.option("--size", default=256, show_default=True, help="Height and width of its frames.")
@click.option("--repeats", default=3, show_default=True, help="Rounds; each measures everything once, in turn.")
@click.option("--provider", type=click.Choice(["auto", "cpu", "cuda"]), default="cpu", show_default=True)
def main(model: Path | None, frames: int, size: int, repeats: int, provider: str) -> None:
    """`i2i translate` of a film against the slowest of decoding, a bare session and encoding, each alone.

    Alone means PyAV to RGB, onnxruntime with its defaults on decoded frames, and PyAV from RGB to H.264 as i2i sets it.
    """
    with tempfile.TemporaryDirectory(prefix="i2i-benchmark-") as place:
        path = model or resnet(Path(place) / "resnet6.onnx")
        loaded = Model(path, provider, side_by_side=True)
        tasks = film_tasks(path, loaded, frames, size, Path(place))
        wall, work = measure(tasks, repeats)
    head(path, loaded, f"{frames} frames of {size} x {size}")
    table(frames, "frame", wall, work)
    alone = ("bare session", "decoding", "encoding")
    ratios = [max(wall[name][n] for name in alone) / wall["i2i translate"][n] for n in range(repeats)]
    rounds = " ".join(f"{each:.3f}" for each in ratios)
    click.echo(f"ratio to the slowest alone   {statistics.median(ratios):.3f}   (rounds: {rounds})")


def film_tasks(path: Path, loaded: Model, frames: int, size: int, place: Path) -> dict[str, Callable[[], object]]:
    """What is to be measured of a film of that many frames: the job, and its three parts alone."""
    wide = read_image(next(draw(place / "in", 1, 2 * size, "png").iterdir())).pixels
    shown = [wide[at : at + size, at : at + size] for at in (round(size * n / frames) for n in range(frames))]
    film, result = encode_film(place / "film.mp4", shown), place / "result.mp4"
    decoded = decode_film(film)
    translated = [loaded(pixels) for pixels in decoded]
    bare = bare_session(path, loaded)
    return {
        "bare session": lambda: [bare(pixels) for pixels in decoded],
        "i2i translate": lambda: translate_video(loaded, film, result, Options(overwrite=True)),
        "decoding": lambda: decode_film(film),
        "encoding": lambda: encode_film(place / "encoded.mp4", translated),
    }


def decode_film(path: Path) -> list[np.ndarray]:
    """Its frames in RGB."""
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "AUTO"
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def encode_film(path: Path, frames: list[np.ndarray]) -> Path:
    """Frames of RGB as H.264 with the settings that i2i takes by default."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "18", "preset": "veryfast"})
        stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), "rgb24")))
        container.mux(stream.encode(None))
    return path


if __name__ == "__main__":
    main()
