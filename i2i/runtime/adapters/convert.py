"""Conversion between images and the tensors of a third-party graph, by its ``Form``."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from i2i.runtime.adapters.fixed_size import tiled
from i2i.runtime.errors import ModelError
from i2i.spec import Form, Spec

Infer = Callable[[np.ndarray, Form, np.ndarray | None], np.ndarray]
"""The graph, from the tensor of an image and a mask of its holes [h, w], 1 or 0, or None, to its output tensor."""

_CURVES = 8  # iterations of the curve (Guo et al., Zero-Reference Deep Curve Estimation, eq. 3 and sec. 3.2)
_HOLE = 0.5  # alpha below which a pixel belongs to a hole, where holes were resized
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # Rec. 601


def translate(infer: Infer, batch: np.ndarray, spec: Spec) -> np.ndarray:
    """Translate a batch: [n, h, w, c] in the source's range to float32 [n, h * scale, w * scale, c'] in the target's.

    Runs one image at a time: a graph with a free batch axis may still mix the images of a batch. Raises ModelError if
    the graph fails or returns another size than its Form states.
    """
    top = np.float32(spec.source.peak)
    return np.stack([_one(infer, image / top, spec) for image in batch]) * np.float32(spec.target.peak)


def _one(infer: Infer, image: np.ndarray, spec: Spec) -> np.ndarray:
    """Translate one image, [h, w, c] in 0..1, to the same range, without clipping."""
    form = spec.form
    assert form is not None
    if form.result == "curves":
        return _brightened(image, _through(infer, image, spec, form))
    if form.order != "y":
        return _through(infer, image, spec, form)
    luma = image @ _LUMA
    colour = _resized((image - luma[..., None])[..., [0, 2]], luma.shape[0] * form.scale, luma.shape[1] * form.scale)
    return _coloured(_through(infer, luma[..., None], spec, form)[..., 0], colour)


def _coloured(luma: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """Return RGB from a luma, clipped to 0..1, and the differences of red and blue from it [h, w, 2].

    Cr and Cb are multiples of these differences, so the image keeps its own colour, upscaled.
    """
    luma = np.where(np.isfinite(luma), np.clip(luma, 0, 1), np.nan)
    red, blue = luma + colour[..., 0], luma + colour[..., 1]
    green = luma - (_LUMA[0] * colour[..., 0] + _LUMA[2] * colour[..., 1]) / _LUMA[1]
    return np.stack([red, green, blue], axis=2)


def _brightened(image: np.ndarray, curves: np.ndarray) -> np.ndarray:
    """Apply x + r (x^2 - x) 8 times, with 8 maps r or one; maps of another size are resized, being smooth."""
    curves = _resized(curves, image.shape[0], image.shape[1], cv2.INTER_LINEAR)
    maps = np.split(curves, curves.shape[2] // image.shape[2], axis=2)
    for step in range(_CURVES):
        image = image + maps[step % len(maps)] * (image * image - image)
    return image


def _through(infer: Infer, image: np.ndarray, spec: Spec, form: Form) -> np.ndarray:
    """Run the graph on the image, resized, tiled or padded to a size it accepts: [h * scale, w * scale, c']."""
    height, width = image.shape[:2]
    if form.result == "curves" and form.size is not None:
        return _graph(infer, _resized(image, *form.size), form)
    if form.size is not None:
        if (height, width) == form.size:
            return _graph(infer, image, form)
        if form.fit == "tile":
            return tiled(lambda tile: _graph(infer, tile, form), image, form.size, form.scale)
        return _resized(_graph(infer, _resized(image, *form.size), form), height * form.scale, width * form.scale)
    padded = [
        max(-(-side // spec.multiple), -(-spec.minimum // spec.multiple)) * spec.multiple for side in (height, width)
    ]
    if padded != [height, width]:
        image = np.pad(image, ((0, padded[0] - height), (0, padded[1] - width), (0, 0)), "symmetric")
    result = _graph(infer, image, form)
    expected = (padded[0] * form.scale, padded[1] * form.scale)
    if result.shape[:2] != expected:
        raise ModelError(
            f"the model returned {result.shape[1]} x {result.shape[0]} pixels for {padded[1]} x {padded[0]}; expected "
            f"{form.scale} times the height and width. Give `i2i describe` the multiple that its sides must be of: "
            "--multiple"
        )
    return result[: height * form.scale, : width * form.scale]


def _graph(infer: Infer, image: np.ndarray, form: Form) -> np.ndarray:
    """Run the graph on [h, w, c] in 0..1 without padding or resizing; return its result in 0..1 (curves: unscaled)."""
    result = run(infer, image, form)
    if form.result == "curves":
        return result
    low, high = form.output_range
    return (result - np.float32(low)) / np.float32(high - low)


def run(infer: Infer, image: np.ndarray, form: Form) -> np.ndarray:
    """Return the graph's output as ``from_tensor`` does for an image in 0..1, with alpha where holes have a mask."""
    mask = None
    if form.masked and image.shape[2] == 4:
        image, mask = image[..., :3], (image[..., 3] < _HOLE).astype(np.float32)
    return from_tensor(infer(to_tensor(image, form), form, mask), form)


def to_tensor(image: np.ndarray, form: Form) -> np.ndarray:
    """Return [h, w, c] in 0..1 as the graph's input: [1, c, h, w] or [1, h, w, c] in its order, range and type."""
    low, high = form.range
    values = _ordered(image, form) * np.float32(high - low) + np.float32(low)
    if form.dtype == "uint8":
        values = np.rint(values)
    if form.layout == "nchw":
        values = values.transpose(2, 0, 1)
    return np.ascontiguousarray(values[None], form.dtype)


def from_tensor(result: np.ndarray, form: Form) -> np.ndarray:
    """Return the graph's output as float32 [h, w, c] in RGB order and the graph's own range.

    Raises ModelError unless the output is one image.
    """
    if result.ndim != 4 or len(result) != 1:
        raise ModelError(f"the model returned {list(result.shape)}; expected one image, of 4 axes with a batch of 1")
    image = result[0].transpose(1, 2, 0) if form.layout == "nchw" else result[0]
    return _ordered(image.astype(np.float32), form)


def _ordered(image: np.ndarray, form: Form) -> np.ndarray:
    """Swap red and blue if the graph works in BGR; alpha stays last."""
    if form.order != "bgr" or image.shape[2] not in (3, 4):
        return image
    return image[..., [2, 1, 0, 3][: image.shape[2]]]


def _resized(image: np.ndarray, height: int, width: int, by: int | None = None) -> np.ndarray:
    """Resize to height x width: bicubic to enlarge, area averaging to shrink, unless ``by`` names an interpolation."""
    if image.shape[:2] == (height, width):
        return image
    if by is None:
        by = cv2.INTER_AREA if height <= image.shape[0] and width <= image.shape[1] else cv2.INTER_CUBIC
    result = cv2.resize(np.ascontiguousarray(image), (width, height), interpolation=by)
    return result.reshape(height, width, image.shape[2])
