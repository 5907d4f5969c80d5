"""Bands: arrays of values that are no picture, in TIFF and in NumPy's format."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import tifffile

from i2i.images import Image, ImageError, decode_image, encode_image, losses, read_header, read_image, write_image

SHAPE = (12, 20)


def values(dtype: str, channels: int) -> np.ndarray:
    """Return values without equal rows, columns or channels, with both signs where the type has them."""
    y, x, c = np.mgrid[0 : SHAPE[0], 0 : SHAPE[1], 0:channels]
    numbers = y * 31 + x * 5 + c * 3 + y * x
    return (numbers - 200 * (np.dtype(dtype).kind != "u") + 0.25 * (np.dtype(dtype).kind == "f")).astype(dtype)


def tiff(array: np.ndarray, planes: str = "contig", **options: object) -> bytes:
    buffer, several = io.BytesIO(), array.shape[2] > 1
    stored = array if several and planes == "contig" else np.moveaxis(array, 2, 0) if several else array[..., 0]
    options["planarconfig"] = planes if several else None
    tifffile.imwrite(buffer, stored, photometric="minisblack", **options)
    return buffer.getvalue()


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 7])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float16", "float32", "float64"])
def test_every_value_of_an_array_is_read_and_written(tmp_path: Path, dtype: str, channels: int) -> None:
    array = values(dtype, channels)
    image = decode_image(npy(array))
    picture = channels in (1, 3) and dtype in ("uint8", "uint16")
    kept = "float32" if dtype.startswith("float") else dtype
    assert image.bands == ("" if picture else kept)
    np.testing.assert_array_equal(image.pixels, array.astype(kept))
    assert losses(image, "NPY") == losses(image, "TIFF") == (["more than 32 bits"] if dtype == "float64" else [])
    for format, suffix in (("NPY", "npy"), ("TIFF", "tif")):
        write_image(tmp_path / f"a.{suffix}", image)
        back, header = read_image(tmp_path / f"a.{suffix}"), read_header(tmp_path / f"a.{suffix}")
        assert back.pixels.dtype == kept
        np.testing.assert_array_equal(back.pixels, image.pixels)
        assert (header.format, header.bands, header.channels, header.bits) == (format, image.bands, channels, back.bits)
    if not picture:  # those are compressed by LZW
        np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif").reshape(array.shape), array.astype(kept))


@pytest.mark.parametrize("options", [{}, {"tile": (16, 16)}, {"compression": "zlib"}, {"byteorder": ">"}], ids=str)
@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("dtype", ["int16", "float32", "float64"])
def test_every_layout_of_a_tiff_is_read(dtype: str, channels: int, planes: str, options: dict[str, object]) -> None:
    array = values(dtype, channels)
    image = decode_image(tiff(array, planes, **options))
    np.testing.assert_array_equal(image.pixels, array)
    assert image.lost == (("more than 32 bits",) if dtype == "float64" else ())


@pytest.mark.parametrize("share", [0.5, 0.9])
@pytest.mark.parametrize("dtype", ["float32", "uint16"])
def test_a_truncated_tiff_of_tiles_is_an_error(dtype: str, share: float) -> None:
    whole = tiff(np.tile(values(dtype, 5), (8, 8, 1)), "contig", tile=(16, 16))
    decode_image(whole)
    with pytest.raises(ImageError, match="truncated"):
        decode_image(whole[: int(len(whole) * share)])


def test_a_tiff_without_its_photometric_interpretation_is_read(reference) -> None:
    path = reference("data/hard_images") / "bit16/10ct_32bit_128.tiff"
    image = read_image(path)
    assert (image.bands, image.pixels.shape) == ("float32", (128, 128, 1))
    np.testing.assert_array_equal(image.pixels[..., 0], tifffile.imread(path))


def test_an_array_keeps_its_axes() -> None:
    flat, one = decode_image(npy(values("float32", 1)[..., 0])), decode_image(npy(values("float32", 1)))
    assert np.load(io.BytesIO(encode_image(flat, "NPY"))).shape == SHAPE
    assert np.load(io.BytesIO(encode_image(one, "NPY"))).shape == (*SHAPE, 1)
    grey = Image(values("uint8", 1))
    assert np.load(io.BytesIO(encode_image(grey, "NPY"))).shape == SHAPE


def test_an_array_in_another_order_of_memory_or_bytes_is_the_same() -> None:
    array = values("float32", 5)
    for other in (np.asfortranarray(array), array.astype(">f4")):
        image = decode_image(npy(other))
        assert image.pixels.dtype == np.float32
        assert image.pixels.dtype.isnative
        np.testing.assert_array_equal(image.pixels, array)


NAN, HUGE = values("float32", 2), np.full((*SHAPE, 2), 1e300)
NAN[3, 4:7, 1] = np.nan


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (npy(NAN), "3 of 480 values are NaN or infinite; replace them"),
        (tiff(NAN), "3 of 480 values are NaN or infinite; replace them"),
        (npy(HUGE), "480 of 480 values are NaN or infinite"),
        (npy(np.moveaxis(np.zeros((40, 50, 5), np.float32), 2, 0)), r"channels seem to come first.*numpy\.moveaxis"),
        (npy(np.zeros((2, 3, 4, 5), np.float32)), r"an array \[2, 3, 4, 5\]; an image is \[h, w\]"),
        (npy(np.zeros((4, 5), np.complex64)), "values of complex64; an image has uint8, uint16, int16, float32"),
        (npy(np.zeros((4, 5), np.int32)), "values of int32; an image has"),
        (npy(np.zeros((4, 5), object)), "values of object"),
        (npy(np.zeros((4, 5, 0), np.float32)), "an empty array"),
        (npy(np.zeros((4, 5), np.float32))[:-8], "damaged NPY data"),
        (tiff(values("int32", 2)), "values of int32"),
        (tiff(NAN - NAN + 1, extratags=[(42113, 2, 0, "1", True)]), "477 of 480 values are 1, which marks missing"),
        (tiff(values("float32", 2))[:-900], "damaged TIFF"),
    ],
    ids=[
        "NaN", "NaN in TIFF", "beyond float32", "channels first", "4 axes", "complex", "int32", "object", "empty",
        "cut", "int32 in TIFF", "no data", "cut TIFF",
    ],
)  # fmt: skip
def test_what_is_no_image_is_refused_in_one_sentence(data: bytes, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        decode_image(data)


def test_many_channels_count_towards_the_limit_of_pixels() -> None:
    data = npy(np.zeros((40, 50, 24), np.float32))
    with pytest.raises(ImageError, match="50 x 40 with 24 channels is 12,000 pixels, more than the limit of 11,999"):
        decode_image(data, max_pixels=11_999)
    assert decode_image(data, max_pixels=12_000).channels == 24


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP", "AVIF", "BMP", "PNM", "JPEG2000"])
def test_a_format_of_pictures_refuses_bands(name: str) -> None:
    with pytest.raises(ImageError, match=f"{name} holds grey or RGB .*, not 5 channels of float32; write TIFF or NPY"):
        encode_image(Image(values("float32", 5)), name)


def test_a_picture_in_an_array_loses_its_alpha_by_name(tmp_path: Path) -> None:
    image = Image(values("uint8", 3), values("uint8", 1)[..., 0])
    assert losses(image, "NPY") == ["alpha"]
    write_image(tmp_path / "a.npy", image)
    assert np.load(tmp_path / "a.npy").shape == (*SHAPE, 3)
