"""A camera as a source of frames: always the newest one, however long a translation takes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from types import SimpleNamespace
from typing import Any, Union

import av
import cv2
import numpy as np

from i2i.runtime.video.errors import VideoError
from i2i.runtime.video.frame.colour import Colour
from i2i.runtime.video.frame.item import Item
from i2i.runtime.video.frame.timestamps import Timestamps
from i2i.runtime.video.options import VideoOptions
from i2i.runtime.video.source.animation import Animation
from i2i.runtime.video.source.integrity import Integrity
from i2i.runtime.video.source.reader import Reader
from i2i.runtime.video.source.stream_info import StreamInfo

Source = Union[Reader, "Camera", Animation]

_BASE = Fraction(1, 1000)  # the camera says no times, so they are those of this clock
_PATIENCE = 10.0  # seconds without a picture after which the camera is taken to be gone


class Camera:
    """An open camera; as :class:`Reader`, with nothing but pictures. It ends with ``end``, Ctrl-C, or the camera."""

    live = True
    expected = None

    def __init__(self, number: int | str, options: VideoOptions) -> None:
        """Open the camera of that number. Raises VideoError if it gives no picture."""
        self.name, self.options = f"camera:{number}", options
        if options.start:
            raise ValueError("a camera has no past: leave out --start")
        self._capture = cv2.VideoCapture(number)
        sound, picture = self._capture.read() if self._capture.isOpened() else (False, None)
        if not sound or picture is None:
            self._capture.release()
            raise VideoError(self.name, "no such camera, or another program has it")
        height, width = picture.shape[:2]
        self.clip = StreamInfo(width, height, "yuv420p", Colour(), Fraction(1), None, Fraction(30), _BASE)
        self.time_base: Fraction = 1 / options.fps if options.fps else _BASE
        self.damage = Integrity()
        self.sar = Fraction(1)
        self.span = Fraction(0), None
        self.others: list[Any] = []
        self.stream: Any = SimpleNamespace(metadata={}, disposition=1)
        self.container: Any = SimpleNamespace(metadata={}, chapters=list)
        self._changed = threading.Condition()
        self._newest: tuple[np.ndarray, float] | None = (picture, time.monotonic())
        self._over = False
        self._thread = threading.Thread(target=self._watch, name="i2i-camera", daemon=True)
        self._thread.start()

    def __enter__(self) -> Camera:
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._over = True
            self._changed.notify()
        self._thread.join()
        self._capture.release()

    def items(self) -> Iterator[Item]:
        times = Timestamps(_BASE, self.clip.rate, self.options.fps, self.span[0])
        begin: float | None = None
        waiting: av.VideoFrame | None = None  # at a constant rate, for the end of the time for which it is shown
        while (taken := self._take()) is not None:
            picture, when = taken
            begin = when if begin is None else begin
            if self.options.end is not None and when - begin >= self.options.end:
                break
            frame = av.VideoFrame.from_ndarray(picture, "bgr24")
            frame.pts, frame.time_base = round((when - begin) / _BASE), _BASE
            if self.options.fps is None:
                yield from _timed(times, frame, None)
            elif waiting is not None:
                yield from _timed(times, waiting, frame)
            waiting = frame
        if self.options.fps is not None and waiting is not None:
            yield from _timed(times, waiting, None)

    def _take(self) -> tuple[np.ndarray, float] | None:
        """Return the newest picture, once; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None or self._over, timeout=_PATIENCE)
            taken, self._newest = self._newest, None
            return taken

    def _watch(self) -> None:
        while not self._over:
            sound, picture = self._capture.read()
            with self._changed:
                self._over = self._over or not sound
                if sound:
                    self._newest = (picture, time.monotonic())
                self._changed.notify()


def _timed(times: Timestamps, frame: av.VideoFrame, following: av.VideoFrame | None) -> Iterator[Item]:
    shown, duration = times.of(frame, following)
    if shown:
        yield Item(frame, shown, duration)
