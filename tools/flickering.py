"""``benchmark_video.py flicker``: the effect of ``--steady`` on the flicker of clips, and on single frames."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np

from i2i.images import Image, write_image
from i2i.metrics import psnr
from i2i.runtime import Model
from i2i.runtime.video import VideoOptions, translate_video
from i2i.runtime.video.temporal.flicker import Flicker

_UNCHANGED = 3.0  # levels of 255: where the source differs by less at the same place, nothing moves


@dataclass
class ClipResults:
    """Frames [n, h, w, 3] of a clip, its translation and its steady translation, and core-ms a frame of both."""

    source: np.ndarray
    plain: np.ndarray
    steady: np.ndarray
    work: tuple[float, float]

    def flicker(self, result: np.ndarray) -> tuple[float, float]:
        """Return the flicker of the result and of the source, over every pair of frames."""
        measured = Flicker(every=1)
        for source, shown in zip(self.source, result, strict=True):
            measured(source, shown, 0.0)
        return measured.of_result or 0.0, measured.of_source or 0.0

    def stillness(self, result: np.ndarray) -> float:
        """Return the same without optical flow: the mean difference where the source does not change at its place."""
        total, count = 0.0, 0
        for n in range(1, len(result)):
            change = cv2.blur(cv2.absdiff(self.source[n], self.source[n - 1]).max(axis=2).astype(np.float32), (5, 5))
            still = change < _UNCHANGED
            total += float(cv2.absdiff(result[n], result[n - 1]).mean(axis=2)[still].sum())
            count += int(still.sum())
        return total / max(1, count)

    def fidelity(self) -> float:
        """Return the PSNR of steady stills against plain ones in dB, averaged over frames that differ."""
        pairs = [(a, b) for a, b in zip(self.plain, self.steady, strict=True) if not np.array_equal(a, b)]
        return float(np.mean([psnr(a, b) for a, b in pairs])) if pairs else float("inf")

    def sharpness(self) -> float:
        """Return the mean edge strength of the steady stills, divided by that of the plain ones."""
        return _edges(self.steady) / max(1e-9, _edges(self.plain))


def translate_clip(model: Model, clip: Path, size: int, start: float, frames: int, place: Path) -> ClipResults:
    """Translate frames from ``start`` seconds on, with a shorter side of ``size`` pixels, plain and steady."""
    small = _small(clip, size, start, frames, place / "clip.mkv")
    results, work = [], []
    for steady in (False, True):
        seen: list[tuple[np.ndarray, np.ndarray]] = []
        begin = time.process_time()
        options = VideoOptions(steady=steady)
        translate_video(
            model,
            small,
            None,
            video=options,
            observers=[lambda source, result, _, seen=seen: seen.append((source, result))],
        )
        work.append(1000 * (time.process_time() - begin) / len(seen))
        results.append(seen)
    plain, calm = results
    source = np.stack([each for each, _ in plain])
    return ClipResults(source, np.stack([r for _, r in plain]), np.stack([r for _, r in calm]), (work[0], work[1]))


def save(found: ClipResults, folder: Path, name: str) -> None:
    """Write a frame near the end as source, translation and steady translation, side by side."""
    folder.mkdir(parents=True, exist_ok=True)
    at = len(found.source) - 2
    height, width = found.plain.shape[1:3]
    source = cv2.resize(found.source[at], (width, height), interpolation=cv2.INTER_AREA)
    write_image(folder / f"{name}.png", Image(np.hstack([source, found.plain[at], found.steady[at]])))


def _small(clip: Path, size: int, start: float, frames: int, path: Path) -> Path:
    """Write the reduced clip losslessly, with its own times."""
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


def _edges(pictures: np.ndarray) -> float:
    greys = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in pictures]
    return float(
        np.mean([cv2.magnitude(*(cv2.Sobel(g, cv2.CV_32F, *way) for way in ((1, 0), (0, 1)))).mean() for g in greys])
    )
