"""Metrics of two aligned images: L1, PSNR, SSIM, MS-SSIM and the agreement of their edges.

All take two images [h, w] or [h, w, c] of the same shape and type. ``peak`` is the largest possible value of a pixel:
by default that of the type, 255 for uint8 and 65535 for uint16; for floats it must be given. Values that are not finite
raise ValueError.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from i2i.metrics.estimate import NotMeasurableError

# Wang et al. 2004, https://doi.org/10.1109/TIP.2003.819861, section III-B.
WINDOW, SIGMA, K1, K2 = 11, 1.5, 0.01, 0.03
# Wang et al. 2003, https://doi.org/10.1109/ACSSC.2003.1292216, section 3.2: the weights of its scales.
SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
EDGE_SIGMA = 1.0  # of the blur before the gradients, in pixels


def l1(image: np.ndarray, truth: np.ndarray, peak: float | None = None) -> float:
    """Return the mean absolute difference divided by the peak: 0 for equal images, 1 for black against white."""
    a, b, peak = _prepare(image, truth, peak)
    return float(np.abs(a - b).mean() / peak)


def psnr(image: np.ndarray, truth: np.ndarray, peak: float | None = None) -> float:
    """Return the PSNR in dB, 10 log10(peak^2 / mean squared error); infinite for equal images."""
    a, b, peak = _prepare(image, truth, peak)
    error = float(np.square(a - b).mean())
    return 10 * math.log10(peak**2 / error) if error else math.inf


def ssim(image: np.ndarray, truth: np.ndarray, peak: float | None = None) -> float:
    """Return the structural similarity (Wang et al. 2004, eq. 13), at most 1, averaged over windows and channels.

    Statistics are weighted by a Gaussian (11x11, sigma 1.5) without sample correction; windows lie within the image,
    which must be at least 11 pixels each way. No downsampling, no conversion to grey. Raises ValueError for a smaller
    image.
    """
    a, b, peak = _prepare(image, truth, peak)
    _at_least(WINDOW, a, "SSIM")
    luminance, rest = _similarity(a, b, peak)
    return float((luminance * rest).mean())


def ms_ssim(image: np.ndarray, truth: np.ndarray, peak: float | None = None) -> float:
    """Return the multi-scale structural similarity (Wang et al. 2003, eq. 7), from 0 to 1.

    Windows are those of :func:`ssim`, at five scales, each half of the one before by the mean of 2x2 pixels; negative
    means of a scale count as 0. Raises ValueError for an image of less than 176 pixels each way.
    """
    a, b, peak = _prepare(image, truth, peak)
    _at_least(WINDOW << (len(SCALES) - 1), a, "MS-SSIM")
    product = 1.0
    for number, weight in enumerate(SCALES, 1):
        luminance, rest = _similarity(a, b, peak)
        mean = float((luminance * rest if number == len(SCALES) else rest).mean())
        product *= max(0.0, mean) ** weight
        a, b = _half(a), _half(b)
    return product


def edge_agreement(image: np.ndarray, source: np.ndarray, peak: float | None = None) -> float:
    """Return the correlation of the strength of edges of two images, from -1 to 1; 1 where they have the same edges.

    The strength is the length of the Sobel gradient of the luma after a Gaussian blur (sigma 1), so brightness,
    contrast and the sign of an edge do not count. It is 0 where only one of the images has no edge at all, and 1 where
    neither has one.
    """
    a, b, _ = _prepare(image, source, peak)
    a, b = _edges(a), _edges(b)
    a, b = a - a.mean(), b - b.mean()
    lengths = float(np.sqrt(np.square(a).sum())), float(np.sqrt(np.square(b).sum()))
    if min(lengths) < 1e-6 * max(1.0, *lengths):
        return float(max(lengths) < 1e-6)
    return float((a * b).sum() / (lengths[0] * lengths[1]))


def _edges(x: np.ndarray) -> np.ndarray:
    """Return the length of the gradient of the luma (Rec. 601) of [h, w, c]: [h, w]."""
    luma = (x @ np.array([0.299, 0.587, 0.114]) if x.shape[2] == 3 else x.mean(axis=2)).astype(np.float32)
    luma = cv2.GaussianBlur(luma, (0, 0), EDGE_SIGMA)
    across, down = cv2.Sobel(luma, cv2.CV_32F, 1, 0), cv2.Sobel(luma, cv2.CV_32F, 0, 1)
    # cv2.magnitude rounds otherwise where an array lies otherwise in memory; the same images have the same figure.
    return np.sqrt(np.square(across) + np.square(down)).astype(np.float64)


def _similarity(a: np.ndarray, b: np.ndarray, peak: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the luminance term and the product of contrast and structure of every window."""
    mu_a, mu_b = _blur(a), _blur(b)
    var_a, var_b, cov = _blur(a * a) - mu_a * mu_a, _blur(b * b) - mu_b * mu_b, _blur(a * b) - mu_a * mu_b
    c1, c2 = (K1 * peak) ** 2, (K2 * peak) ** 2
    return (2 * mu_a * mu_b + c1) / (mu_a**2 + mu_b**2 + c1), (2 * cov + c2) / (var_a + var_b + c2)


def _half(x: np.ndarray) -> np.ndarray:
    """Return the mean of every 2x2 pixels; an odd last row or column is left out."""
    height, width = (side // 2 * 2 for side in x.shape[:2])
    return (x[:height:2, :width:2] + x[1:height:2, :width:2] + x[:height:2, 1:width:2] + x[1:height:2, 1:width:2]) / 4


def _at_least(side: int, image: np.ndarray, name: str) -> None:
    if min(image.shape[:2]) < side:
        raise NotMeasurableError(
            f"{name} needs at least {side}x{side} pixels; the image has {image.shape[0]}x{image.shape[1]}"
        )


def _blur(x: np.ndarray) -> np.ndarray:
    """Return the Gaussian-weighted mean of every window within the image: [h - 10, w - 10(, c)]."""
    kernel, edge = cv2.getGaussianKernel(WINDOW, SIGMA, cv2.CV_64F), WINDOW // 2
    return cv2.sepFilter2D(x, cv2.CV_64F, kernel, kernel)[edge:-edge, edge:-edge]


def _prepare(image: np.ndarray, truth: np.ndarray, peak: float | None) -> tuple[np.ndarray, np.ndarray, float]:
    """Return both images as float64 and the peak. Raises ValueError for images that cannot be compared."""
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
    a, b = (x.reshape(*x.shape[:2], -1).astype(np.float64) for x in (image, truth))
    if image.dtype.kind == "f" and not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("the images have values that are not finite (NaN or infinity)")
    return a, b, peak
