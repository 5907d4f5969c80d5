"""The source of a video whose frames are made here, and not decoded."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace
from typing import Any

from i2i.runtime.video.frame.colour import Colour
from i2i.runtime.video.options import VideoOptions
from i2i.runtime.video.source.stream_info import StreamInfo


class Frames:
    """A source for a sink alone: RGB frames at a constant rate, without sound, titles or chapters."""

    live = False

    def __init__(self, name: str, height: int, width: int, options: VideoOptions, animated: bool) -> None:
        """``options.fps`` is the rate; ``animated`` is for an image format, whose result repeats without end."""
        assert options.fps is not None
        self.name, self.options = name, options
        self.time_base, self.sar = 1 / options.fps, Fraction(1)
        self.clip = StreamInfo(
            width, height, "yuv420p", Colour(), self.sar, None, options.fps, self.time_base,
            plays=0 if animated else None,
        )  # fmt: skip
        self.span = Fraction(0), None
        self.others: list[Any] = []
        self.stream: Any = SimpleNamespace(metadata={}, disposition=1)
        self.container: Any = SimpleNamespace(metadata={}, chapters=list)
