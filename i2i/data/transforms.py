"""Crop and resize images of any size for training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import torch
from torch import Tensor

from i2i.images.domains import scale
from i2i.images.image import resize
from i2i.spec import Domain


@dataclass(frozen=True)
class View:
    """Size and augmentation of training images.

    An image is resized, keeping its aspect ratio, until it covers ``load`` times the size; then it is cropped to the
    size and mirrored with probability 1/2. The default ``load`` is the authors' 286 to 256.
    """

    size: tuple[int, int] = (256, 256)  # height, width
    load: float = 286 / 256
    flip: bool = True
    crop: Literal["random", "center"] = "random"

    @classmethod
    def plain(cls, size: tuple[int, int]) -> View:
        """Return the view without augmentation: the centre of an image that just covers the size."""
        return cls(size, load=1.0, flip=False, crop="center")

    @property
    def covered(self) -> tuple[float, float]:
        """Height and width that a resized image covers: ``load`` times the size."""
        return self.size[0] * self.load, self.size[1] * self.load

    def __post_init__(self) -> None:
        if min(self.size) < 1 or self.load < 1:
            raise ValueError(f"a view needs a size of at least 1 x 1 and a load of at least 1, not {self}")
        if self.crop not in ("random", "center"):
            raise ValueError(f"crop is 'random' or 'center', not {self.crop!r}")


@dataclass(frozen=True)
class Placement:
    """Position of a crop in an image and whether it is mirrored; the same for both images of a pair."""

    top: float = 0.5  # share of the free space, 0 to 1
    left: float = 0.5
    mirrored: bool = False


def place(view: View, rng: np.random.Generator) -> Placement:
    """Draw a placement. The number of random values drawn does not depend on the view."""
    top, left, coin = rng.random(3)
    mirrored = view.flip and coin < 0.5
    return Placement(top, left, mirrored) if view.crop == "random" else Placement(mirrored=mirrored)


def fit(pixels: np.ndarray, view: View) -> np.ndarray:
    """Resize pixels [h, w, c], keeping their aspect ratio, to the smallest size that covers ``view.covered``.

    Pixels whose sides were both divided by a power of two before become the same size.
    """
    height, width = view.size
    scale = max(covered / side for covered, side in zip(view.covered, pixels.shape[:2], strict=True))
    tall = max(height, round(pixels.shape[0] * scale))
    wide = max(width, round(pixels.shape[1] * scale))
    if (tall, wide) == pixels.shape[:2]:
        return pixels
    shrinks = tall < pixels.shape[0]
    return resize(pixels, tall, wide, cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


def cut(pixels: np.ndarray, view: View, placement: Placement) -> np.ndarray:
    """Crop and mirror pixels [h, w, c] that ``fit`` the view to [height, width, c]."""
    height, width = view.size
    tall, wide = pixels.shape[:2]
    top = min(int(placement.top * (tall - height + 1)), tall - height)
    left = min(int(placement.left * (wide - width + 1)), wide - width)
    pixels = pixels[top : top + height, left : left + width]
    return pixels[:, ::-1] if placement.mirrored else pixels


def to_tensor(pixels: np.ndarray, domain: Domain) -> Tensor:
    """Convert pixels [h, w, c] of a domain to float32 [c, h, w] in [-1, 1]: (v - low) / half - 1."""
    values = np.empty((pixels.shape[2], *pixels.shape[:2]), np.float32)
    low, half = scale(domain)[0][:, None, None], np.array(domain.half)[:, None, None]
    np.subtract(pixels.transpose(2, 0, 1), low, out=values)
    values *= (1 / half).astype(np.float32)
    values -= 1
    if domain.range is not None:
        np.clip(values, -1, 1, out=values)  # bicubic interpolation exceeds the values that it reads
    return torch.from_numpy(values)
