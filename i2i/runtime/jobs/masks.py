"""Paste a result back into its source where a mask is white, or make holes there for a model that fills them."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path, PurePath, PurePosixPath
from typing import NamedTuple

import numpy as np

from i2i.images import IMAGE_SUFFIXES, Image, ImageError, name_images, read_image
from i2i.runtime.errors import ModelError


class Mask(NamedTuple):
    """A mask, and its name for errors."""

    image: Image
    name: str | PurePath


def mask_file(masks: Path, name: str | PurePath) -> Path:
    """Return the mask of the image of a relative name.

    It is ``masks`` itself, or in that folder the file of just that name, else the one that differs in its extension.
    Raises ImageError if there is none, or if there are several.
    """
    if not masks.is_dir():
        return masks
    same = masks / PurePosixPath(name)
    if same.is_file():
        return same
    found = sorted(each for each in same.parent.glob("*") if each.stem == same.stem and _is_image(each))
    if not found:
        raise ImageError(same, "no mask of this name; expected one for each image, of any image format")
    if len(found) > 1:
        names = ", ".join(each.name for each in found)
        raise ImageError(same, f"several masks of this name: {names}; expected one: remove the others")
    return found[0]


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()


def digest(masks: Path) -> str:
    """Return a hash of a mask, or of all those in a folder."""
    files = [masks / name for name in name_images(masks)] if masks.is_dir() else [masks]
    known = hashlib.sha256()
    for file in files:
        known.update(file.name.encode("utf-8", "surrogateescape") + hashlib.sha256(file.read_bytes()).digest())
    return known.hexdigest()


def read(masks: Path, name: str | PurePath, max_pixels: int) -> Mask:
    """Return the mask of the image of a relative name. Raises ImageError, also for one of more pixels than that."""
    file = mask_file(masks, name)
    return Mask(read_image(file, max_pixels), file)


def with_holes(image: Image, mask: Mask) -> Image:
    """Return the image with alpha 0 where a mask is white, by half or more, for a model that fills holes.

    Raises ImageError for a mask of another size than the image, or of bands.
    """
    holes = _weights(image, mask)[..., 0] >= 0.5
    alpha = np.full(holes.shape, 2**image.bits - 1, image.pixels.dtype) if image.alpha is None else image.alpha
    return replace(image, alpha=np.where(holes, 0, alpha).astype(alpha.dtype))


def _weights(source: Image, mask: Mask) -> np.ndarray:
    """Return a mask as float64 [h, w, 1] in 0..1.

    Raises ImageError if it has another size than its image, or transparency or bands, whose white is not known.
    """
    if mask.image.bands:
        raise ImageError(mask.name, f"it has {mask.image.kind}; a mask is a picture of 8 or 16 bits")
    if mask.image.alpha is not None and mask.image.alpha.min() < 2**mask.image.bits - 1:
        raise ImageError(mask.name, "a mask has no transparency, where nothing is black or white; save it on black")
    pixels, (height, width) = mask.image.pixels, mask.image.pixels.shape[:2]
    if (height, width) != (source.height, source.width):
        raise ImageError(
            mask.name, f"the mask has {width} x {height} pixels, and its image {source.width} x {source.height}"
        )
    return pixels.astype(np.float64).mean(2, keepdims=True) / (2**mask.image.bits - 1)


def pasted(result: Image, source: Image, mask: Mask) -> Image:
    """Return the mixture of a result and its source by a mask: the result where it is white.

    Black leaves the source's pixels as they are, to the bit. The alpha channel stays that of the result. Raises
    ImageError for a mask of another size than the source or of bands, and ModelError for a result of another size or
    depth, or with a colour profile of its own.
    """
    weights, size = _weights(source, mask), (source.height, source.width)
    alike = (result.height, result.width, result.bits, result.icc) == (*size, source.bits, source.icc)
    if not alike or result.bands or source.bands:
        raise ModelError(
            f"the result has {result.width} x {result.height} pixels of {result.bits} bits, and its source "
            f"{source.width} x {source.height} of {source.bits}: it cannot be pasted back by a mask, which needs "
            "pictures of equal sizes, bits and colour profiles"
        )
    channels = max(result.channels, source.channels)
    made, before = (np.broadcast_to(each.pixels, (*size, channels)).astype(np.float64) for each in (result, source))
    mixed = np.rint(weights * made + (1 - weights) * before).astype(result.pixels.dtype)
    return replace(result, pixels=mixed)
