"""Metrics of two aligned images: L1, PSNR, SSIM, MS-SSIM and the agreement of their edges.

All take two images [h, w] or [h, w, c] of the same shape and type. ``peak`` is the largest possible value of a pixel:
by default that of the type, 255 for uint8 and 65535 for uint16; for floats it must be given. Values that are not finite
raise ValueError.
"""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np

from i2i.metrics.estimate import NotMeasurableError

# Wang et al. 2004, https://doi.org/10.1109/TIP.2003.819861, section III-B.
WINDOW, SIGMA, K1, K2 = 11, 1.5, 0.01, 0.03
# Wang et al. 2003, https://doi.org/10.1109/ACSSC.2003.1292216, section 3.2: the weights of its scales.
SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
BAND = 1_000_000  # bytes of an image that are compared at once
EDGE_SIGMA = 1.0  # of the blur before the gradients, in pixels
LARGEST_PSNR = 100.0  # dB, of equal images too, so that means over images stay finite


def l1(image: np.ndarray, truth: np.ndarray, peak: float | None = None) -> float:
    """Return the mean absolute difference divided by the peak: 0 for equal images, 1 for black against white."""
    a, b, peak = _prepare(image, truth, peak)
    return float(cv2.norm(_plane(a), _plane(b), cv2.NORM_L1) / a.size / peak)


def psnr(image: np.ndarray, truth: np.ndarray, peak: float | None = None) -> float:
    """Return the PSNR in dB, 10 log10(peak^2 / mean squared error), at most 100, which equal images have."""
    a, b, peak = _prepare(image, truth, peak)
    error = float(cv2.norm(_plane(a), _plane(b), cv2.NORM_L2SQR) / a.size)
    return min(10 * math.log10(peak**2 / error), LARGEST_PSNR) if error else LARGEST_PSNR


def ssim(image: np.ndarray, truth: np.ndarray, peak: float | None = None) -> float:
    """Return the structural similarity (Wang et al. 2004, eq. 13), at most 1, averaged over windows and channels.

    Statistics are weighted by a Gaussian (11x11, sigma 1.5) without sample correction; windows lie within the image,
    which must be at least 11 pixels each way. No downsampling, no conversion to grey. Raises ValueError for a smaller
    image.
    """
    return Similarity(image, truth, peak).ssim()


def ms_ssim(image: np.ndarray, truth: np.ndarray, peak: float | None = None) -> float:
    """Return the multi-scale structural similarity (Wang et al. 2003, eq. 7), from 0 to 1.

    Windows are those of :func:`ssim`, at five scales, each half of the one before by the mean of 2x2 pixels; negative
    means of a scale count as 0. Raises ValueError for an image of less than 176 pixels each way.
    """
    return Similarity(image, truth, peak).ms_ssim()


class Similarity:
    """The terms of SSIM of two images at each scale, which SSIM and MS-SSIM share; each scale is computed once.

    They are computed from the sum and the difference of the images: 4 a b = (a + b)^2 - (a - b)^2, and so on, which
    takes fewer passes. 8-bit images are computed in float32, which holds their products exactly, so that only the
    filter rounds: means differ from those of float64 by less than 1e-5. Others are computed in float64.
    """

    def __init__(self, image: np.ndarray, truth: np.ndarray, peak: float | None = None) -> None:
        a, b, self._peak = _prepare(image, truth, peak)
        self._size = a.shape[:2]
        self._images = a, b  # at the next scale to compute, their sum and difference, once there is a first
        self._means: list[tuple[float, float]] = []

    def ssim(self) -> float:
        """Return the structural similarity; see :func:`ssim`."""
        _at_least(WINDOW, self._size, "SSIM")
        return self._at(0)[0]

    def ms_ssim(self) -> float:
        """Return the multi-scale structural similarity; see :func:`ms_ssim`."""
        last = len(SCALES) - 1
        _at_least(WINDOW << last, self._size, "MS-SSIM")
        means = [self._at(scale)[0 if scale == last else 1] for scale in range(len(SCALES))]
        return math.prod(max(0.0, mean) ** weight for mean, weight in zip(means, SCALES, strict=True))

    def _at(self, scale: int) -> tuple[float, float]:
        """Return the means over windows of all terms, 0 where no metric takes them, and of contrast and structure."""
        centre = math.ceil(self._peak / 2)
        while len(self._means) <= scale:
            if self._means:
                total, difference = (_half(x) for x in self._images)
            else:  # variances do not depend on the level, and smaller numbers have more exact ones
                (a, b), depth = self._images, cv2.CV_32F if self._images[0].dtype == np.uint8 else cv2.CV_64F
                total, difference = (
                    f(_plane(a), _plane(b), dtype=depth).reshape(a.shape) for f in (cv2.add, cv2.subtract)
                )
                total -= 2 * centre
            self._images = total, difference
            level = 2 * centre if len(self._means) in (0, len(SCALES) - 1) else None
            self._means.append(_similarity(total, difference, level, self._peak))
        return self._means[scale]


def edge_agreement(image: np.ndarray, source: np.ndarray, peak: float | None = None) -> float:
    """Return the correlation of the strength of edges of two images, from -1 to 1; 1 where they have the same edges.

    The strength is the length of the Sobel gradient of the luma after a Gaussian blur (sigma 1), so brightness,
    contrast and the sign of an edge do not count. It is 0 where only one of the images has no edge at all, and 1 where
    neither has one.
    """
    a, b, _ = _prepare(image, source, peak)
    a, b = _edges(a), _edges(b)
    a -= a.mean()
    b -= b.mean()
    lengths = math.sqrt(a @ a), math.sqrt(b @ b)
    if min(lengths) < 1e-6 * max(1.0, *lengths):
        return float(max(lengths) < 1e-6)
    return float(a @ b / (lengths[0] * lengths[1]))


def _edges(x: np.ndarray) -> np.ndarray:
    """Return the length of the gradient of the luma (Rec. 601) of [h, w, c]: [h * w].

    In place, since the memory of a new array costs more than the arithmetic.
    """
    luma = (x @ np.array([0.299, 0.587, 0.114]) if x.shape[2] == 3 else x.mean(axis=2)).astype(np.float32)
    cv2.GaussianBlur(luma, (0, 0), EDGE_SIGMA, dst=luma)
    across, down = cv2.Sobel(luma, cv2.CV_32F, 1, 0), cv2.Sobel(luma, cv2.CV_32F, 0, 1, dst=luma)
    # cv2.magnitude rounds otherwise where an array lies otherwise in memory; the same images have the same figure.
    across *= across
    down *= down
    across += down
    return np.sqrt(across, out=across).astype(np.float64).ravel()


def _similarity(total: np.ndarray, difference: np.ndarray, level: float | None, peak: float) -> tuple[float, float]:
    """Return the means over windows of SSIM, and of its product of contrast and structure.

    ``level`` was subtracted from the sum of the images; without it there is no SSIM, and its mean is 0. Large images
    are taken in bands, so that memory does not grow with them.
    """
    windows, margin = len(total) - WINDOW + 1, WINDOW - 1
    rows = max(1, BAND // total[0].nbytes - margin)
    whole = rest = 0.0
    for top in range(0, windows, rows):
        band = slice(top, min(top + rows, windows) + margin)
        sums = _band(total[band], difference[band], level, peak)
        whole, rest = whole + sums[0], rest + sums[1]
    count = windows * (total.shape[1] - margin) * total[0, 0].size
    return whole / count, rest / count


def _band(total: np.ndarray, difference: np.ndarray, level: float | None, peak: float) -> tuple[float, float]:
    """Return the sums over windows of what ``_similarity`` averages."""
    mean, other = _blur(total), _blur(difference)
    other *= other
    squares, others = _blur(total * total, 2 * (K2 * peak) ** 2), _blur(difference * difference)
    squares -= mean * mean
    others -= other
    rest = _ratio(squares, others)
    if level is None:
        return 0.0, _sum(rest)
    mean += level
    mean *= mean
    mean += 2 * (K1 * peak) ** 2
    whole = _ratio(mean, other)
    whole *= rest
    return _sum(whole), _sum(rest)


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return (a - b) / (a + b), and change ``a``."""
    ratio: np.ndarray = a - b
    a += b
    ratio /= a
    return ratio


def _sum(x: np.ndarray) -> float:
    """Return the sum of [h, w, c] over the windows within the image, in float64."""
    edge, channels = WINDOW // 2, x.shape[2]
    return float(cv2.sumElems(_plane(x)[edge:-edge, edge * channels : -edge * channels])[0])


def _half(x: np.ndarray) -> np.ndarray:
    """Return the mean of every 2x2 pixels; an odd last row or column is left out."""
    height, width = x.shape[0] // 2, x.shape[1] // 2
    half = cv2.resize(x[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)
    return half.reshape(height, width, -1)  # of a single channel as well


def _at_least(side: int, size: tuple[int, ...], name: str) -> None:
    if min(size) < side:
        raise NotMeasurableError(f"{name} needs at least {side}x{side} pixels; the image has {size[0]}x{size[1]}")


def _blur(x: np.ndarray, more: float = 0.0) -> np.ndarray:
    """Return the Gaussian-weighted mean of the window around every pixel of [h, w, c], plus ``more``.

    The image is reflected at its borders.
    """
    kernel = _kernel(x.dtype)
    return cv2.sepFilter2D(x, -1, kernel, kernel, delta=more).reshape(x.shape)


@lru_cache
def _kernel(kind: np.dtype[np.floating]) -> np.ndarray:
    """Return the weights of a window in one direction, rounded so that they add up to 1 exactly in any order."""
    steps = 2.0 ** (np.finfo(kind).nmant + 1)
    kernel = np.rint(cv2.getGaussianKernel(WINDOW, SIGMA, cv2.CV_64F) * steps) / steps
    kernel[WINDOW // 2] += 1 - kernel.sum()
    return kernel.astype(kind)


def _plane(x: np.ndarray) -> np.ndarray:
    """Return [h, w * c] of [h, w, c], which OpenCV takes for any number of channels."""
    return np.ascontiguousarray(x).reshape(len(x), -1)


def _prepare(image: np.ndarray, truth: np.ndarray, peak: float | None) -> tuple[np.ndarray, np.ndarray, float]:
    """Return both images [h, w, c] as uint8, uint16 or float64, and the peak.

    Raises ValueError for images that cannot be compared.
    """
    if image.shape != truth.shape or image.dtype != truth.dtype:
        raise ValueError(
            f"the images differ in form: {image.dtype} {image.shape} and {truth.dtype} {truth.shape}; "
            "metrics compare images of one size, one number of channels and one type"
        )
    if image.ndim not in (2, 3) or image.size == 0:
        raise ValueError(f"expected an image [h, w] or [h, w, c], got {image.shape}")
    if peak is None:
        if not np.issubdtype(image.dtype, np.unsignedinteger):
            raise ValueError(f"the largest value of {image.dtype} pixels is not known: give peak")
        peak = float(np.iinfo(image.dtype).max)
    kind = image.dtype if image.dtype in (np.uint8, np.uint16) else np.dtype(np.float64)
    a, b = (x.reshape(*x.shape[:2], -1).astype(kind, copy=False) for x in (image, truth))
    if kind.kind == "f" and not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("the images have values that are not finite (NaN or infinity)")
    return a, b, peak
