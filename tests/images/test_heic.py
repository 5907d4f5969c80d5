"""HEIC, as phones write it. The files were made of ``samples.picture`` by libheif's heif-enc and x265.

Nothing that the tests may use writes HEIC, so turned pictures and depth maps are made by changing bytes of these.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

import i2i
from i2i.images import ImageError, convert, decode_image, encode_image, losses, read_header, read_image
from i2i.images.metadata import read_metadata
from i2i.runtime import Model, Options, translate_folder
from i2i.runtime.jobs.single import translate_files
from tests import tiny
from tests.images.samples import alpha_of, picture

FOLDER = Path(__file__).parent / "heic"


def turned() -> bytes:
    """The file whose profile is replaced by a property that turns the picture by 90 degrees."""
    data = bytearray((FOLDER / "profile.heic").read_bytes())
    at = data.index(b"colr")
    length = int.from_bytes(data[at - 4 : at], "big")
    data[at : at + length - 4] = b"irot\1" + bytes(length - 9)
    return bytes(data)


def auxiliary(kind: bytes) -> bytes:
    """The file whose alpha is declared to be something else."""
    data = (FOLDER / "alpha.heic").read_bytes()
    return data.replace(b"urn:mpeg:hevc:2015:auxid:1\0", kind + b"\0")


def test_colours_are_read() -> None:
    path = FOLDER / "colour.heic"
    image, header = read_image(path), read_header(path)
    assert (image.format, image.bits, image.alpha, image.frames) == ("HEIC", 8, None, 1)
    assert (header.width, header.height, header.channels, header.bits) == (64, 48, 3, 8)
    assert np.abs(image.pixels.astype(int) - picture()).max() <= 1


def test_ten_bits_become_sixteen() -> None:
    image = read_image(FOLDER / "ten_bits.heic")
    assert image.bits == read_header(FOLDER / "ten_bits.heic").bits == 16
    assert np.abs(image.pixels.astype(int) - picture(bits=16)).max() < 128  # 64 are a level of 10 bits
    assert len(np.unique(image.pixels)) > 256


def test_alpha_is_read() -> None:
    image = read_image(FOLDER / "alpha.heic")
    assert image.alpha is not None
    assert np.abs(image.alpha.astype(int) - alpha_of()).max() <= 2


def test_profile_and_exif_are_read() -> None:
    image = read_image(FOLDER / "profile.heic", metadata=True)
    assert image.icc is not None
    assert image.icc[16:20] == b"RGB "
    assert image.metadata is not None
    with PIL.Image.open(io.BytesIO(encode_image(image, "PNG"))) as found:
        assert found.getexif()[271].rstrip("\0") == "A maker"
        assert found.getexif()[274] == 1
        assert found.info["icc_profile"] == image.icc


def test_a_turned_picture_is_upright_once() -> None:
    straight = read_image(FOLDER / "profile.heic").pixels
    data = turned()
    image = decode_image(data)
    assert image.pixels.shape == (64, 40, 3)
    np.testing.assert_array_equal(image.pixels, np.rot90(straight))
    metadata = read_metadata(io.BytesIO(data), "HEIC")
    assert metadata.exif is not None  # it repeats the turn, which must not be applied again


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (b"urn:mpeg:hevc:2015:auxid:2", "depth map"),
        (b"urn:x:photo:aux:hdrgainmap", "HDR gain map"),
        (b"urn:x:photo:aux:unfamiliar", "auxiliary picture (unfamiliar)"),
    ],
)
def test_pictures_beside_the_main_one_are_named(kind: bytes, name: str) -> None:
    image = decode_image(auxiliary(kind))
    assert image.alpha is None
    assert image.lost == (name,)
    assert losses(image, "PNG") == [name]


def test_a_translation_names_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.heic").write_bytes(auxiliary(b"urn:mpeg:hevc:2015:auxid:2"))
    model = Model(tiny.inverter(tmp_path / "a.onnx"), "cpu", 1)
    translate_files([(model, tmp_path / "a.png")], tmp_path / "a.heic", Options())
    assert caplog.messages == [f"{tmp_path / 'a.png'}: not carried over to PNG: depth map"]


def test_a_damaged_file_is_an_error() -> None:
    good = (FOLDER / "colour.heic").read_bytes()
    rng, bad = np.random.default_rng(0), 0
    for number in range(200):
        data = bytearray(good)
        data[rng.integers(len(data) if number % 2 else 400)] ^= 1 << rng.integers(8)
        try:
            decode_image(bytes(data), max_pixels=1_000_000)
        except ImageError:
            bad += 1
    assert bad > 50
    with pytest.raises(ImageError, match="damaged HEIC"):
        decode_image(good[: len(good) // 2])


def test_the_limit_of_pixels_comes_before_decoding() -> None:
    with pytest.raises(ImageError, match="3,072 pixels, more than the limit of 3,071"):
        read_image(FOLDER / "colour.heic", max_pixels=3071)


def test_it_is_translated_to_png_or_the_format_that_is_asked_for(tmp_path: Path) -> None:
    """PNG loses nothing of it; JPEG and AVIF are smaller."""
    model = Model(tiny.inverter(tmp_path / "a.onnx"), "cpu", 1)
    source = tmp_path / "in"
    source.mkdir()
    (source / "IMG_1.HEIC").write_bytes((FOLDER / "ten_bits.heic").read_bytes())
    translate_folder(model, source, tmp_path / "out", Options())
    translate_folder(model, source, tmp_path / "jpeg", Options(format="jpeg"))
    want = 255 - convert(read_image(source / "IMG_1.HEIC").pixels, 3, 8).astype(int)
    result = read_image(tmp_path / "out" / "IMG_1.HEIC.png")
    assert np.abs(convert(result.pixels, 3, 8) - want).max() <= 1
    assert np.abs(read_image(tmp_path / "jpeg" / "IMG_1.jpg").pixels - want).mean() < 4
    assert i2i.translate(source / "IMG_1.HEIC", tmp_path / "one.avif", model) == tmp_path / "one.avif"
    assert read_image(tmp_path / "one.avif").format == "AVIF"
