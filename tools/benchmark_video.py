#!/usr/bin/env python3
"""Measure the frames a second of a video job, the effect of --steady, and the loss of a round trip.

python tools/benchmark_video.py                    # a ResNet-6 generator (ngf 64) at 256 pixels; needs i2i[train]
python tools/benchmark_video.py --model FILE.onnx --frames 100
python tools/benchmark_video.py flicker --model FILE.onnx CLIP.mp4 ...    # the flicker with and without --steady
python tools/benchmark_video.py roundtrip CLIP.mp4 ...                    # a model that changes nothing
"""

from __future__ import annotations

import itertools
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path

import av
import click
import cv2
import numpy as np
import onnx
from av.video.frame import PictureType
from measuring import bare_session, draw, head, measure, resnet, table
from onnx import helper

from i2i.images import Image, read_image, write_image
from i2i.metrics import psnr
from i2i.metrics.video import flicker as flicker_of
from i2i.runtime import Model, Options
from i2i.runtime.adapters.options import ModelOptions
from i2i.runtime.graphs.onnx_file import described
from i2i.runtime.system.host import cores
from i2i.runtime.video import VideoOptions, translate_video
from i2i.spec import Domain, Spec


@click.group(invoke_without_command=True)
@click.pass_context
@click.option("--model", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="An export of i2i.")
@click.option("--frames", default=32, show_default=True, help="Frames of the video.")
@click.option("--size", default=256, show_default=True, help="Height and width of its frames.")
@click.option("--repeats", default=3, show_default=True, help="Rounds; each measures everything once, in turn.")
@click.option("--provider", type=click.Choice(["auto", "cpu", "cuda"]), default="cpu", show_default=True)
def main(context: click.Context, model: Path | None, frames: int, size: int, repeats: int, provider: str) -> None:
    """Compare `i2i translate` of a video with the slowest of decoding, a bare session and encoding, each alone.

    Alone means PyAV to RGB, onnxruntime with its defaults on decoded frames, and PyAV from RGB to H.264 as i2i sets it.
    """
    if context.invoked_subcommand is not None:
        return
    with tempfile.TemporaryDirectory(prefix="i2i-benchmark-") as place:
        path = model or resnet(Path(place) / "resnet6.onnx")
        loaded = Model(path, provider, side_by_side=True)
        tasks = video_tasks(path, loaded, frames, size, Path(place))
        wall, work = measure(tasks, repeats)
    head(path, loaded, f"{frames} frames of {size} x {size}")
    table(frames, "frame", wall, work)
    alone = ("bare session", "decoding", "encoding")
    ratios = [max(wall[name][n] for name in alone) / wall["i2i translate"][n] for n in range(repeats)]
    rounds = " ".join(f"{each:.3f}" for each in ratios)
    click.echo(f"ratio to the slowest alone   {statistics.median(ratios):.3f}   (rounds: {rounds})")
    # Alone each of the three has all cores. A job that does them all on the same cores cannot be quicker than their
    # core-seconds together.
    least = [sum(work[name][n] for name in alone) / cores() for n in range(repeats)]
    limits = [max(wall[name][n] for name in alone) / least[n] for n in range(repeats)]
    shares = [each / wall["i2i translate"][n] for n, each in enumerate(least)]
    click.echo(f"the most on these cores      {statistics.median(limits):.3f}   (all three share them)")
    click.echo(f"ratio to that                {statistics.median(shares):.3f}")


@main.command
@click.argument("clips", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--model", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--size", default=256, show_default=True, help="Shorter side to which larger clips are reduced.")
@click.option("--start", default=1.0, show_default=True, help="Seconds of each clip to leave out.")
@click.option("--frames", default=24, show_default=True, help="Of each clip.")
@click.option("--option", multiple=True, metavar="NAME=VALUE", help="Of a third-party model: order=bgr.")
@click.option(
    "--save", "folder", type=click.Path(path_type=Path), help="Folder for a frame of each clip, side by side."
)
def flicker(
    clips: tuple[Path, ...],
    model: Path,
    size: int,
    start: float,
    frames: int,
    option: tuple[str, ...],
    folder: Path | None,
) -> None:
    """Print the flicker of source, translation and steady translation, in levels of 255, and the cost in time.

    "still" is the same without optical flow, where the source does not change at its place. PSNR and edges compare
    steady stills with plain ones; core-ms a frame are of the whole job, plain and steady.
    """
    loaded = Model(
        model, "cpu", side_by_side=True, options=ModelOptions.of(dict(each.split("=", 1) for each in option))
    )
    click.echo(f"{model.stem}: {frames} frames, {size} pixels high")
    columns = "source  plain steady  fall | still: plain steady  fall |   PSNR edges | core-ms: plain steady"
    click.echo(f"{'clip':20} {columns}")
    for clip in clips:
        with tempfile.TemporaryDirectory(prefix="i2i-benchmark-") as place:
            small = reduced(clip, size, start, frames, Path(place) / "clip.mkv")
            (source, plain, before), (_, steady, after) = (translated(loaded, small, each) for each in (False, True))
        of_source, of_plain, of_steady = (
            flicker_of(zip(source, each, strict=True)).value for each in (source, plain, steady)
        )
        still, calm = stillness(source, plain), stillness(source, steady)
        likeness = [psnr(a, b) for a, b in zip(plain, steady, strict=True) if not np.array_equal(a, b)]
        figures = f"{of_source:6.2f} {of_plain:6.2f} {of_steady:6.2f} {_fall(of_plain, of_steady):5.0%}"
        figures += f" | {still:12.2f} {calm:6.2f} {_fall(still, calm):5.0%}"
        figures += f" | {np.mean(likeness or [math.inf]):6.1f} {edges(steady) / max(1e-9, edges(plain)):5.2f}"
        click.echo(f"{clip.stem[:20]:20} {figures} | {before:14.0f} {after:6.0f}")
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            shown = cv2.resize(source[-2], plain[-2].shape[1::-1], interpolation=cv2.INTER_AREA)
            path = folder / f"{model.stem}-{clip.stem}.png"
            write_image(path, Image(np.hstack([shown, plain[-2], steady[-2]])))


@main.command
@click.argument("clips", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--frames", default=50, show_default=True, help="Of each clip.")
def roundtrip(clips: tuple[Path, ...], frames: int) -> None:
    """Print the PSNR of a video translated by a model that changes nothing, and of the encoder alone.

    The PSNR of luma, and of both chroma planes together, is against the source's, in dB, with i2i's default settings.
    """
    click.echo(f"{'clip':20} luma: i2i encoder | chroma: i2i encoder")
    with tempfile.TemporaryDirectory(prefix="i2i-benchmark-") as place:
        model = Model(identity(Path(place) / "identity.onnx"), "cpu", side_by_side=True)
        for clip in clips:
            source, rate = planes(clip, frames)
            video, alone = Path(place) / f"{clip.stem}.mp4", Path(place) / f"{clip.stem}-alone.mp4"
            end = float((len(source) + 1) / rate)
            translate_video(model, clip, video, Options(overwrite=True), VideoOptions(end=end, rotation="keep"))
            encode(alone, source, rate)
            (luma, chroma), (luma_alone, chroma_alone) = (
                psnr_of_planes(source, planes(path, frames)[0]) for path in (video, alone)
            )
            click.echo(f"{clip.stem[:20]:20} {luma:9.2f} {luma_alone:7.2f} | {chroma:11.2f} {chroma_alone:7.2f}")


def identity(path: Path) -> Path:
    """Write an i2i export that returns its input."""
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.UINT8, ["n", "h", "w", 3]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "identity", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    spec = Spec("identity", "a2b", Domain("source"), Domain("same"))
    path.write_bytes(model.SerializeToString() + described(spec))
    return path


def planes(clip: Path, count: int) -> tuple[list[av.VideoFrame], Fraction]:
    """Return the planes of a clip's first frames, and its frame rate."""
    with av.open(str(clip)) as container:
        rate = container.streams.video[0].average_rate or Fraction(25)
        return list(itertools.islice(container.decode(video=0), count)), rate


def psnr_of_planes(first: list[av.VideoFrame], second: list[av.VideoFrame]) -> tuple[float, float]:
    """Return the PSNR of luma and that of chroma in dB, over all frames of YUV 4:2:0."""
    squares: list[list[float]] = [[], []]
    for one, other in zip(first, second, strict=True):
        rows = one.height
        a, b = (frame.to_ndarray(format="yuv420p").astype(float) for frame in (one, other))
        squares[0].append(float(np.mean((a[:rows] - b[:rows]) ** 2)))
        squares[1].append(float(np.mean((a[rows:] - b[rows:]) ** 2)))
    luma, chroma = (10 * math.log10(255**2 / statistics.mean(each)) for each in squares)
    return luma, chroma


def translated(model: Model, clip: Path, steady: bool) -> tuple[list[np.ndarray], list[np.ndarray], float]:
    """The frames of a clip, those of its translation, and core-ms a frame."""
    seen: list[tuple[np.ndarray, np.ndarray]] = []
    begin = time.process_time()
    watch = [lambda source, result, _: seen.append((source, result))]
    translate_video(model, clip, None, video=VideoOptions(steady=steady), observers=watch)
    work = 1000 * (time.process_time() - begin) / len(seen)
    return [source for source, _ in seen], [result for _, result in seen], work


def stillness(sources: list[np.ndarray], results: list[np.ndarray]) -> float:
    """The flicker without any flow: mean difference where the source stays as it is, within 3 levels of 255."""
    total, count = 0.0, 0
    for (before, source), (shown_before, shown) in zip(
        itertools.pairwise(sources), itertools.pairwise(results), strict=True
    ):
        change = cv2.blur(cv2.absdiff(source, before).max(axis=2).astype(np.float32), (5, 5))
        still = change < 3
        total += float(cv2.absdiff(shown, shown_before).mean(axis=2)[still].sum())
        count += int(still.sum())
    return total / max(1, count)


def edges(pictures: list[np.ndarray]) -> float:
    """Mean strength of the edges."""
    greys = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in pictures]
    return float(
        np.mean([cv2.magnitude(*(cv2.Sobel(g, cv2.CV_32F, *way) for way in ((1, 0), (0, 1)))).mean() for g in greys])
    )


def reduced(clip: Path, size: int, start: float, frames: int, path: Path) -> Path:
    """The clip from ``start`` seconds on, without loss, with its shorter side cut down to ``size`` pixels."""
    with av.open(str(clip)) as source, av.open(str(path), "w") as output:
        stream = source.streams.video[0]
        stream.thread_type = "AUTO"
        copy = None
        for frame in source.decode(stream):
            if frame.time is None or frame.time < start:
                continue
            share = min(1.0, size / min(frame.height, frame.width))
            width, height = (max(2, round(side * share) // 2 * 2) for side in (frame.width, frame.height))
            if copy is None:
                copy = output.add_stream("ffv1", rate=stream.average_rate)
                copy.width, copy.height, copy.pix_fmt = width, height, "yuv420p"
                copy.codec_context.time_base = copy.time_base = stream.time_base
                first = frame.pts
            made = frame.reformat(width=width, height=height, format="yuv420p", interpolation="AREA")
            made.pts, made.time_base = frame.pts - first, stream.time_base
            output.mux(copy.encode(made))
            frames -= 1
            if not frames:
                break
        output.mux(copy.encode(None) if copy is not None else [])
    return path


def _fall(before: float, after: float) -> float:
    return 1 - after / before if before else 0.0


def video_tasks(path: Path, loaded: Model, frames: int, size: int, place: Path) -> dict[str, Callable[[], object]]:
    """Return the tasks to measure on a video of that many frames: the job, and its three parts alone."""
    wide = read_image(next(draw(place / "in", 1, 2 * size, "png").iterdir())).pixels
    shown = [wide[at : at + size, at : at + size] for at in (round(size * n / frames) for n in range(frames))]
    video, result = encode_video(place / "video.mp4", shown), place / "result.mp4"
    decoded = decode_video(video)
    translated = [loaded(pixels) for pixels in decoded]
    bare = bare_session(path, loaded)
    return {
        "bare session": lambda: [bare(pixels) for pixels in decoded],
        "i2i translate": lambda: translate_video(loaded, video, result, Options(overwrite=True)),
        "decoding": lambda: decode_video(video),
        "encoding": lambda: encode_video(place / "encoded.mp4", translated),
    }


def decode_video(path: Path) -> list[np.ndarray]:
    """Decode the frames of a video to RGB."""
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "AUTO"
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def encode_video(path: Path, frames: list[np.ndarray]) -> Path:
    """Encode RGB frames as H.264 with i2i's default settings."""
    return encode(path, (av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), "rgb24") for frame in frames))


def encode(path: Path, frames: Iterable[av.VideoFrame], rate: Fraction = Fraction(25)) -> Path:
    """Encode frames in order, without their own times and frame types."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "18", "preset": "veryfast"})
        for number, frame in enumerate(frames):
            if number == 0:
                stream.height, stream.width, stream.pix_fmt = frame.height, frame.width, "yuv420p"
            frame.pts, frame.time_base, frame.pict_type = number, 1 / rate, PictureType.NONE
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


if __name__ == "__main__":
    main()
