"""Trial runs of a graph on a synthetic picture, to find its sizes and check its value range."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from i2i.runtime.adapters import convert
from i2i.runtime.adapters.convert import Infer
from i2i.runtime.errors import ModelError
from i2i.runtime.log import note
from i2i.spec import Form, Range
from i2i.text import format_range

RANGES: tuple[Range, ...] = ((0, 1), (-1, 1), (0, 255))
_BASES = (64, 128, 256, 512)  # sides to try if sizes are free; some graphs need a large one
_MULTIPLES = (1, 2, 4, 8, 16, 32, 64)


def picture(height: int, width: int, channels: int) -> np.ndarray:
    """Return a smooth coloured picture with slight noise, like a photo: float32 [h, w, c] in 0..1, always the same."""
    rng = np.random.default_rng(0)
    coarse = rng.uniform(0.1, 0.9, (5, 5, channels)).astype(np.float32)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR).reshape(height, width, channels)
    return np.clip(smooth + rng.normal(0, 0.02, smooth.shape).astype(np.float32), 0, 1)


def likeliest(infer: Infer, form: Form, channels: int) -> Range | None:
    """Return the usual range in which the picture changes least, or None: a hint for the user, never a default."""
    scores: list[tuple[float, Range]] = []
    for low, high in RANGES:
        trial = replace(form, range=(low, high), output_range=(low, high))
        for side in _BASES if form.size is None else (0,):
            try:
                image = picture(*(form.size or (side, side)), channels)
                result = convert.run(infer, image, trial)
            except ModelError:
                continue
            result = cv2.resize(result, image.shape[1::-1], interpolation=cv2.INTER_AREA).reshape(*image.shape[:2], -1)
            if result.shape == image.shape and np.isfinite(result).all():
                error = float(np.square((result - low) / (high - low) - image).mean())
                scores.append((-10 * np.log10(error + 1e-9), (low, high)))
            break
    best = max(scores, default=(0.0, None))[0]
    # A graph without biases treats all scales alike; then the first, most common range is the best guess.
    return next((range for score, range in scores if score > best - 2 and best > 6), None)


def settle_size(infer: Infer, form: Form, channels: int, multiple: int | None) -> tuple[Form, int, int, int]:
    """Return the form with its scale, the multiple and the minimum of its sides, and the channels of the output.

    Args:
        channels: of the input.
        multiple: that the user gives for height and width; None: find it.

    Raises ModelError if no size runs, or if the output is not a picture in its declared range.
    """
    if form.size is not None:
        result = _run(infer, form, *form.size, channels)
        form = replace(form, scale=_scale(form, result, *form.size))
        _check_values(form, result)
        return form, 1, 1, result.shape[2]
    bases = _BASES if multiple is None else tuple(-(-base // multiple) * multiple for base in _BASES)
    for base in bases:
        try:
            result = _run(infer, form, base, base, channels)
            break
        except ModelError as error:
            failure = error
    else:
        sides = ", ".join(map(str, bases))
        raise ModelError(f"it fails on pictures with sides of {sides} pixels: {failure}") from failure
    form = replace(form, scale=_scale(form, result, base, base))
    _check_values(form, result)
    if multiple is None:
        keeps = (m for m in _MULTIPLES if m < base and _keeps(infer, form, base + m, base + 3 * m, channels))
        multiple = next(keeps, base)
    elif not _keeps(infer, form, base + multiple, base + 3 * multiple, channels):
        raise ModelError(
            f"sides that are multiples of {multiple} are not enough: it fails on {base + multiple} x "
            f"{base + 3 * multiple} pixels; give another --multiple to `i2i describe`, or none to have it found"
        )
    least = multiple
    while least < base and not _keeps(infer, form, least, least, channels):
        least *= 2
    return form, multiple, min(least, base), result.shape[2]


def _run(infer: Infer, form: Form, height: int, width: int, channels: int) -> np.ndarray:
    return convert.run(infer, picture(height, width, channels), form)


def _keeps(infer: Infer, form: Form, height: int, width: int, channels: int) -> bool:
    """True if the graph returns finite values of ``scale`` times this height and width."""
    try:
        result = _run(infer, form, height, width, channels)
    except ModelError:
        return False
    return result.shape[:2] == (height * form.scale, width * form.scale) and bool(np.isfinite(result).all())


def _scale(form: Form, result: np.ndarray, height: int, width: int) -> int:
    scale = result.shape[0] // height
    if form.result == "curves":
        return 1
    if scale < 1 or result.shape[:2] != (height * scale, width * scale):
        raise ModelError(
            f"it returns {result.shape[1]} x {result.shape[0]} for {width} x {height} pixels; expected the same size "
            "or a whole multiple of it"
        )
    return scale


def _check_values(form: Form, result: np.ndarray) -> None:
    """Raise ModelError if most values are outside the output range, all are equal, or one is not finite."""
    low, high = sorted(form.output_range)
    least, most = float(result.min()), float(result.max())
    if not np.isfinite(result).all():
        raise ModelError(f"in range {format_range(form.range)}, it returns NaN or infinity for a picture")
    if form.result == "curves":
        return
    slack, middle = 0.02 * (high - low), (low + high) / 2
    beyond = float(((result < low - slack) | (result > high + slack)).mean())
    if most - least < slack or beyond > 0.5:
        raise ModelError(
            f"for a picture in {format_range(form.range)} it returns values from {least:.3g} to {most:.3g}, which "
            f"is no picture in {format_range(form.output_range)}; give another --range, --output-range or --result to "
            "`i2i describe`"
        )
    far = (high - low) / 2
    if least < low - far or most > high + far or least > middle or most < middle:
        note(
            f"for a picture in {format_range(form.range)}, with dark and bright pixels, it returns values from "
            f"{least:.3g} to {most:.3g}, while {format_range(form.output_range)} is taken for black to white: look at "
            "a result, and if it is too bright, dark or flat give --output-range to `i2i describe`"
        )
