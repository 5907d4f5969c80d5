"""Animated GIF, WebP and PNG as a source of frames, decoded by Pillow, which knows their disposal and loop count."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import PIL.Image
from PIL import ImageSequence

from i2i.images import Header
from i2i.lost import fewer_bits
from i2i.runtime.video.errors import VideoError
from i2i.runtime.video.frame.colour import LIMITED, Colour
from i2i.runtime.video.frame.item import Item
from i2i.runtime.video.frame.timestamps import Timestamps
from i2i.runtime.video.options import VideoOptions
from i2i.runtime.video.source.integrity import Integrity
from i2i.runtime.video.source.stream_info import StreamInfo

_TICKS = {"GIF": 100, "WEBP": 1000, "PNG": 90_000}  # a second; those of PNG are fractions
_QUICK = 10  # milliseconds of delay up to which browsers show a frame for _USUAL
_USUAL = 100


class Animation:
    """An open animation; as :class:`Reader`, with nothing but pictures.

    A delay of at most 10 ms counts as 100 ms, as in browsers.
    """

    live = False

    def __init__(self, path: str, header: Header, options: VideoOptions) -> None:
        """Open a file whose ``header`` is from ``detect.animation``. Raises VideoError for a file without a frame."""
        self.name, self.options = path, options
        self._base = Fraction(1, _TICKS[header.format])
        try:
            self._image = PIL.Image.open(path, formats=[header.format])
        except (OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError) as error:
            raise VideoError(path, f"damaged {header.format} data: {error}") from error
        self._count = header.frames
        length, plays = self._count * _USUAL / 1000, self._image.info.get("loop")
        if header.format == "GIF":  # which counts repetitions, and without a count is shown once
            plays = 1 if plays is None else plays + 1 if plays else 0
        lost = ["colour profile"] if "icc_profile" in self._image.info else []
        lost += [fewer_bits(8)] if header.bits > 8 else []
        self.clip = StreamInfo(
            self._image.width, self._image.height, "rgba", Colour(range=LIMITED), Fraction(1), None, Fraction(10),
            self._base, self._count, length, header.format.lower(), lost=tuple(lost), plays=plays or 0,
            lossless=header.coding == "lossless",
        )  # fmt: skip
        self.time_base: Fraction = 1 / options.fps if options.fps else self._base
        self.damage = Integrity()
        self.sar = Fraction(1)
        self.span = Fraction(options.start).limit_denominator(10**6), None
        self.expected = None if options.fps or options.start or options.end else self._count
        self.others: list[Any] = []
        self.stream: Any = SimpleNamespace(metadata={}, disposition=1)
        self.container: Any = SimpleNamespace(metadata={}, chapters=list)

    def __enter__(self) -> Animation:
        return self

    def __exit__(self, *_: object) -> None:
        self._image.close()

    def items(self) -> Iterator[Item]:
        """Yield every frame as it is shown, composited on the frames before it."""
        times = Timestamps(self._base, self.clip.rate, self.options.fps, self.span[0])
        for picture, begin, duration in self._frames():
            if self.options.end is not None and begin >= self.options.end - 1e-6:
                break
            if begin + duration <= self.options.start + 1e-6:
                continue
            frame = av.VideoFrame.from_ndarray(picture, "rgba")
            frame.pts, frame.time_base = round(max(begin, self.span[0]) / self._base), self._base
            frame.duration = max(1, round((begin + duration) / self._base) - frame.pts)
            self.damage.frames += 1
            shown, last = times.of(frame, None)
            if shown:
                yield Item(frame, shown, last)
        if not self.damage.frames:
            raise VideoError(self.name, self.damage.nothing(bool(self.options.start or self.options.end)))

    def _frames(self) -> Iterator[tuple[np.ndarray, Fraction, Fraction]]:
        """Yield each frame as RGBA [h, w, 4], with the seconds at which it is shown and for how long."""
        begin = Fraction(0)
        try:
            for frame in ImageSequence.Iterator(self._image):
                if frame.info.get("default_image") and frame.tell() == 0:  # for programs that show no animation
                    continue
                picture = np.asarray(frame.convert("RGBA"))
                delay = Fraction(frame.info.get("duration") or 0).limit_denominator(65535)
                duration = (delay if delay > _QUICK else Fraction(_USUAL)) / 1000
                yield picture, begin, duration
                begin += duration
        except (OSError, SyntaxError, ValueError, EOFError, IndexError, PIL.Image.DecompressionBombError) as error:
            self.damage.unreadable(str(error))
            self.damage.expected = self._count
