"""Crop, resize and augment images of any size for training."""

from __future__ import annotations

from dataclasses import dataclass, replace
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
    size and mirrored with probability 1/2. The default ``load`` is the authors' 286 to 256. The other options are off
    by default; see :func:`i2i.data.augment.parse_augment`, and docs/training.md for what they mean.
    """

    size: tuple[int, int] = (256, 256)  # height, width
    load: float = 286 / 256
    flip: bool = True
    crop: Literal["random", "center"] = "random"
    rotate: float = 0.0  # most degrees, either way
    scale: tuple[float, float] = (1.0, 1.0)  # least and most magnification
    colour: float = 0.0  # most change of brightness, saturation and contrast
    source_colour: float = 0.0  # the same, of source images alone
    cutout: float = 0.0  # side of the square that is left out, relative to the image's

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
    """Position of a crop in an image, and how it is changed; the same for both images of a pair."""

    top: float = 0.5  # share of the free space, 0 to 1
    left: float = 0.5
    mirrored: bool = False
    angle: float = 0.0  # degrees
    zoom: float = 1.0
    colour: tuple[float, float, float] = (0.0, 0.0, 0.0)  # of brightness, saturation, contrast: -1 to 1, the most
    hole: tuple[float, float] = (0.5, 0.5)  # centre of the cutout, 0 to 1


def place(view: View, rng: np.random.Generator) -> Placement:
    """Draw a placement. The number of random values drawn does not depend on the view.

    What is beyond position and mirroring is drawn by a child of ``rng``, so that turning one option on leaves the draws
    of the others as they are.
    """
    top, left, coin = rng.random(3)
    mirrored = view.flip and coin < 0.5
    found = Placement(top, left, mirrored) if view.crop == "random" else Placement(mirrored=mirrored)
    if (view.rotate, view.scale, view.colour, view.source_colour, view.cutout) == (0, (1, 1), 0, 0, 0):
        return found
    turn, zoom, *colour, high, wide = rng.spawn(1)[0].random(7)
    least, most = view.scale
    return replace(
        found,
        angle=view.rotate * (2 * turn - 1),
        zoom=least * (most / least) ** zoom,
        colour=tuple(2 * value - 1 for value in colour),
        hole=(high, wide),
    )


def fit(pixels: np.ndarray, view: View, whole: tuple[int, int] | None = None, reduction: int = 1) -> np.ndarray:
    """Resize pixels [h, w, c], keeping their aspect ratio, to the smallest size that covers ``view.covered``.

    Pixels that were decoded at a part of their sides, ``whole`` divided by ``reduction`` and rounded up, become the
    same size, and each shows the same part of the source.
    """
    height, width = view.size
    sides = whole or pixels.shape[:2]
    scale = max(covered / side for covered, side in zip(view.covered, sides, strict=True))
    tall = max(height, round(sides[0] * scale))
    wide = max(width, round(sides[1] * scale))
    if (tall, wide) == pixels.shape[:2]:
        return pixels
    if any(side % reduction for side in sides):  # the last pixel counts for the part of it that is in the source
        down, across = (part * reduction / side for part, side in zip((tall, wide), sides, strict=True))
        resized = cv2.resize(pixels, None, fx=across, fy=down, interpolation=cv2.INTER_AREA)
        return resized.reshape(tall, wide, -1)  # OpenCV drops the channel of grey images
    shrinks = tall < pixels.shape[0]
    return resize(pixels, tall, wide, cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


def fit_colours(pixels: np.ndarray, view: View, whole: tuple[int, int] | None = None, reduction: int = 1) -> np.ndarray:
    """Resize pixels [h, w, 4] as ``fit`` does; each colour counts by its alpha, so that hidden ones do not."""
    resized = fit(pixels, view, whole, reduction)
    peak = np.iinfo(pixels.dtype).max
    if resized is pixels or pixels[..., 3].min() == peak:
        return resized
    weighted = pixels.astype(np.float32)
    weighted[..., :3] *= weighted[..., 3:] / peak
    weighted = fit(weighted, view, whole, reduction)
    seen = weighted[..., 3] >= 1
    colours = weighted[seen, :3] * (peak / weighted[seen, 3:])
    resized[seen, :3] = np.clip(np.rint(colours), 0, peak).astype(pixels.dtype)
    return resized


def cut(pixels: np.ndarray, view: View, placement: Placement) -> np.ndarray:
    """Crop, turn, magnify and mirror pixels [h, w, c] that ``fit`` the view to [height, width, c]."""
    height, width = view.size
    tall, wide = pixels.shape[:2]
    top = min(int(placement.top * (tall - height + 1)), tall - height)
    left = min(int(placement.left * (wide - width + 1)), wide - width)
    if placement.angle or placement.zoom != 1:
        pixels = _turned(pixels, view, placement, top, left)
    else:
        pixels = pixels[top : top + height, left : left + width]
    return pixels[:, ::-1] if placement.mirrored else pixels


def _turned(pixels: np.ndarray, view: View, placement: Placement, top: int, left: int) -> np.ndarray:
    """Return a crop, turned and magnified around its centre; beyond the image's edge is its mirror image."""
    height, width = view.size
    middle, corner = np.array([(width - 1) / 2, (height - 1) / 2]), np.array([left, top])
    angle = np.deg2rad(placement.angle)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / placement.zoom
    to_image = np.column_stack([turn, corner + middle - turn @ middle])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    planes = [  # one by one, since OpenCV turns five channels or more at once less precisely
        cv2.warpAffine(plane, to_image, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT_101)
        for plane in np.ascontiguousarray(pixels.transpose(2, 0, 1))
    ]
    return np.stack(planes, axis=2)


def altered(image: Tensor, view: View, placement: Placement, alpha: bool = False, source: bool = False) -> Tensor:
    """Change the colours of an image, float32 [c, h, w] in [-1, 1], in place, and leave a square out; return it.

    ``alpha`` is True if the last channel is alpha, and ``source`` for the source image of two domains.
    """
    values = image.numpy()
    if strength := view.colour or (view.source_colour if source else 0.0):
        _recolour(values[:3] if alpha else values, *(strength * value for value in placement.colour))
    if view.cutout:
        (top, bottom), (left, right) = (
            (max(0, round(at * side - view.cutout * side / 2)), round(at * side + view.cutout * side / 2))
            for at, side in zip(placement.hole, view.size, strict=True)
        )
        values[:, top:bottom, left:right] = 0
    return image


def recoloured(pixels: np.ndarray, domain: Domain, view: View, placement: Placement) -> np.ndarray:
    """Return pixels [h, w, c] of a domain, uint8 or uint16, with the colours of a placement."""
    if not view.colour:
        return pixels
    values = altered(to_tensor(pixels, domain), replace(view, cutout=0.0), placement, domain.alpha).numpy()
    low, half = scale(domain)
    return np.rint((values.transpose(1, 2, 0) + 1) * half + low).astype(pixels.dtype)


def _recolour(values: np.ndarray, brightness: float, saturation: float, contrast: float) -> None:
    """Change values [c, h, w] from -1 to 1 in place; only three colours have a saturation.

    NumPy computes in this thread alone, so that sums do not depend on the number of threads.
    """
    colours = values
    if len(colours) == 3:
        grey = colours.mean(0)
        colours += np.float32(saturation) * (colours - grey)
    colours += np.float32(contrast) * (colours - colours.mean()) + np.float32(brightness)
    np.clip(colours, -1, 1, out=colours)


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
