"""Results that are only looked at."""

from __future__ import annotations

import numpy as np

from i2i.runtime.video.frame.item import Item


class Nowhere:
    """Takes results that only observers look at."""

    def __init__(self) -> None:
        self.frames = 0
        self.one_size = True
        self.notes: list[str] = []

    def render(self, picture: np.ndarray) -> None:
        """Nothing."""

    def write(self, rendered: None, item: Item) -> None:
        self.frames += len(item.times)

    def others(self, item: Item) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""
