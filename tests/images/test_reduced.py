"""JPEGs decoded at a part of their size: which part, the right pixels in their right place, and damage as ever."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

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


@pytest.mark.parametrize(
    ("size", "least", "reduction"),
    [
        ((640, 960), (80, 60), 4),  # a reduced side is at least twice the needed one
        ((640, 960), (40, 60), 8),
        ((640, 960), (40, 60.1), 4),
        ((640, 960), (81, 10), 2),
        ((640, 960), (161, 10), 1),
        ((640, 956), (10, 10), 4),  # no part of a pixel at the border
        ((642, 960), (10, 10), 2),
        ((641, 960), (10, 10), 1),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_size_is_divided_as_far_as_is_needed(size, least, reduction, channels):
    pixels = photo(*size, channels)
    image = decode_image(jpeg(pixels), least=least)
    assert image.reduction == reduction
    assert image.pixels.shape == (size[0] // reduction, size[1] // reduction, channels)
    expected = cv2.resize(pixels, None, fx=1 / reduction, fy=1 / reduction, interpolation=cv2.INTER_AREA)
    assert cv2.PSNR(image.pixels, expected.reshape(image.pixels.shape)) > 30  # and so in its place, and in RGB order
    again = decode_image(jpeg(pixels), least=least)
    assert np.array_equal(image.pixels, again.pixels)


def test_resized_it_is_as_if_decoded_whole():
    data = jpeg(photo(1200, 1600))
    whole, part = (decode_image(data, least=least).pixels for least in (None, (143, 143)))
    assert part.shape == (300, 400, 3)
    small = [cv2.resize(pixels, (190, 143), interpolation=cv2.INTER_AREA) for pixels in (whole, part)]
    assert cv2.PSNR(*small) > 45


@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_is_upright(orientation):
    """The sides that are needed are those of the upright image."""
    data = jpeg(photo(320, 640))
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0" + bytes([orientation]) + b"\0\0\0\0\0\0"
    data = data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:]
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
