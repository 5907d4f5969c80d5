"""Transparent pictures for networks that take no alpha: what they see, and the result under its alpha again.

A picture with alpha stores straight colours: alpha says how much of each one shows. If the network saw the picture
composited on a grey, half-transparent pixels would hold a share of that grey, which would show as a fringe once the
result has its alpha again. There are two ways around it, and training and translation share both:

``"edge"``
    The network sees the stored colour wherever alpha is above 0. Where alpha is 0, whatever the file stores there is
    replaced by a smooth continuation of the nearest visible colours (push-pull, after Gortler et al. 1996, "The
    Lumigraph", section 3.4.2), in which each colour counts by its alpha. The result needs no un-mixing: with a network
    that changes nothing, every pixel with alpha above 0 comes back bit for bit.
``0`` to ``255``
    The network sees the picture composited on a grey of that level, as ``flatten`` does it. The result is un-mixed,
    unless the network enlarges it: R = a F + (1 - a) B is solved for F, where a is the alpha as a share and B continues
    the result's own fully transparent pixels. For a network that maps each pixel by itself and linearly, with a slope
    of at most 1, F is exact up to rounding: an error of at most 2 / a levels in F, and so of at most 2 levels in what
    shows of it on any background. For other networks the error is theirs: how far B is from what they made of the
    background.

A picture without a visible pixel is seen as white.
"""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

from i2i.images.image import Image, flatten

CELL = 64
"""Rows and columns of a cell. Strips that are filled apart begin at a multiple of it."""
MARGIN = 2 * CELL
"""Rows above and below a strip that decide what it is filled with, beside the grid of cells."""
_BAND = 1 << 20  # pixels that are multiplied with their alpha at once, since the products take 16 bytes for each


def seen(image: Image, background: str | int) -> np.ndarray:
    """Return the colours that a network without alpha sees, [h, w, c] of the image's own type.

    ``background`` is "edge", or a grey level from 0 to 255.
    """
    if background != "edge":
        return flatten(image, int(background))
    return image.pixels if image.alpha is None else extend(image.pixels, image.alpha)


def extend(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Continue the visible colours into the pixels whose alpha is 0.

    Args:
        pixels: straight colours, uint8 or uint16 [h, w, c].
        alpha: of the same type, [h, w].

    Returns the colours [h, w, c]: ``pixels`` itself where no alpha is 0, else a copy that equals it wherever alpha is
    above 0 and does not depend on what it holds elsewhere.
    """
    if int(alpha.min()) > 0:
        return pixels
    weighted = _push_pixels(pixels, alpha)
    return _merge(pixels, alpha, _pull(weighted, _peak(pixels)))


def unmix(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Take the background out of the half-transparent pixels of a composited picture.

    Args:
        colours: the picture on its background, uint8 or uint16 [h, w, c].
        alpha: of the same type, [h, w]. Where it is 0, ``colours`` is the background alone.

    Returns straight colours [h, w, c]; ``colours`` itself where no pixel is half-transparent, or none is fully
    transparent, so that the background is not known.
    """
    peak = _peak(colours)
    half = (alpha > 0) & (alpha < peak)
    hidden = np.where(alpha == 0, peak, 0).astype(alpha.dtype)
    if not half.any() or not hidden.any():
        return colours
    background = extend(colours, hidden)[half].astype(np.float64)
    share = alpha[half][:, None] / peak
    straight = (colours[half] - (1 - share) * background) / share
    result = colours.copy()
    result[half] = np.clip(np.rint(straight), 0, peak).astype(colours.dtype)
    return result


class Grid:
    """The continued colours of a picture too large to be held, one for each cell of 64 x 64 pixels.

    Built in one pass over the picture, it lets ``extend`` fill each strip as it would fill the whole picture.
    """

    def __init__(self, strips: Iterable[Image]) -> None:
        """Read the picture in ``strips`` from top to bottom, each but the last of a multiple of ``CELL`` rows."""
        rows, self._hidden, peak = [], False, 255
        for strip in strips:
            assert strip.alpha is not None
            level = _push_pixels(strip.pixels, strip.alpha)
            for _ in range(CELL.bit_length() - 2):
                level = _push(level)
            rows.append(level)
            self._hidden = self._hidden or int(strip.alpha.min()) == 0
            peak = _peak(strip.pixels)
        self._colours = _pull(np.concatenate(rows), peak) if self._hidden else np.empty(0)

    def extend(self, strip: Image, top: int) -> np.ndarray:
        """Continue the visible colours in rows that begin at ``top``, a multiple of ``CELL``.

        ``MARGIN`` rows at either end are not those of the whole picture, unless it begins or ends there.
        """
        assert strip.alpha is not None
        assert top % CELL == 0
        if not self._hidden or int(strip.alpha.min()) > 0:
            return strip.pixels
        cells = slice(top // CELL, -(-(top + strip.height) // CELL))
        weighted = _push_pixels(strip.pixels, strip.alpha)
        known = _pull(weighted, _peak(strip.pixels), CELL.bit_length() - 2, self._colours[cells])
        return _merge(strip.pixels, strip.alpha, known)


def _peak(pixels: np.ndarray) -> int:
    return int(np.iinfo(pixels.dtype).max)


def _push_pixels(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Return level 1 of the pyramid, float32 [ceil(h / 2), ceil(w / 2), c + 1], in the form of ``_push``."""
    height, width, channels = pixels.shape
    out = np.empty((-(-height // 2), -(-width // 2), channels + 1), np.float32)
    rows, scale = max(2, _BAND // width & ~1), 1 / _peak(pixels)
    for top in range(0, height, rows):
        part = alpha[top : top + rows]
        many = cv2.merge([part] * channels)
        products = cv2.multiply(pixels[top : top + rows], many.reshape(*part.shape, -1), scale=scale, dtype=cv2.CV_32F)
        target = out[top // 2 : (top + rows) // 2]
        target[..., :-1] = _halved(products).reshape(*target.shape[:2], -1)
        target[..., -1] = _halved(part.astype(np.float32)) * scale
    return _saturated(out)


def _push(level: np.ndarray) -> np.ndarray:
    """Return the next level: colours times weight, and the weight, which is the sum of four and at most 1."""
    return _saturated(_halved(level))


def _halved(level: np.ndarray) -> np.ndarray:
    """Return the sum of each 2 x 2 pixels, divided by 4; pixels beyond the edge count as 0."""
    height, width = level.shape[:2]
    if height % 2 or width % 2:
        level = cv2.copyMakeBorder(level, 0, height % 2, 0, width % 2, cv2.BORDER_CONSTANT, value=(0, 0, 0, 0))
    return cv2.resize(level, (-(-width // 2), -(-height // 2)), interpolation=cv2.INTER_AREA)


def _saturated(means: np.ndarray) -> np.ndarray:
    return means * (4 / np.maximum(4 * means[..., -1:], 1))


def _pull(level: np.ndarray, white: int, levels: int | None = None, known: np.ndarray | None = None) -> np.ndarray:
    """Return the colours [h, w, c] of a level [h, w, c + 1], completed from coarser levels where its weight is below 1.

    ``known`` are the colours ``levels`` above; else it goes on until one cell is left.
    """
    colours, weights = level[..., :-1], level[..., -1:]
    height, width = level.shape[:2]
    if known is not None and levels == 0:
        return known
    if float(weights.min()) >= 1:
        return colours
    if height == width == 1:
        return colours / weights if weights[0, 0, 0] > 0 else np.full_like(colours, white)
    coarse = _pull(_push(level), white, levels and levels - 1, known)
    return colours + (1 - weights) * _doubled(coarse, height, width)


def _doubled(coarse: np.ndarray, height: int, width: int) -> np.ndarray:
    size = (2 * coarse.shape[1], 2 * coarse.shape[0])
    fine = cv2.resize(coarse, size, interpolation=cv2.INTER_LINEAR)
    return fine.reshape(size[1], size[0], -1)[:height, :width]


def _merge(pixels: np.ndarray, alpha: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Return ``pixels`` where they are visible, and the colours of level 1 elsewhere."""
    ready = (np.clip(colours, 0, _peak(pixels)) + np.float32(0.5)).astype(pixels.dtype)
    filled = np.ascontiguousarray(_doubled(ready, *alpha.shape))
    visible = (alpha > 0).astype(np.uint8)
    return cv2.copyTo(pixels, visible, filled).reshape(pixels.shape)
