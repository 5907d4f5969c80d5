"""From an image of any size to the rectangle that a network trains on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class View:
    """How an image is looked at.

    It is resized, its aspect ratio kept, until it covers ``load`` times the size; then the size is cropped, and in half
    of the cases mirrored. The default load is the authors' 286 to 256.
    """

    size: tuple[int, int] = (256, 256)  # height, width
    load: float = 286 / 256
    flip: bool = True
    crop: Literal["random", "center"] = "random"

    def __post_init__(self) -> None:
        if min(self.size) < 1 or self.load < 1:
            raise ValueError(f"a view needs a size of at least 1 x 1 and a load of at least 1, not {self}")
        if self.crop not in ("random", "center"):
            raise ValueError(f"crop is 'random' or 'center', not {self.crop!r}")


@dataclass(frozen=True)
class Placement:
    """Where a view lies in an image: the same for both images of a pair."""

    top: float = 0.5  # of the room there is, 0 to 1
    left: float = 0.5
    mirrored: bool = False


def place(view: View, rng: np.random.Generator) -> Placement:
    """Draws the same number of values whatever the view, so that nothing drawn after it depends on it."""
    top, left, coin = rng.random(3)
    mirrored = view.flip and coin < 0.5
    return Placement(top, left, mirrored) if view.crop == "random" else Placement(mirrored=mirrored)


def look(pixels: np.ndarray, view: View, placement: Placement) -> np.ndarray:
    """Pixels [h, w, c] as the view [height, width, c] shows them."""
    height, width = view.size
    scale = max(height * view.load / pixels.shape[0], width * view.load / pixels.shape[1])
    tall = max(height, round(pixels.shape[0] * scale))
    wide = max(width, round(pixels.shape[1] * scale))
    if (tall, wide) != pixels.shape[:2]:
        shrinks = tall < pixels.shape[0]
        resized = cv2.resize(pixels, (wide, tall), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
        pixels = resized.reshape(tall, wide, -1)  # OpenCV drops the channel of grey images
    top = min(int(placement.top * (tall - height + 1)), tall - height)
    left = min(int(placement.left * (wide - width + 1)), wide - width)
    pixels = pixels[top : top + height, left : left + width]
    return pixels[:, ::-1] if placement.mirrored else pixels


def to_tensor(pixels: np.ndarray) -> Tensor:
    """Pixels [h, w, c] of 8 or 16 bits as float32 [c, h, w] in [-1, 1]: 2 v / peak - 1."""
    values = np.empty((pixels.shape[2], *pixels.shape[:2]), np.float32)
    np.multiply(pixels.transpose(2, 0, 1), np.float32(2 / np.iinfo(pixels.dtype).max), out=values)
    values -= 1
    return torch.from_numpy(values)
