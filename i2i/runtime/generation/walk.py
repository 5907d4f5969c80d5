"""A walk through the latent space of a generator, from seed to seed, as a video."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np

from i2i import sampling
from i2i.runtime.generation.outputs import Progress, as_rgb, check_new
from i2i.runtime.model.generator import Generator
from i2i.runtime.video.detect import CONTAINERS
from i2i.runtime.video.errors import VideoError
from i2i.runtime.video.frame.item import Item
from i2i.runtime.video.options import VideoOptions
from i2i.runtime.video.sink.video_file import VideoFile
from i2i.runtime.video.source.frames import Frames
from i2i.runtime.video.workspace import publish, workspace
from i2i.spec import Prior
from i2i.text import printable

ANIMATIONS = (".gif", ".webp", ".apng")
SIDE = 256
"""Images whose longest side is shorter are enlarged by the least whole factor that reaches it."""


def write_walk(
    generator: Generator, z: np.ndarray, path: Path, overwrite: bool, progress: Progress, seconds: float, fps: Any
) -> None:
    """Write a video that passes through the rows of z, ``seconds`` from each to the next, at a rate that VideoOptions
    takes.

    Raises ValueError for wrong arguments and VideoError for a video that cannot be written.
    """
    video = VideoOptions(fps=fps)
    assert video.fps is not None
    if not 0 < seconds <= 3600:
        raise ValueError(f"seconds is {seconds}; expected more than 0 and at most 3600 from one seed to the next")
    if len(z) < 2:
        raise ValueError("a walk needs at least 2 seeds; give -n 2 or more")
    if path.suffix.lower() not in CONTAINERS:
        raise ValueError(f"{printable(path)}: videos are written as {', '.join(sorted(CONTAINERS))}")
    check_new(path, overwrite)
    steps = max(1, round(seconds * video.fps))
    way = np.stack(list(positions(generator.prior, z, steps)))
    height, width = generator.prior.size
    factor = max(1, -(-SIDE // max(height, width)))
    animated = path.suffix.lower() in ANIMATIONS
    source = Frames(generator.name, height * factor, width * factor, video, animated)
    with workspace(path) as place:
        result = place / f"video{path.suffix}"
        sink = VideoFile(result, path, source, False)
        try:
            for time, array in enumerate(generator.draw(way)):
                picture = as_rgb(array).repeat(factor, axis=0).repeat(factor, axis=1)
                sink.write(sink.render(picture), Item(None, [time], 1))
                progress(time + 1, len(way))
            sink.close()
        except BaseException as error:
            with suppress(Exception):
                sink.close()
            if isinstance(error, av.FFmpegError):
                raise VideoError(path, error.strerror or str(error)) from error
            raise
        publish(result, path)


def positions(prior: Prior, z: np.ndarray, steps: int) -> Iterator[np.ndarray]:
    """Yield the z of each frame: the first row, ``steps`` more to each next one."""
    for start, end in pairwise(z):
        yield from (sampling.between(prior, start, end, step / steps) for step in range(steps))
    yield z[-1]
