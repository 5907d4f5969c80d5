"""Written files, read by Pillow, which did not write them."""

from __future__ import annotations

import io
import os

import numpy as np
import PIL.Image
import pytest
from PIL import ImageCms

from i2i.images import WRITABLE, Image, ImageError, decode_image, encode_image, flatten, losses, read_image, write_image
from tests.images.samples import alpha_of, orientation_exif, picture, pillow_bytes

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("format", ["PNG", "TIFF", "PNM", "JPEG2000"])
def test_lossless_formats_keep_every_level(format, channels, bits):
    image = Image(picture(channels=channels, bits=bits))
    back = decode_image(encode_image(image, format))
    np.testing.assert_array_equal(back.pixels, image.pixels)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(("format", "channels"), [("PNG", 1), ("PNG", 3), ("TIFF", 3), ("JPEG2000", 3)])
def test_alpha_is_kept(format, channels, bits):
    image = Image(picture(channels=channels, bits=bits), alpha_of(bits=bits))
    back = decode_image(encode_image(image, format))
    np.testing.assert_array_equal(back.pixels, image.pixels)
    np.testing.assert_array_equal(back.alpha, image.alpha)


@pytest.mark.parametrize("format", WRITABLE)
def test_losses_are_named(format: str) -> None:
    """Contents that are not named as lost are in the file."""
    image = Image(picture(bits=16), alpha_of(bits=16), PROFILE, resolution=(10.0, 10.0))
    back = decode_image(encode_image(image, format, 100))
    missing = ["more than 8 bits"] * (back.bits == 8) + ["alpha"] * (back.alpha is None)
    missing += ["colour profile"] * (back.icc is None) + ["resolution"] * (back.resolution is None)
    assert losses(image, format) == missing
    assert losses(Image(picture(), np.full((48, 64), 255, np.uint8)), format) == []


def test_grey_with_alpha_is_what_pillow_finds():
    image = Image(picture(channels=1), alpha_of())
    with PIL.Image.open(io.BytesIO(encode_image(image, "PNG"))) as found:
        assert found.mode == "LA"
        np.testing.assert_array_equal(np.asarray(found), np.dstack([image.pixels, image.alpha]))


@pytest.mark.parametrize("with_alpha", [False, True])
@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_the_colour_profile_is_kept_and_the_file_is_sound(format, with_alpha):
    image = Image(picture(), alpha_of() if with_alpha else None, PROFILE)
    data = encode_image(image, format, quality=100)
    assert decode_image(data).icc == PROFILE
    with PIL.Image.open(io.BytesIO(data)) as found:
        found.load()
        assert found.info["icc_profile"] == PROFILE
        expected = np.asarray(found.convert("RGB")).astype(int)
    colours = flatten(image) if format == "JPEG" else image.pixels
    visible = slice(None) if image.alpha is None or format == "JPEG" else image.alpha > 0
    assert np.abs(expected - colours)[visible].mean() < 1


@pytest.mark.parametrize("format", ["WEBP", "TIFF"])
def test_a_profile_of_grey_is_not_written_to_a_file_of_colours(format):
    profile = PROFILE[:16] + b"GRAY" + PROFILE[20:]
    data = encode_image(Image(picture(channels=1), alpha_of(), profile), format)
    assert decode_image(data).channels == 3
    assert profile not in data
    assert (profile in encode_image(Image(picture(channels=1), None, profile), format)) == (format != "WEBP")


def test_a_profile_larger_than_a_jpeg_segment_is_kept():
    profile = PROFILE[:128] + np.random.default_rng(0).bytes(200_000)
    assert decode_image(encode_image(Image(picture(), icc=profile), "JPEG")).icc == profile


def test_a_profile_of_another_colour_space_is_not_kept():
    cmyk = PROFILE[:16] + b"CMYK" + PROFILE[20:]
    assert decode_image(encode_image(Image(picture(), icc=cmyk), "PNG")).icc is None


def test_what_a_format_cannot_hold_is_converted():
    image = Image(picture(bits=16), alpha_of(bits=16))
    back = decode_image(encode_image(image, "JPEG", quality=100))
    expected = flatten(image).astype(float) / 257
    assert back.bits == 8
    assert np.abs(back.pixels - expected).mean() < 1.5


@pytest.mark.parametrize("format", WRITABLE)
def test_every_format_has_a_suffix_that_writes_it(tmp_path, format):
    path = tmp_path / ("x" + WRITABLE[format])
    write_image(path, Image(picture()))
    assert read_image(path).format == format
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_an_image_that_was_turned_is_not_turned_again(tmp_path, suffix):
    turned = decode_image(pillow_bytes(picture(40, 64), "JPEG", exif=orientation_exif(6)))
    write_image(tmp_path / f"x{suffix}", turned)
    with PIL.Image.open(tmp_path / f"x{suffix}") as found:
        assert found.size == (40, 64)
        assert found.getexif().get(274, 1) == 1


def test_a_suffix_that_is_not_written_is_an_error(tmp_path):
    with pytest.raises(ImageError, match=r"cannot write a '.gif' file; choose one of .png"):
        write_image(tmp_path / "x.gif", Image(picture()))


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "x.png"
    path.write_bytes(b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(ImageError, match="No space left"):
        write_image(path, Image(picture()))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_name_of_255_bytes_can_be_written(tmp_path):
    path = tmp_path / ("n" * 251 + ".png")
    write_image(path, Image(picture()))
    assert read_image(path).width == 64


def test_written_files_have_the_usual_permissions(tmp_path):
    path = tmp_path / "x.png"
    write_image(path, Image(picture()))
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode
