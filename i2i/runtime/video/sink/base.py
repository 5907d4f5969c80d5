"""The base class of sinks, which by itself keeps nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from i2i.lost import NOTHING, Lost
from i2i.runtime.video.frame.item import Item


class Sink:
    """Receiver of the results: a file, a folder of images, a pipe; this one is for results that are only looked at.

    Attributes:
        frames: number of frames written.
        notes: messages about the result.
        one_size: True if all frames have the size of the first.
        alpha: True if frames may be transparent.
    """

    one_size = True
    alpha = False

    def __init__(self) -> None:
        self.frames = 0
        self.notes: list[str] = []

    def render(self, picture: np.ndarray, alpha: np.ndarray | None = None) -> Any:
        """Convert RGB [h, w, 3] and its alpha [h, w] to what ``write`` takes; any thread may call this."""

    def write(self, rendered: Any, item: Item) -> None:
        """Write a frame at each of its times, and what lay before it in the source."""
        self.frames += len(item.times)

    def others(self, item: Item) -> None:
        """Copy the packets of an item that has no frame, if the sink has them."""

    def lost(self) -> Lost:
        """Return what the result lacks of the source."""
        return NOTHING

    def close(self) -> None:
        """End the result."""
