"""Metrics of two aligned images: L1, PSNR and SSIM.

All take two images [h, w] or [h, w, c] of the same shape and type. ``peak`` is the largest possible value of a pixel:
by default that of the type, 255 for uint8 and 65535 for uint16; for floats it must be given.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

# Wang et al. 2004, https://doi.org/10.1109/TIP.2003.819861, section III-B.
WINDOW, SIGMA, K1, K2 = 11, 1.5, 0.01, 0.03


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
    if min(a.shape[:2]) < WINDOW:
        raise ValueError(f"SSIM needs at least {WINDOW}x{WINDOW} pixels; the image has {a.shape[0]}x{a.shape[1]}")
    mu_a, mu_b = _blur(a), _blur(b)
    var_a, var_b, cov = _blur(a * a) - mu_a * mu_a, _blur(b * b) - mu_b * mu_b, _blur(a * b) - mu_a * mu_b
    c1, c2 = (K1 * peak) ** 2, (K2 * peak) ** 2
    score = ((2 * mu_a * mu_b + c1) * (2 * cov + c2)) / ((mu_a**2 + mu_b**2 + c1) * (var_a + var_b + c2))
    return float(score.mean())


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
    return a, b, peak
