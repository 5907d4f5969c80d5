"""Transparent pictures as networks without alpha see them: visible colours are kept, hidden ones do not count."""

from __future__ import annotations

import time
from collections.abc import Callable

import cv2
import numpy as np
import pytest

from i2i.images import Image, extend, flatten, seen, unmix
from i2i.images.alpha import CELL, MARGIN, Grid
from tests.images.samples import alpha_of, picture

FORMS = [(1, 8), (3, 8), (1, 16), (3, 16)]


def soft_disc(side: int, bits: int = 8) -> np.ndarray:
    """The alpha [side, side] of an opaque disc with a soft edge."""
    alpha = np.zeros((side, side), np.uint8)
    cv2.circle(alpha, (side // 2, side // 2), side // 3, 255, -1)
    alpha = cv2.GaussianBlur(alpha, (0, 0), 1.5)
    return alpha if bits == 8 else alpha.astype(np.uint16) * np.uint16(257)


@pytest.mark.parametrize(("channels", "bits"), FORMS)
def test_visible_pixels_stay_and_hidden_colours_do_not_count(channels: int, bits: int) -> None:
    pixels, alpha = picture(97, 97, channels, bits), soft_disc(97, bits)
    filled = extend(pixels, alpha)
    assert (filled.shape, filled.dtype) == (pixels.shape, pixels.dtype)
    visible = alpha > 0
    assert ((alpha > 0) & (alpha < alpha.max())).sum() > 100
    np.testing.assert_array_equal(filled[visible], pixels[visible])
    other = pixels.copy()
    other[~visible] = 7
    np.testing.assert_array_equal(extend(other, alpha), filled)


def test_hidden_pixels_continue_the_colours_beside_them() -> None:
    """Red on the left, blue on the right, a gap between: each side of the gap gets its neighbour's colour."""
    pixels, alpha = np.zeros((64, 300, 3), np.uint8), np.zeros((64, 300), np.uint8)
    pixels[:, :100, 0] = pixels[:, 200:, 2] = 200
    alpha[:, :100] = alpha[:, 200:] = 255
    filled = extend(pixels, alpha).astype(int)
    np.testing.assert_allclose(filled[:, 100:104], np.broadcast_to([200, 0, 0], (64, 4, 3)), atol=25)
    np.testing.assert_allclose(filled[:, 196:200], np.broadcast_to([0, 0, 200], (64, 4, 3)), atol=25)
    assert (np.abs(filled.sum(2) - 200) <= 2).all()  # nothing but mixtures of the two, without white or black
    flat = extend(np.full((50, 70, 3), 90, np.uint8), soft_disc(70)[:50])
    assert (flat == 90).all()


def test_a_colour_counts_by_its_alpha() -> None:
    """At an alpha of 1 the stored colour is noise, which must not spread over the pixels around."""
    pixels, alpha = np.full((64, 64, 3), 100, np.uint8), np.zeros((64, 64), np.uint8)
    alpha[:, :30] = 255
    alpha[:, 30] = 1
    pixels[:, 30] = (255, 0, 255)
    filled = extend(pixels, alpha)
    assert (filled[:, 30] == (255, 0, 255)).all()
    assert np.abs(filled[:, 32:].astype(int) - 100).max() <= 3
    alone = extend(pixels, np.where(alpha == 1, alpha, 0).astype(np.uint8))  # where there is nothing better, it is used
    assert (alone == (255, 0, 255)).all()


@pytest.mark.parametrize("bits", [8, 16])
def test_a_picture_without_a_visible_pixel_is_white(bits: int) -> None:
    pixels = picture(40, 50, bits=bits)
    for background in ("edge", 255):
        hidden = seen(Image(pixels, np.zeros_like(pixels[..., 0])), background)
        assert (hidden == 2**bits - 1).all()


@pytest.mark.parametrize("alpha", [None, np.full((48, 64), 255, np.uint8), np.full((48, 64), 1, np.uint8)])
def test_a_picture_without_hidden_pixels_is_not_even_copied(alpha: np.ndarray | None) -> None:
    pixels = picture()
    assert seen(Image(pixels, alpha), "edge") is pixels


def test_a_grey_level_is_composited() -> None:
    image = Image(picture(), alpha_of())
    np.testing.assert_array_equal(seen(image, 40), flatten(image, 40))


@pytest.mark.parametrize(("channels", "bits"), FORMS)
@pytest.mark.parametrize("side", [1, 2, 63, 200])
def test_any_size(channels: int, bits: int, side: int) -> None:
    pixels = picture(side, 5, channels, bits)
    alpha = np.zeros((side, 5), pixels.dtype)
    alpha[-1, 2] = 9
    filled = extend(pixels, alpha)
    assert (filled == pixels[-1, 2]).all()


@pytest.mark.parametrize("seed", range(12))
def test_strips_are_filled_as_the_whole_picture_is(seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width, dtype = int(rng.integers(1, 900)), int(rng.integers(1, 400)), (np.uint8, np.uint16)[seed % 2]
    peak = int(np.iinfo(dtype).max)
    pixels = rng.integers(0, peak, (height, width, 1 + 2 * (seed // 2 % 2)), dtype, endpoint=True)
    alpha = rng.integers(0, peak, (height, width), dtype, endpoint=True)
    alpha[rng.random((height, width)) < (0.5, 0.99, 0.9999)[seed % 3]] = 0
    whole = extend(pixels, alpha)
    grid = Grid(Image(pixels[top : top + 128], alpha[top : top + 128]) for top in range(0, height, 128))
    for top in range(0, height, 97):
        start, stop = max(0, top // CELL * CELL - MARGIN), -(-(top + 97) // CELL) * CELL + MARGIN
        strip = grid.extend(Image(pixels[start:stop], alpha[start:stop]), start)
        np.testing.assert_array_equal(strip[top - start : top + 97 - start], whole[top : top + 97])


@pytest.mark.parametrize(("channels", "bits"), FORMS)
@pytest.mark.parametrize("gain", [1.0, -0.5])
def test_a_result_is_unmixed_to_two_levels_of_what_shows(channels: int, bits: int, gain: float) -> None:
    """With a network that is linear in each pixel, for any background that the result is put on."""
    peak = 2**bits - 1
    image = Image(picture(97, 97, channels, bits), soft_disc(97, bits))
    assert image.alpha is not None
    translate = lambda values: np.rint(gain * values.astype(float) + (peak * 0.7 if gain < 0 else 0))  # noqa: E731
    result = translate(flatten(image, 255)).astype(image.pixels.dtype)
    share = image.alpha[..., None] / peak
    want, got = translate(image.pixels), unmix(result, image.alpha)
    visible = image.alpha > 0
    assert (share * np.abs(got - want))[visible].max() <= 2
    assert (share * np.abs(result - want))[visible].max() > 10 * peak / 255  # the fringe that is taken out


def test_opaque_results_are_not_copied() -> None:
    pixels, hard = picture(), np.zeros((48, 64), np.uint8)
    hard[:, 20:] = 255
    for alpha in (hard, np.full_like(hard, 128)):
        assert unmix(pixels, alpha) is pixels


def test_filling_costs_at_most_15_milliseconds_a_megapixel() -> None:
    pixels, alpha = picture(1024, 1024), soft_disc(1024)
    extend(pixels, alpha)

    def spent(work: Callable[[], object]) -> float:
        times = []
        for _ in range(7):
            start = time.thread_time()
            work()
            times.append(time.thread_time() - start)
        return min(times)

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # so that all of the work is this thread's
    try:
        slow = 2 * spent(lambda: cv2.GaussianBlur(pixels, (21, 21), 4.0))  # more than 15 ms where processors are
        assert spent(lambda: extend(pixels, alpha)) < max(0.015 * 1.05, slow)
    finally:
        cv2.setNumThreads(threads)
