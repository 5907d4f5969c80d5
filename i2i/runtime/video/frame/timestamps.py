"""Times at which frames are shown: the source's own, or at a constant rate."""

from __future__ import annotations

import math
from fractions import Fraction

from av.video.frame import VideoFrame

BACK = 1  # seconds by which a clock goes back that restarts, as where two recordings are joined
_SLACK = Fraction(1, 10)  # of a frame: times that a container has rounded to milliseconds


class Timestamps:
    """Assigns each frame its times, as increasing whole numbers of the output's time base.

    Without ``fps`` these are the source's own times, counted from its second ``zero``. With it, frame k of the output
    is the one that the source shows at k / fps: frames of the source are repeated or left out.
    """

    def __init__(self, time_base: Fraction, rate: Fraction, fps: Fraction | None, zero: Fraction) -> None:
        self.time_base, self.fps = time_base, fps
        self.mended = 0  # frames without a time that can be used
        self._usual = max(1, round(1 / (rate * time_base)))
        self._shift = round(zero / time_base)
        self._last: int | None = None
        self._next: int | None = None  # the number of the next frame at a constant rate

    def of(self, frame: VideoFrame, following: VideoFrame | None) -> tuple[list[int], int]:
        """Return a frame's times, and how long it is shown at the last of them."""
        time = self._growing(frame)
        duration = frame.duration or self._usual
        if following is not None and following.pts is not None and following.pts - self._shift > time:
            duration = following.pts - self._shift - time
        if self.fps is None:
            return [time], duration
        begin, end = time * self.time_base * self.fps, (time + duration) * self.time_base * self.fps
        if self._next is None:
            self._next = math.floor(begin + _SLACK)
        shown = list(range(self._next, max(self._next, math.ceil(end - _SLACK))))
        self._next += len(shown)
        return shown, 1

    def _growing(self, frame: VideoFrame) -> int:
        time = frame.pts - self._shift if frame.pts is not None else None
        if time is None or (self._last is not None and time <= self._last):
            self.mended += 1
            apart = time is None or (self._last is not None and (self._last - time) * self.time_base > BACK)
            time = 0 if self._last is None else self._last + (self._usual if apart else 1)
        self._last = time
        return time
