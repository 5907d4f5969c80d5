"""Conversion between images and the arrays of a graph: channels, bits, range, alpha and colour profile."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from i2i.images import Image, convert, seen, unmix
from i2i.runtime.errors import ModelError, NonFiniteError
from i2i.spec import EDGE, Background, Spec

NON_FINITE = (
    "non-finite output: the model returned NaN or infinity for this image. Its weights are damaged or its precision is "
    "too low; export an earlier state, or in fp32"
)


def to_images(array: np.ndarray, name: str = "the model") -> list[Image]:
    """Return the images of a uint8 or uint16 array [h, w], [h, w, c] or [n, h, w, c] with 1 to 4 channels.

    Raises ModelError for anything else; ``name`` is the model's name in its message.
    """
    form = f"{array.dtype} {list(array.shape)}" if isinstance(array, np.ndarray) else f"a {type(array).__name__}"
    expected = f"{name} expects uint8 or uint16 [h, w], [h, w, c] or [n, h, w, c] with 1 to 4 channels last, got {form}"
    if not isinstance(array, np.ndarray):
        raise ModelError(f"{expected}; numpy.asarray(image) makes an array of most images")
    if array.dtype not in (np.uint8, np.uint16):
        hint = ": scale it to 0..255 and round it" if array.dtype.kind == "f" else ""
        raise ModelError(expected + hint)
    if array.ndim not in (2, 3, 4) or 0 in array.shape:
        raise ModelError(expected)
    if array.ndim == 2:
        array = array[..., None]
    if array.shape[-1] > 4:
        first = array.shape[-3] in (1, 3, 4)
        raise ModelError(expected + (": its channels seem to come first; move them to the end" if first else ""))
    stack = array if array.ndim == 4 else array[None]
    if stack.shape[-1] in (1, 3):
        return [Image(image) for image in stack]
    return [Image(image[..., :-1], image[..., -1]) for image in stack]


def from_images(images: Sequence[Image], like: np.ndarray) -> np.ndarray:
    """Return the images as one array with as many axes as ``like``."""
    if like.ndim == 2 and images[0].alpha is None and images[0].channels == 1:
        return images[0].pixels[..., 0]
    arrays = [
        image.pixels if image.alpha is None else np.concatenate([image.pixels, image.alpha[..., None]], axis=2)
        for image in images
    ]
    return np.stack(arrays) if like.ndim == 4 else arrays[0]


def prepare(image: Image, spec: Spec, background: Background | None = None) -> np.ndarray:
    """Return the image as input of the graph: [h, w, c] in the source's channels and range, of type ``spec.dtype``.

    ``background`` is the filling of transparent pixels for a model that takes no alpha, as ``images.alpha`` describes;
    None: what it was trained with.
    """
    source = spec.source
    if source.channels == 4:  # the model takes alpha, and the colours stored under it
        colours = convert(image.pixels, 3, source.bits)
        alpha = image.alpha
        if alpha is None:
            alpha = np.full(image.pixels.shape[:2], 2**image.bits - 1, image.pixels.dtype)
        array = np.concatenate([colours, convert(alpha[..., None], 1, source.bits)], axis=2)
    else:
        colours = seen(image, spec.background if background is None else background)
        array = convert(colours, source.channels, source.bits)
    return np.ascontiguousarray(array, dtype=spec.dtype)


def restore(result: np.ndarray, image: Image, spec: Spec, background: Background | None = None) -> Image:
    """Return the graph's output [h, w, c] as an image with the depth, alpha, format and frames of ``image``.

    Alpha is upscaled if the model upscales. ``background`` is that of ``prepare``: a grey level is removed from
    half-transparent pixels again.

    Raises NonFiniteError for NaN or infinity, which a cast would turn black, and ModelError for another size than the
    Spec states.
    """
    check_finite(result)
    height, width = (side * spec.scale for side in image.pixels.shape[:2])
    if result.shape[:2] != (height, width):
        raise ModelError(
            f"the model returned {result.shape[1]} x {result.shape[0]} pixels for an image of "
            f"{width // spec.scale} x {height // spec.scale}; expected {width} x {height}"
        )
    target = spec.target
    if result.dtype != np.uint8:
        kind = np.uint8 if target.bits == 8 else np.uint16
        result = np.clip(np.rint(result), 0, target.peak).astype(kind)
    alpha = image.alpha
    if alpha is not None and spec.scale > 1:
        alpha = cv2.resize(alpha, (width, height), interpolation=cv2.INTER_CUBIC)
    if target.channels == 4:
        alpha = convert(np.ascontiguousarray(result[..., 3:]), 1, image.bits)[..., 0]
        result = result[..., :3]
    colours = convert(result, result.shape[2], image.bits)
    background = spec.background if background is None else background
    # An upscaled alpha is not the one that the image was composited with.
    if (
        alpha is not None
        and background != EDGE
        and spec.scale == 1
        and 4 not in (spec.source.channels, target.channels)
    ):
        colours = unmix(colours, alpha)
    # A grey profile does not describe colours, nor the reverse.
    icc = image.icc if colours.shape[2] == image.channels else None
    return Image(colours, alpha, icc, image.format, image.frames)


def check_finite(result: np.ndarray) -> None:
    """Raise NonFiniteError unless ``is_finite``."""
    if not is_finite(result):
        raise NonFiniteError(NON_FINITE)


def is_finite(result: np.ndarray) -> bool:
    """True if [h, w, c] has no NaN or infinity and is not the checkerboard with which a uint8 graph reports them.

    The checkerboard is 255 where row + column is odd, else 0, in every channel; it counts from 16 pixels on.
    """
    if result.dtype != np.uint8:
        return bool(np.isfinite(result).all())
    height, width = result.shape[:2]
    if height * width < 16 or result[0, 0].any():
        return True
    odd = (np.arange(height)[:, None] + np.arange(width)) % 2
    return not (result == (255 * odd.astype(np.uint8))[..., None]).all()


def all_finite(results: np.ndarray) -> bool:
    """True if floats of any shape, or all uint8 images [n, h, w, c], satisfy ``is_finite``."""
    return is_finite(results) if results.dtype != np.uint8 else all(map(is_finite, results))


def to_tensor(batch: np.ndarray, spec: Spec) -> np.ndarray:
    """Convert [n, h, w, c] in the source's range to float32 [n, c, h, w] in [-1, 1]."""
    return np.ascontiguousarray((batch.astype(np.float32) / (spec.source.peak / 2) - 1).transpose(0, 3, 1, 2))


def from_tensor(result: np.ndarray, spec: Spec) -> np.ndarray:
    """Convert float32 [n, c, h, w] in [-1, 1] to float32 [n, h, w, c] in the target's range."""
    return (result.transpose(0, 2, 3, 1) + 1) * (spec.target.peak / 2)
