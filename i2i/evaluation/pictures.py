"""Images of an evaluation: read, resized without aliasing, and what the instruments see in them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image as PilImage

from i2i.data.layout import Source
from i2i.images import Image, ImageError, convert, flatten, read_image
from i2i.images.derive import derive_image

RESIZE = "Pillow bicubic, antialiased"
BACKGROUND = 255  # behind transparent pixels, as a viewer shows them


def resize(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return [h, w, c] of any type as float32 [height, width, c].

    The filter is Pillow's bicubic one, which widens when it reduces, so that nothing aliases; a filter that does not
    changes Frechet distances by several points (Parmar et al. 2022, https://arxiv.org/abs/2104.11222). Nothing is
    rounded.
    """
    if pixels.shape[:2] == (height, width):
        return pixels.astype(np.float32)
    planes = [PilImage.fromarray(pixels[..., c].astype(np.float32)) for c in range(pixels.shape[2])]
    return np.stack([np.asarray(plane.resize((width, height), PilImage.Resampling.BICUBIC)) for plane in planes], 2)


def nearest(count: int, of: int) -> np.ndarray:
    """Return the index among ``of`` pixels of the nearest one to each of ``count`` pixels over the same length."""
    return np.minimum((np.arange(count) + 0.5) * of / count, of - 1).astype(int)


def rounded(values: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Return float values as pixels of the type of ``like``."""
    peak = np.iinfo(like.dtype).max
    return np.clip(np.rint(values), 0, peak).astype(like.dtype)


def cover(image: Image, height: int, width: int, unmixed: bool = False) -> Image:
    """Return the image resized until it covers the size, with its aspect ratio, and cropped at the centre.

    Colours are mixed by their alpha, so that hidden ones do not show at edges. ``unmixed`` takes the nearest pixels
    instead of mixing them, for label maps.
    """
    scale = max(height / image.height, width / image.width)
    tall, wide = max(height, round(image.height * scale)), max(width, round(image.width * scale))
    top, left = (tall - height) // 2, (wide - width) // 2
    inside = slice(top, top + height), slice(left, left + width)
    if unmixed:
        taken = np.ix_(nearest(tall, image.height)[inside[0]], nearest(wide, image.width)[inside[1]])
        alpha = None if image.alpha is None else image.alpha[taken]
        return Image(image.pixels[taken], alpha, format=image.format)
    pixels = rounded(resize(image.pixels, tall, wide), image.pixels)
    if image.alpha is None:
        return Image(pixels[inside], format=image.format)
    share = resize(image.alpha[..., None], tall, wide)
    alpha = rounded(share, image.alpha)[..., 0]
    seen = alpha > 0
    mixed = resize(image.pixels * image.alpha[..., None].astype(np.float32), tall, wide)
    pixels[seen] = rounded(mixed[seen] / share[seen], pixels)
    return Image(pixels[inside], alpha[inside], format=image.format)


class Picture:
    """An image of an evaluation, with views that are computed once."""

    def __init__(self, image: Image, name: str) -> None:
        self.image, self.name = image, name
        self.pixels = flatten(image, BACKGROUND)
        self._views: dict[object, Any] = {}

    @property
    def rgb(self) -> np.ndarray:
        """[h, w, 3] uint8."""
        return convert(self.pixels, 3, 8)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.image.height, self.image.width

    def view(self, instrument: Callable[[Picture], Any]) -> Any:
        """Return what an instrument sees in this image; it looks once."""
        key = id(instrument)
        if key not in self._views:
            self._views[key] = instrument(self)
        return self._views[key]

    def like(self, other: Picture, channels: int) -> np.ndarray:
        """Return the pixels with so many channels, and with the bits, the height and the width of another image."""
        pixels = convert(self.pixels, channels, other.image.bits)
        return pixels if self.size == other.size else rounded(resize(pixels, *other.size), pixels)

    def beside(self, other: Picture) -> tuple[np.ndarray, np.ndarray]:
        """Return the pixels of both images in the form of the other one; in colour if one of them is, so that the
        colours of a result count where its truth is grey."""
        channels = max(self.pixels.shape[2], other.pixels.shape[2])
        return self.like(other, channels), other.like(other, channels)


def read(source: Source, size: tuple[int, int] | None = None, unmixed: bool = False) -> tuple[Picture, str]:
    """Read an image or its half, and return it, at ``size`` if there is one, with the digest of what was decoded.

    ``size`` is height and width; see :func:`cover`. A source that is made of its target is made of the resized one.

    Raises ImageError for a file that cannot be read.
    """
    image = read_image(source.path)
    if image.bands:
        raise ImageError(
            source.path, f"it has {image.kind}, and an evaluation is of pictures, grey or RGB of 8 or 16 bits; for "
            "bands there are the functions of i2i.metrics, such as psnr(image, truth, peak=...)"
        )  # fmt: skip
    if source.half is not None:
        middle = image.width // 2
        columns = slice(source.half * middle, (source.half + 1) * middle)
        alpha = None if image.alpha is None else image.alpha[:, columns]
        image = Image(np.ascontiguousarray(image.pixels[:, columns]), alpha, format=image.format)
    if source.derive:
        if size is not None:  # first, as in training, since noise and blocks would vanish in a smaller image
            image, size = cover(image, *size, unmixed), None
        image = derive_image(image, source.derive, source.name)
    found = hashlib.blake2b(repr(image.pixels.shape).encode(), digest_size=16)
    found.update(np.ascontiguousarray(image.pixels).data)
    if image.alpha is not None and image.alpha.min() < np.iinfo(image.alpha.dtype).max:
        found.update(np.ascontiguousarray(image.alpha).data)
    return Picture(image if size is None else cover(image, *size, unmixed), str(source.path)), found.hexdigest()
