"""JPEGs decoded at a part of their size: which part, the right pixels in their right place, and damage as ever."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from i2i.data.layout import half_of
from i2i.data.transforms import View, fit
from i2i.images import Image, ImageError, decode_image, encode_image


def photo(height, width, channels=3):
    """Smooth shapes and edges on a gradient, as in a photograph, with noise."""
    rng = np.random.default_rng(height + width)
    pixels = cv2.resize(
        rng.integers(0, 256, (7, 9, channels), np.uint8), (width, height), interpolation=cv2.INTER_CUBIC
    )
    pixels = pixels.reshape(height, width, channels).astype(np.int16)
    for _ in range(30):
        top, left = rng.integers(0, height - 20), rng.integers(0, width - 20)
        pixels[top : top + 60, left : left + 40] += rng.integers(-60, 60, channels).astype(np.int16)
    return np.clip(pixels + rng.normal(0, 3, pixels.shape), 0, 255).astype(np.uint8)


def jpeg(pixels):
    return encode_image(Image(pixels), "JPEG", 92)


def turned(data, orientation):
    """Return a JPEG with an orientation in its EXIF."""
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0" + bytes([orientation]) + b"\0\0\0\0\0\0"
    return data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:]


@pytest.mark.parametrize(
    ("size", "least", "reduction"),
    [
        ((640, 960), (80, 60), 4),  # a reduced side is at least twice the needed one
        ((640, 960), (40, 60), 8),
        ((640, 960), (40, 60.1), 4),
        ((640, 960), (81, 10), 2),
        ((640, 960), (161, 10), 1),
        ((640, 956), (10, 10), 8),  # a part of a pixel at the border
        ((641, 960), (160, 10), 2),
        ((641, 959), (161, 10), 1),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_size_is_divided_as_far_as_is_needed(size, least, reduction, channels):
    pixels = photo(*size, channels)
    image = decode_image(jpeg(pixels), least=least)
    assert image.reduction == reduction
    assert image.whole == (size if reduction > 1 else None)
    tall, wide = (-(-side // reduction) for side in size)
    assert image.pixels.shape == (tall, wide, channels)
    edges = ((0, tall * reduction - size[0]), (0, wide * reduction - size[1]), (0, 0))
    expected = cv2.resize(np.pad(pixels, edges, mode="edge"), (wide, tall), interpolation=cv2.INTER_AREA)
    assert cv2.PSNR(image.pixels, expected.reshape(image.pixels.shape)) > 30  # and so in its place, and in RGB order
    again = decode_image(jpeg(pixels), least=least)
    assert np.array_equal(image.pixels, again.pixels)


def test_resized_it_is_as_if_decoded_whole():
    data = jpeg(photo(1200, 1600))
    whole, part = (decode_image(data, least=least).pixels for least in (None, (143, 143)))
    assert part.shape == (300, 400, 3)
    small = [cv2.resize(pixels, (190, 143), interpolation=cv2.INTER_AREA) for pixels in (whole, part)]
    assert cv2.PSNR(*small) > 45


@pytest.mark.parametrize("size", [(1201, 1599), (1207, 1600), (1203, 1606)])
def test_sides_that_cannot_be_divided_are_resized_as_if_decoded_whole(size):
    """Without a shift: a part of a pixel at the border counts for what it shows."""
    data, view = jpeg(photo(*size)), View((128, 128))
    whole, part = (decode_image(data, least=least) for least in (None, view.covered))
    assert part.reduction == 4
    images = [fit(image.pixels, view, image.whole, image.reduction) for image in (whole, part)]
    assert images[0].shape == images[1].shape
    for region in (slice(None), slice(-20, None)):
        assert cv2.PSNR(*(image[:, region] for image in images)) > 50  # 36 to 45 where it is stretched to the border
        assert cv2.PSNR(*(image[region] for image in images)) > 50


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_part_of_a_pixel_is_at_the_right_or_the_bottom(orientation):
    data = turned(jpeg(photo(641, 961)), orientation)
    image = decode_image(data, least=(20, 20))
    assert image.reduction == (8 if orientation in (1, 5) else 1)
    assert decode_image(turned(jpeg(photo(640, 960)), orientation), least=(20, 20)).reduction == 8


@pytest.mark.parametrize(("width", "reduction"), [(1600, 4), (1616, 4), (1608, 1), (1602, 1)])
def test_halves_are_not_mixed(width, reduction):
    pixels = np.zeros((803, width, 3), np.uint8)
    pixels[:, width // 2 :] = 255
    image = decode_image(jpeg(pixels), least=(100, 200), halves=True)
    assert image.reduction == reduction
    for half, level in ((0, 0), (1, 255)):
        found = half_of(image, half)
        assert (found.whole or found.pixels.shape[:2]) == (803, width // 2)
        assert np.abs(found.pixels.astype(int) - level).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_is_upright(orientation):
    """The sides that are needed are those of the upright image."""
    data = turned(jpeg(photo(320, 640)), orientation)
    whole, part = decode_image(data), decode_image(data, least=(80, 160) if orientation < 5 else (160, 80))
    assert part.reduction == 2
    assert decode_image(data, least=(160, 80) if orientation < 5 else (80, 160)).reduction == 1
    expected = cv2.resize(whole.pixels, (whole.width // 2, whole.height // 2), interpolation=cv2.INTER_AREA)
    assert cv2.PSNR(part.pixels, expected) > 30


def test_other_formats_are_decoded_whole():
    image = decode_image(encode_image(Image(photo(640, 640)), "PNG", 90), least=(10, 10))
    assert (image.reduction, image.pixels.shape) == (1, (640, 640, 3))


@pytest.mark.parametrize("cut", [200, 20_000])
def test_damage_is_found(cut):
    data = jpeg(photo(640, 640))
    with pytest.raises(ImageError, match="truncated"):
        decode_image(data[:cut], least=(10, 10))
