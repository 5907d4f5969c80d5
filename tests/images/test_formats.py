"""The table of formats, and those formats that Pillow makes easy: AVIF, TGA, QOI, PCX and DDS."""

from __future__ import annotations

import io
import re
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest
from PIL import ImageCms

from i2i.images import Image, ImageError, decode_image, encode_image, losses, read_header, read_image, write_image
from i2i.images.formats import table
from i2i.images.formats.table import FORMATS, Holds, sniff
from tests.images.samples import alpha_of, orientation_exif, picture, pillow_bytes

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("name", FORMATS)
def test_every_row_is_whole(name: str) -> None:
    row = FORMATS[name]
    if row.magic is not None:
        re.compile(row.magic, re.DOTALL)
    if row.module:
        for function in ("header", "decode", *(["encode"] if row.holds else [])):
            assert callable(getattr(row.code, function))
    assert row.module or row.holds is None
    if row.holds is not None:
        assert sniff(encode_image(Image(picture()), name)[:64], "") == name
    if row.strips is not None:
        for function in ("stripwise", "strip_options", "drop_unit", *(["blocks"] if row.strips.head else [])):
            assert callable(getattr(row.code, function))


def test_no_suffix_and_no_file_is_of_two_formats() -> None:
    suffixes = [suffix for row in FORMATS.values() for suffix in f"{row.suffixes} {row.also}".split()]
    assert len(suffixes) == len(set(suffixes))
    for name in table.WRITABLE:
        start = encode_image(Image(picture()), name)[:64]
        assert [other for other, row in FORMATS.items() if row.matches(start, "")] == [name]


@pytest.mark.parametrize("name", table.WRITABLE)
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("alpha", [False, True])
def test_a_row_holds_what_it_says(name: str, bits: int, channels: int, alpha: bool) -> None:
    """The written file, read again, has exactly the contents that ``losses`` does not name."""
    image = Image(picture(channels=channels, bits=bits), alpha_of(bits=bits) if alpha else None)
    image.icc = PROFILE if channels == 3 else None
    image.resolution = (11.811, 11.811)
    lost, holds = losses(image, name), FORMATS[name].holds or Holds()
    back = decode_image(encode_image(image, name))
    assert (back.bits < bits) == ("more than 8 bits" in lost)
    assert (alpha and back.alpha is None) == ("alpha" in lost)
    assert (image.icc is not None and back.icc is None) == ("colour profile" in lost)
    assert (back.resolution is None) == ("resolution" in lost)
    assert back.channels == (channels if holds.grey and (holds.grey_alpha or not alpha or not holds.alpha) else 3)


def test_other_names_are_refused_with_a_reason(tmp_path: Path) -> None:
    for start, reason in ((b"8BPS", "Photoshop"), (b"#?RADIANCE\n", "Radiance HDR"), (b"\xff\x0a", "JPEG XL")):
        (tmp_path / "a.png").write_bytes(start + bytes(60))
        with pytest.raises(ImageError, match=f"{reason} files are not supported; convert it to PNG or TIFF"):
            read_image(tmp_path / "a.png")
    with pytest.raises(ImageError, match=r"cannot write a '\.heic' file; choose one of \.png"):
        write_image(tmp_path / "a.heic", Image(picture()))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
@pytest.mark.parametrize("format", ["TGA", "PCX", "DDS", "QOI"])
def test_formats_of_pillow_are_read_as_it_reads_them(tmp_path: Path, format: str, mode: str) -> None:
    if (format, mode) in {("PCX", "RGBA"), ("QOI", "L")}:
        pytest.skip("the format has no such mode")
    path = tmp_path / f"a.{format.lower()}"
    image = PIL.Image.fromarray(np.dstack([picture(), alpha_of()])).convert(mode)
    image.save(path)
    found, header = read_image(path), read_header(path)
    assert found.format == format
    assert (header.channels, header.alpha, header.bits) == (1 if mode == "L" else 3, mode == "RGBA", 8)
    have = found.pixels if found.alpha is None else np.dstack([found.pixels, found.alpha])
    np.testing.assert_array_equal(have.squeeze(), np.asarray(image))


@pytest.mark.parametrize("format", ["TGA", "PCX", "DDS", "QOI", "AVIF"])
def test_damage_in_them_is_an_image_or_an_error(tmp_path: Path, format: str) -> None:
    path = tmp_path / f"a.{format.lower()}"
    good = pillow_bytes(picture(), format)
    rng = np.random.default_rng(3)
    for number in range(150):
        data = bytearray(good)
        data[rng.integers(len(data) if number % 2 else 40)] ^= 1 << rng.integers(8)
        path.write_bytes(bytes(data))
        said = ""
        try:
            assert read_image(path, max_pixels=1_000_000).pixels.ndim == 3
        except ImageError as error:
            said = str(error)
        assert "object at 0x" not in said


@pytest.mark.parametrize("alpha", [False, True])
def test_avif_keeps_colours_profile_and_metadata(alpha: bool) -> None:
    exif = orientation_exif(1)
    exif[271] = "A maker"
    source = pillow_bytes(picture(), "JPEG", exif=exif, icc_profile=PROFILE, quality=100)
    image = decode_image(source, metadata=True)
    image.alpha = alpha_of() if alpha else None
    small, large = (encode_image(image, "AVIF", quality) for quality in (30, 95))
    assert len(small) < len(large)
    back = decode_image(large, metadata=True)
    assert np.abs(back.pixels.astype(int) - image.pixels)[:, 16:].mean() < 1.5
    assert (back.icc, back.alpha is not None) == (PROFILE, alpha)
    assert back.metadata is not None
    assert b"A maker" in (back.metadata.exif or b"")
    assert losses(image, "AVIF") == []


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_a_turned_avif_is_upright(orientation: int) -> None:
    data = pillow_bytes(picture(40, 64), "AVIF", exif=orientation_exif(orientation), quality=95)
    with PIL.Image.open(io.BytesIO(data)) as image:
        upright = np.asarray(PIL.ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(decode_image(data).pixels, upright)


@pytest.mark.parametrize("bits", [10, 12])
def test_an_avif_of_more_than_8_bits_becomes_16(bits: int) -> None:
    deep = picture(bits=16)
    stored = deep >> (16 - bits)
    options = [cv2.IMWRITE_AVIF_QUALITY, 100, cv2.IMWRITE_AVIF_DEPTH, bits]
    done, data = cv2.imencode(".avif", np.ascontiguousarray(stored[..., ::-1]), options)
    assert done
    image = decode_image(data.tobytes())
    assert image.bits == 16
    assert np.abs(image.pixels / 65535 - stored / (2**bits - 1)).max() < 4 / 2**bits


def test_a_name_in_capitals_and_without_a_magic_number_is_known(tmp_path: Path) -> None:
    PIL.Image.fromarray(picture()).save(tmp_path / "a.tga")
    (tmp_path / "a.tga").rename(tmp_path / "A.TGA")
    np.testing.assert_array_equal(read_image(tmp_path / "A.TGA").pixels, picture())
