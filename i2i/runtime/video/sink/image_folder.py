"""Writing a video as a folder of numbered images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from i2i.images import WRITABLE, Image, encode_image
from i2i.images.encode import fitting
from i2i.lost import Lost
from i2i.runtime.video.frame.item import Item
from i2i.runtime.video.sink.contents import Contents, lost, of_source
from i2i.runtime.video.source.camera import Source

TIMES = "timestamps.txt"
_DEEP = Image(np.zeros((1, 1, 3), np.uint16))
_CLEAR = Image(np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1), np.uint8))


class ImageFolder:
    """A folder that gets 000001.png, 000002.png ..., and the times at which they are shown.

    ``timestamps.txt`` is in the form that mkvmerge and x264 take (version 2): milliseconds, one a line.
    """

    def __init__(self, path: Path, reader: Source, format: str, quality: int, deep: bool) -> None:
        self.path, self.reader, self.format, self.quality = path, reader, format, quality
        self.frames = 0
        self.one_size = False
        self.notes: list[str] = []
        path.mkdir()
        self._times = open(path / TIMES, "w", encoding="ascii")  # noqa: SIM115  (closed by close)
        self._times.write("# timestamp format v2\n")
        self.alpha = fitting(_CLEAR, format)[1] is not None
        self._deep = deep

    def render(self, picture: np.ndarray, alpha: np.ndarray | None = None) -> bytes:
        """Return RGB [h, w, 3] and its alpha [h, w] as the bytes of an image file."""
        return encode_image(Image(picture, alpha), self.format, self.quality)

    def write(self, image: bytes, item: Item) -> None:
        for time in item.times:
            self.frames += 1
            (self.path / f"{self.frames:06d}{WRITABLE[self.format]}").write_bytes(image)
            self._times.write(f"{float(time * self.reader.time_base * 1000):.6f}\n")

    def lost(self) -> Lost:
        """Return what the images lack of the source."""
        bits = 8 * fitting(_DEEP, self.format)[0].dtype.itemsize if self._deep else 8
        return lost(f"a folder of {self.format} images", of_source(self.reader), Contents(bits))

    def others(self, item: Item) -> None:
        """Ignore packets of other streams: image files have no sound."""

    def close(self) -> None:
        self._times.close()
