"""Paste a result back into its source where a mask is white, or make holes there for a model that fills them."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path, PurePath, PurePosixPath
from typing import NamedTuple

import numpy as np

from i2i.images import Image, ImageError, name_images, read_image
from i2i.runtime.errors import ModelError


class Mask(NamedTuple):
    """A mask, and its name for errors."""

    image: Image
    name: str | PurePath


def mask_file(masks: Path, name: str | PurePath) -> Path:
    """Return the mask of the image of a relative name: ``masks`` itself, or the file of that name in the folder, with
    any extension. Raises ImageError if there is none.
    """
    if not masks.is_dir():
        return masks
    folder, stem = masks / PurePosixPath(name).parent, PurePosixPath(name).stem
    found = sorted(each for each in folder.glob("*") if each.stem == stem and each.is_file())
    if not found:
        raise ImageError(masks / name, "no mask of this name; expected one for each image, with any extension")
    return found[0]


def digest(masks: Path) -> str:
    """Return a hash of a mask, or of all those in a folder."""
    files = [masks / name for name in name_images(masks)] if masks.is_dir() else [masks]
    known = hashlib.sha256()
    for file in files:
        known.update(file.name.encode("utf-8", "surrogateescape") + hashlib.sha256(file.read_bytes()).digest())
    return known.hexdigest()


def read(masks: Path, name: str | PurePath) -> Mask:
    """Return the mask of the image of a relative name. Raises ImageError."""
    file = mask_file(masks, name)
    return Mask(read_image(file), file)


def with_holes(image: Image, mask: Mask) -> Image:
    """Return the image with alpha 0 where a mask is white, by half or more, for a model that fills holes.

    Raises ImageError for a mask of another size than the image.
    """
    holes = _weights(image, mask)[..., 0] >= 0.5
    alpha = np.full(holes.shape, 2**image.bits - 1, image.pixels.dtype) if image.alpha is None else image.alpha
    return replace(image, alpha=np.where(holes, 0, alpha).astype(alpha.dtype))


def _weights(source: Image, mask: Mask) -> np.ndarray:
    """Return a mask as float64 [h, w, 1] in 0..1. Raises ImageError if it has another size than its image."""
    pixels, (height, width) = mask.image.pixels, mask.image.pixels.shape[:2]
    if (height, width) != (source.height, source.width):
        raise ImageError(
            mask.name, f"the mask has {width} x {height} pixels, and its image {source.width} x {source.height}"
        )
    return pixels.astype(np.float64).mean(2, keepdims=True) / (2**mask.image.bits - 1)


def pasted(result: Image, source: Image, mask: Mask) -> Image:
    """Return the mixture of a result and its source by a mask: the result where it is white.

    Black leaves the source's pixels as they are, to the bit. The alpha channel stays that of the result. Raises
    ImageError for a mask of another size than the source, and ModelError for a result of another size or depth, or
    with a colour profile of its own.
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
