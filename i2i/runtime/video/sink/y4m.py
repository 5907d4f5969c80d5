"""Frames to standard output as YUV4MPEG2, which says its own size, rate and format: players and ffmpeg read it."""

from __future__ import annotations

from typing import IO

import av
import numpy as np

from i2i.lost import Lost
from i2i.runtime.video.errors import VideoError
from i2i.runtime.video.frame import chroma_location
from i2i.runtime.video.frame import colour as colours
from i2i.runtime.video.frame.colour import FULL, Colour
from i2i.runtime.video.frame.item import Item
from i2i.runtime.video.sink.contents import Contents, lost, of_source
from i2i.runtime.video.source.camera import Source

_FORMS = {"420": "yuv420p", "422": "yuv422p", "444": "yuv444p"}
# Only yuv420p states its chroma location; 420jpeg is CENTRE, the default.
_420 = {
    chroma_location.LEFT: "420mpeg2",
    chroma_location.TOP_LEFT: "420paldv",
    chroma_location.CENTRE: "420jpeg",
    chroma_location.UNSTATED: "420jpeg",
}


class Y4MStream:
    """A stream of raw frames at one rate. It names no matrix, so its matrix is the one that readers guess by size."""

    def __init__(self, file: IO[bytes], reader: Source, deep: bool) -> None:
        self.file, self.reader = file, reader
        self.frames = 0
        self.one_size, self.alpha = True, False
        self.notes: list[str] = []
        self._deep = deep
        self._rate = reader.options.fps or reader.clip.rate
        chroma, colour = reader.clip.chroma if reader.clip.chroma in _FORMS else "444", reader.clip.used
        self._form, self._range = _FORMS[chroma] + ("10le" if deep else ""), colour.range
        names = _420 if self._form == "yuv420p" else {chroma_location.UNSTATED: chroma + "p10" if deep else chroma}
        self._location = colour.location if colour.location in names else chroma_location.LEFT
        self._name = names.get(self._location, names[chroma_location.UNSTATED])
        self._size: tuple[int, int] | None = None
        self._first: float | None = None

    def render(self, picture: np.ndarray, alpha: np.ndarray | None = None) -> tuple[int, int, bytes]:
        """Convert RGB [h, w, 3] to height, width and the bytes of a frame."""
        height, width = picture.shape[:2]
        colour = Colour(colours.guess(width, height), self._range, location=self._location)
        frame = colours.from_rgb(picture, self._form, colour)
        return height, width, b"".join(_rows(plane, frame) for plane in frame.planes)

    def write(self, rendered: tuple[int, int, bytes], item: Item) -> None:
        height, width, data = rendered
        if self._size is None:
            self._size = (height, width)
            self.file.write(self._header(height, width))
        assert self._size == (height, width)
        for time in item.times:
            seconds = float(time * self.reader.time_base)
            self._first = seconds if self._first is None else self._first
            if round((seconds - self._first) * self._rate) != self.frames:
                raise VideoError(
                    self.reader.name, "its frame rate varies, and a pipe needs a constant one: give --fps, such as 30"
                )
            self.file.write(b"FRAME\n" + data)
            self.frames += 1

    def lost(self) -> Lost:
        """Return what the stream lacks of the source."""
        held = Contents(bits=10 if self._deep else 8, shape=self.reader.sar)
        return lost("a pipe of frames", of_source(self.reader), held)

    def others(self, item: Item) -> None:
        """Ignore packets of other streams: the format has only frames."""

    def close(self) -> None:
        self.file.flush()

    def _header(self, height: int, width: int) -> bytes:
        rate, sar = self._rate, self.reader.sar
        levels = "FULL" if self._range == FULL else "LIMITED"
        return (
            f"YUV4MPEG2 W{width} H{height} F{rate.numerator}:{rate.denominator} Ip A{sar.numerator}:{sar.denominator} "
            f"C{self._name} XCOLORRANGE={levels}\n"
        ).encode()


def _rows(plane: av.video.plane.VideoPlane, frame: av.VideoFrame) -> bytes:
    """Return a plane without the padding of its rows."""
    size = plane.width * (2 if frame.format.name.endswith("10le") else 1)
    return np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, -1)[:, :size].tobytes()
