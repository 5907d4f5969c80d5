"""A sink without output, for jobs of observers alone."""

from __future__ import annotations

import numpy as np

from i2i.lost import NOTHING, Lost
from i2i.runtime.video.frame.item import Item


class Discard:
    """Takes results that only observers look at."""

    def __init__(self) -> None:
        self.frames = 0
        self.one_size, self.alpha = True, False
        self.notes: list[str] = []

    def render(self, picture: np.ndarray, alpha: np.ndarray | None = None) -> None:
        """Do nothing."""

    def write(self, rendered: None, item: Item) -> None:
        self.frames += len(item.times)

    def lost(self) -> Lost:
        """Return nothing: no result is kept."""
        return NOTHING

    def others(self, item: Item) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""
