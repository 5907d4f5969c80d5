"""The many forms of a JPEG 2000: each is read in its own colours, or refused by name."""

from __future__ import annotations

import struct
from fractions import Fraction

import cv2
import numpy as np
import pytest

from i2i.images import Image, ImageError, decode_image, encode_image
from tests.images.samples import alpha_of, picture, pillow_bytes

FOUR = np.dstack([picture(), alpha_of()])


def jp2_of(pixels, colours=None, more=b"", **options):
    """A lossless JPEG 2000 with the number of its colours replaced, and boxes added to its header."""
    data = pillow_bytes(pixels, "JPEG2000", **options)
    at, end = data.index(b"jp2h") - 4, data.index(b"jp2c") - 4
    inner = data[at + 8 : end]
    if colours is not None:
        place = inner.index(b"colr") + 7
        inner = inner[:place] + struct.pack(">I", colours) + inner[place + 4 :]
    return data[:at] + struct.pack(">I4s", 8 + len(inner + more), b"jp2h") + inner + more + data[end:]


def palette_of(columns):
    """The boxes of a palette, which the first component points into."""
    colours = np.random.default_rng(0).integers(0, 256, (256, columns), np.uint8)
    parts = {
        b"pclr": struct.pack(">HB", 256, columns) + b"\7" * columns + colours.tobytes(),
        b"cmap": b"".join(struct.pack(">HBB", 0, 1, column) for column in range(columns)),
        b"cdef": struct.pack(">H", columns)
        + b"".join(struct.pack(">HHH", column, column == 3, (column + 1) % 4) for column in range(columns)),
    }
    return colours, b"".join(struct.pack(">I4s", 8 + len(part), kind) + part for kind, part in parts.items())


def profiled(data, profile):
    """The same file with the profile in place of the number of its colours."""
    at, end = data.index(b"jp2h") - 4, data.index(b"jp2c") - 4
    place = data.index(b"colr") - 4
    box = struct.pack(">I4s3B", 11 + len(profile), b"colr", 2, 0, 0) + profile
    inner = data[at + 8 : place] + box + data[place + 15 : end]
    return data[:at] + struct.pack(">I4s", 8 + len(inner), b"jp2h") + inner + data[end:]


@pytest.mark.parametrize("columns", [3, 4])
def test_a_jpeg_2000_of_a_palette_has_its_colours(columns):
    """OpenCV returns the palette's indices as levels of grey."""
    colours, boxes = palette_of(columns)
    places = picture(channels=1)[..., 0]
    image = decode_image(jp2_of(places, 16, boxes))
    found = image.pixels if image.alpha is None else np.dstack([image.pixels, image.alpha])
    np.testing.assert_array_equal(found, colours[places])


def test_a_jpeg_2000_of_luma_and_chroma_with_alpha_is_read():
    rgb = np.full((40, 50, 3), (100, 150, 200), np.uint8)
    stored = np.dstack([cv2.cvtColor(rgb, cv2.COLOR_RGB2YCrCb)[..., [0, 2, 1]], alpha_of(40, 50)])
    image = decode_image(jp2_of(stored, 18, mct=0))
    assert np.abs(image.pixels.astype(int) - rgb).max() <= 2
    np.testing.assert_array_equal(image.alpha, alpha_of(40, 50))


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("boxed", [False, True])
def test_a_jpeg_2000_of_small_chroma_is_read(alpha, boxed):
    """As cinema masters and scanners have them; OpenCV refuses them as damaged."""
    av = pytest.importorskip("av")
    row = np.arange(96, dtype=np.uint8)
    pixels = np.dstack([np.tile(row + step, (64, 1)) for step in (20, 60, 100)])
    codec = av.CodecContext.create("jpeg2000", "w")
    codec.width, codec.height, codec.pix_fmt = 96, 64, "yuva420p" if alpha else "yuv420p"
    codec.time_base, codec.options = Fraction(1, 25), {"format": "jp2" if boxed else "j2k", "pred": "dwt53"}
    frame = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format=codec.pix_fmt, dst_color_range="JPEG")
    image = decode_image(b"".join(map(bytes, [*codec.encode(frame), *codec.encode(None)])))
    assert np.abs(image.pixels.astype(int) - pixels).max() <= 3
    assert alpha == (image.alpha is not None and image.alpha.min() == 255)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (jp2_of(picture(), 14), "colours are neither RGB, YCbCr nor grey"),  # Lab
        (profiled(jp2_of(FOUR), bytes(16) + b"CMYK" + bytes(108)), "colours are neither"),
    ],
)
def test_a_jpeg_2000_that_would_come_out_in_wrong_colours_is_refused_by_name(data, said):
    with pytest.raises(ImageError, match=said):
        decode_image(data)


@pytest.mark.parametrize("kind", [b"RGB ", b"Lab "])
def test_the_colour_profile_of_a_jpeg_2000_is_read(kind):
    profile = bytes(16) + kind + bytes(108)
    data = profiled(jp2_of(picture()), profile)
    if kind == b"Lab ":
        with pytest.raises(ImageError, match="neither RGB"):
            decode_image(data)
    else:
        assert decode_image(data).icc == profile


def test_an_image_too_small_for_jpeg_2000_is_an_error_with_a_remedy() -> None:
    with pytest.raises(ImageError, match=r"cannot encode 16 x 12 pixels; choose PNG or TIFF"):
        encode_image(Image(np.zeros((12, 16, 3), np.uint8)), "JPEG2000")
