"""L1, PSNR and SSIM against scikit-image, and against numbers worked by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from i2i.metrics import edge_agreement, l1, ms_ssim, psnr, ssim
from i2i.metrics.pairs import SCALES, Similarity

FORMS = [((40, 31), np.uint8), ((11, 11, 3), np.uint8), ((64, 48, 3), np.uint16), ((33, 57, 1), np.uint8)]


def _pair(shape: tuple[int, ...], dtype: type, noise: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(sum(shape))
    y, x = np.mgrid[: shape[0], : shape[1]] / 20
    smooth = np.broadcast_to((0.5 + 0.4 * np.sin(x + y)).reshape(*shape[:2], *(1,) * (len(shape) - 2)), shape)
    peak = np.iinfo(dtype).max
    noisy = np.clip(smooth + noise * rng.standard_normal(shape), 0, 1)
    return (smooth * peak).astype(dtype), (noisy * peak).astype(dtype)


@pytest.mark.parametrize(("shape", "dtype"), FORMS)
@pytest.mark.parametrize("noise", [0.01, 0.1, 1.0])
def test_equal_to_scikit_image(shape: tuple[int, ...], dtype: type, noise: float) -> None:
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity  # a second, so not in all processes

    a, b = _pair(shape, dtype, noise)
    peak = np.iinfo(dtype).max
    axis = 2 if len(shape) == 3 else None
    theirs = structural_similarity(
        a, b, data_range=peak, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, channel_axis=axis
    )
    assert ssim(a, b) == pytest.approx(theirs, abs=1e-5 if dtype is np.uint8 else 1e-9)
    assert ssim(a.astype(float), b.astype(float), peak) == pytest.approx(theirs, abs=1e-9)
    assert psnr(a, b) == pytest.approx(peak_signal_noise_ratio(a, b, data_range=peak), abs=1e-9)
    assert l1(a, b) == pytest.approx(np.abs(a.astype(float) - b).mean() / peak, abs=1e-12)


def test_known_answers() -> None:
    black, white = np.zeros((16, 16, 3), np.uint8), np.full((16, 16, 3), 255, np.uint8)
    assert (l1(black, white), psnr(black, white)) == (1.0, 0.0)
    assert ssim(black, white) == pytest.approx(0.01**2 / (1 + 0.01**2), rel=1e-3)  # the luminance term alone
    assert (l1(white, white), psnr(white, white)) == (0.0, 100.0)
    assert ssim(white, white) == pytest.approx(1, abs=1e-12)
    grey = np.full((16, 16, 3), 51, np.uint8)
    assert l1(black, grey) == pytest.approx(0.2)
    assert psnr(black, grey) == pytest.approx(20 * math.log10(5))


def test_no_psnr_is_larger_than_that_of_equal_images() -> None:
    """So that the mean over images still says how good the others are."""
    exact = np.full((400, 400), 1000, np.uint16)
    almost = exact.copy()
    almost[0, 0] += 1
    assert psnr(almost, exact) == psnr(exact, exact) == 100
    assert 96 < psnr(exact + np.uint16(1), exact) < 97


def test_unsigned_pixels_do_not_wrap_around() -> None:
    assert l1(np.array([[0, 255]], np.uint8), np.array([[255, 0]], np.uint8)) == 1.0


def test_floats_need_their_peak_and_scale_with_it() -> None:
    a, b = _pair((30, 30, 3), np.uint8)
    for metric in (l1, psnr, ssim):
        assert metric(a / 255, b / 255, peak=1.0) == pytest.approx(metric(a, b), abs=1e-5 if metric is ssim else 1e-9)
        with pytest.raises(ValueError, match="give peak"):
            metric(a / 255, b / 255)


def test_images_that_cannot_be_compared() -> None:
    a = np.zeros((12, 12, 3), np.uint8)
    for metric in (l1, psnr, ssim):
        with pytest.raises(ValueError, match=r"differ in form: uint8 \(12, 12, 3\) and uint8 \(12, 13, 3\)"):
            metric(a, np.zeros((12, 13, 3), np.uint8))
        with pytest.raises(ValueError, match="differ in form"):
            metric(a, a.astype(np.uint16))
        with pytest.raises(ValueError, match="expected an image"):
            metric(a[None], a[None])
    with pytest.raises(ValueError, match="at least 11x11 pixels; the image has 10x12"):
        ssim(a[:10], a[:10])


def test_photos_as_scikit_image_measures_them(reference: Callable[[str], Path]) -> None:
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    from i2i.images import list_images, read_image

    files = list_images(reference("data/facades/val"))[:3]
    for photo, labels in (np.split(read_image(file).pixels, 2, axis=1) for file in files):
        settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "channel_axis": 2}
        expected = structural_similarity(labels, photo, data_range=255, **settings)
        assert ssim(labels, photo) == pytest.approx(expected, rel=5e-5)
        assert psnr(labels, photo) == pytest.approx(peak_signal_noise_ratio(photo, labels, data_range=255), rel=1e-9)


def test_ms_ssim_by_its_definition_on_photos(reference: Callable[[str], Path]) -> None:
    """With filters of SciPy, which pad; so what lies within 5 pixels of the border is cut off."""
    from scipy.ndimage import gaussian_filter

    from i2i.images import list_images, read_image

    photos = [read_image(path).pixels for path in list_images(reference("data/summer2winter/testA"))[:2]]
    a, b = photos[0].astype(float), (0.8 * photos[0] + 0.2 * photos[1]).astype(np.uint8).astype(float)
    expected = 1.0
    for scale, weight in enumerate(SCALES, 1):
        local = [gaussian_filter(x, (1.5, 1.5, 0), truncate=3.5)[5:-5, 5:-5] for x in (a, b, a * a, b * b, a * b)]
        mu, nu = local[:2]
        contrast = (2 * (local[4] - mu * nu) + 58.5225) / (local[2] - mu**2 + local[3] - nu**2 + 58.5225)
        luminance = (2 * mu * nu + 6.5025) / (mu**2 + nu**2 + 6.5025)
        expected *= np.mean(contrast * (luminance if scale == len(SCALES) else 1)) ** weight
        height, width = a.shape[0] // 2, a.shape[1] // 2
        a, b = (x[: 2 * height, : 2 * width].reshape(height, 2, width, 2, 3).mean(axis=(1, 3)) for x in (a, b))
    blend = (0.8 * photos[0] + 0.2 * photos[1]).astype(np.uint8)
    assert ms_ssim(photos[0], blend) == pytest.approx(expected, rel=1e-6)
    assert ms_ssim(photos[0].astype(float), blend.astype(float), 255) == pytest.approx(expected, rel=1e-9)
    assert ms_ssim(photos[0], photos[0]) == pytest.approx(1, rel=1e-12)


def test_ms_ssim_needs_five_scales_and_is_never_below_zero() -> None:
    image = np.random.default_rng(0).integers(0, 256, (176, 200)).astype(np.uint8)
    assert ms_ssim(image, 255 - image) == 0
    with pytest.raises(ValueError, match="MS-SSIM needs at least 176x176 pixels; the image has 175x200"):
        ms_ssim(image[1:], image[1:])


def test_edges_agree_whatever_their_colour_and_not_where_they_moved() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    image[20:40, 20:40] = (200, 40, 90)
    moved = np.roll(image, 9, axis=1)
    assert edge_agreement(image, image) == pytest.approx(1)
    assert edge_agreement(255 - image, image) == pytest.approx(1)
    assert edge_agreement(image // 2 + 30, image) == pytest.approx(1, abs=0.02)
    assert 0 < edge_agreement(moved, image) < 0.6
    flat = np.full_like(image, 70)
    assert (edge_agreement(flat, image), edge_agreement(image, flat), edge_agreement(flat, flat)) == (0, 0, 1)


def test_values_that_are_not_finite_are_refused() -> None:
    image = np.full((20, 20, 3), 0.5)
    image[3, 4, 1] = math.nan
    for metric in (l1, psnr, ssim, edge_agreement):
        with pytest.raises(ValueError, match="not finite"):
            metric(image, np.full((20, 20, 3), 0.5), peak=1.0)


def test_equal_images_have_equal_figures_to_the_bit_wherever_they_lie_in_memory() -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (37, 41, 3), np.uint8) for _ in range(2)]

    def shifted(image: np.ndarray, by: int) -> np.ndarray:
        memory = np.empty(image.nbytes + 128, np.uint8)
        start = -memory.ctypes.data % 64 + by
        copy = memory[start : start + image.nbytes].reshape(image.shape)
        copy[...] = image
        return copy

    for metric in (l1, psnr, ssim, edge_agreement):
        occupied = []  # so that what a metric allocates lies elsewhere each time
        figures = set()
        for by in range(0, 64, 3):
            figures.add(metric(shifted(images[0], by), shifted(images[1], (by * 7) % 64)))
            occupied.append(np.empty(41 * (37 + by)))
        assert len(figures) == 1, metric.__name__


def test_ssim_and_ms_ssim_of_one_pair_share_their_scales(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = _pair((180, 190, 3), np.uint8)
    expected = ssim(a, b), ms_ssim(a, b)
    filtered, filter_ = [], cv2.sepFilter2D
    monkeypatch.setattr(
        cv2, "sepFilter2D", lambda x, *rest, **more: filtered.append(x.shape) or filter_(x, *rest, **more)
    )
    assert ms_ssim(a, b) == expected[1]
    alone = filtered.copy()
    both = Similarity(a, b)
    assert (both.ssim(), both.ms_ssim()) == expected
    assert filtered == 2 * alone  # SSIM adds nothing
    assert len({width for _, width, *_ in alone}) == len(SCALES)
