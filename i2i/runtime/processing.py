"""Conversion between images and the arrays of a graph: channels, bits, range, alpha and colour profile."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from i2i.images import Image, convert, unmix
from i2i.images.derive import with_holes
from i2i.images.domains import beyond, clipped, scale, values_of
from i2i.runtime.errors import ModelError, NonFiniteError
from i2i.spec import EDGE, Background, Domain, Spec

NON_FINITE = (
    "non-finite output: the model returned NaN or infinity for this image. Its weights are damaged or its precision is "
    "too low; export an earlier state, or in fp32"
)


def to_images(array: np.ndarray, name: str = "the model", domain: Domain | None = None) -> list[Image]:
    """Return the images of an array [h, w], [h, w, c] or [n, h, w, c].

    They are pictures, uint8 or uint16 with 1 to 4 channels, or the bands of the ``domain``. Raises ModelError for
    anything else; ``name`` is the model's name in its message.
    """
    form = f"{array.dtype} {list(array.shape)}" if isinstance(array, np.ndarray) else f"a {type(array).__name__}"
    bands = domain if domain is not None and domain.bands else None
    wanted = "uint8 or uint16 [h, w], [h, w, c] or [n, h, w, c] with 1 to 4 channels last"
    if bands is not None:
        wanted = f"{bands.bands} [h, w, {bands.channels}] or [n, h, w, {bands.channels}]"
    expected = f"{name} expects {wanted}, got {form}"
    if not isinstance(array, np.ndarray):
        raise ModelError(f"{expected}; numpy.asarray(image) makes an array of most images")
    if bands is None and array.dtype not in (np.uint8, np.uint16):
        hint = ": scale it to 0..255 and round it" if array.dtype.kind == "f" else ""
        raise ModelError(expected + hint)
    if array.ndim not in (2, 3, 4) or 0 in array.shape:
        raise ModelError(expected)
    if array.ndim == 2:
        array = array[..., None]
    if bands is not None:
        return _bands(array, bands, expected)
    if array.shape[-1] > 4:
        first = array.shape[-3] in (1, 3, 4) and min(array.shape[-2:]) >= 16  # fewer may be channels
        raise ModelError(expected + (": its channels seem to come first; move them to the end" if first else ""))
    stack = array if array.ndim == 4 else array[None]
    if stack.shape[-1] in (1, 3):
        return [Image(image) for image in stack]
    return [Image(image[..., :-1], image[..., -1]) for image in stack]


def _bands(array: np.ndarray, domain: Domain, expected: str) -> list[Image]:
    """Return the images of an array [h, w, c] or [n, h, w, c] of bands; float64 becomes float32."""
    if array.dtype != domain.bands and (array.dtype.kind, domain.bands) != ("f", "float32"):
        raise ModelError(expected)
    if array.shape[-1] != domain.channels:
        raise ModelError(expected)
    array = array.astype(domain.bands, copy=False)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ModelError(f"{expected} with NaN or infinite values; replace them, with the mean for example")
    return [Image(image) for image in (array if array.ndim == 4 else array[None])]


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
    None: what it was trained with. Values beyond the range are clipped. Raises ModelError for an image of another kind.
    """
    values = clipped(_values(image, spec, background), spec.source)
    return np.ascontiguousarray(with_holes(values) if spec.inpaints else values, dtype=spec.dtype)


def beyond_range(image: Image, spec: Spec) -> tuple[str, ...]:
    """Return the name of what ``prepare`` clips of an image; none if its values are in the range."""
    return () if spec.source.range is None else beyond(_values(image, spec, None), spec.source)


def _values(image: Image, spec: Spec, background: Background | None) -> np.ndarray:
    try:
        return values_of(image, spec.source, spec.background if background is None else background)
    except ValueError as error:
        raise ModelError(f"the model does not take this image: {error}") from error


def restore(result: np.ndarray, image: Image, spec: Spec, background: Background | None = None) -> Image:
    """Return the graph's output [h, w, c] as an image with the depth, alpha, format and frames of ``image``.

    Bands, and pictures with a range, have the depth of the target domain. Alpha is upscaled if the model upscales.
    ``background`` is that of ``prepare``: a grey level is removed from half-transparent pixels again.

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
    target, result = spec.target, stored(result, spec.target)
    if spec.inpaints:
        return _filled(result, image)
    if target.bands:
        return Image(result, format=image.format, frames=image.frames)
    bits = target.bits if image.bands or spec.source.range or target.range else image.bits
    alpha = None if image.alpha is None else convert(image.alpha[..., None], 1, bits)[..., 0]
    if alpha is not None and spec.scale > 1:
        alpha = cv2.resize(alpha, (width, height), interpolation=cv2.INTER_CUBIC)
    if target.alpha:
        alpha = convert(np.ascontiguousarray(result[..., 3:]), 1, bits)[..., 0]
        result = result[..., :3]
    colours = convert(result, result.shape[2], bits)
    if alpha is not None and is_mixed(spec, background):
        colours = unmix(colours, alpha)
    # A grey profile does not describe colours, nor the reverse.
    icc = image.icc if colours.shape[2] == image.channels else None
    return Image(colours, alpha, icc, image.format, image.frames)


def is_mixed(spec: Spec, background: Background | None = None) -> bool:
    """True if the grey under half-transparent pixels is to be taken out of a result.

    It is not if the model enlarges: an upscaled alpha is not the one that the image was composited with.
    """
    grey = (spec.background if background is None else background) != EDGE
    return grey and spec.scale == 1 and not spec.source.alpha and not spec.target.alpha


def _filled(result: np.ndarray, image: Image) -> Image:
    """Return the image with its holes filled by the result; all other pixels stay as they are."""
    filled = convert(result, 3, image.bits)
    known = convert(image.pixels, 3, image.bits)
    if image.alpha is not None:
        known = np.where(image.alpha[..., None] == 0, filled, known)
    return Image(known, None, image.icc if image.channels == 3 else None, image.format, image.frames)


def stored(result: np.ndarray, domain: Domain) -> np.ndarray:
    """Return a graph's values [..., channels] as the domain stores them: within its range, whole numbers rounded."""
    if result.dtype == domain.dtype == "uint8":
        return result
    low, high = np.array(domain.ranges, np.float32).T
    values = result if domain.dtype == "float32" else np.rint(result)
    return np.clip(values, low, high).astype(domain.dtype)


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


def to_tensor(batch: np.ndarray, domain: Domain) -> np.ndarray:
    """Convert [n, h, w, c] in a domain's range to float32 [n, c, h, w] in [-1, 1]."""
    low, half = scale(domain)
    values = (batch - low) / half - np.float32(1)
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2))


def from_tensor(result: np.ndarray, domain: Domain) -> np.ndarray:
    """Convert float32 [n, c, h, w] in [-1, 1] to float32 [n, h, w, c] in a domain's range."""
    low, half = scale(domain)
    return (result.transpose(0, 2, 3, 1) + np.float32(1)) * half + low
