"""Decoded frames and packets on their way from reader to sink."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from av.packet import Packet
from av.video.frame import VideoFrame


@dataclass
class Item:
    """A frame that is to be shown at ``times``, and what lay before it in the file; without a frame, only that."""

    frame: VideoFrame | None = None
    times: list[int] = field(default_factory=list)  # in units of the reader's time_base
    duration: int = 0  # of the last of them
    packets: list[Packet] = field(default_factory=list)
    observers: Sequence[Callable[..., object]] = ()  # who looks at it
    place: FramePosition | None = None  # where frames are carried on from one to the next


@dataclass(frozen=True)
class FramePosition:
    """Position of a frame in the video: its number, the number of the first frame whose statistics reach it, the
    seconds since the frame before (ignored for the first), and True if a scene begins with it."""

    number: int
    first: int
    step: float
    cut: bool = False

    @property
    def begins(self) -> bool:
        return self.number == self.first
