"""A picture's size on paper, from file to file, as Pillow reads it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import tifffile

from i2i.images import decode_image, encode_image, read_header, read_image
from i2i.runtime import Model, Options, translate_folder
from i2i.runtime.api import translate_bytes, translate_file
from i2i.runtime.tiles import large
from tests import tiny
from tests.images.samples import orientation_exif, picture, pillow_bytes
from tests.runtime.tiles.networks import network

HOLDING = ("PNG", "JPEG", "TIFF", "BMP")
DPI = (300, 150)


def dpi(data: bytes | Path) -> tuple[int, ...] | None:
    with PIL.Image.open(io.BytesIO(data) if isinstance(data, bytes) else data) as image:
        found = image.info.get("dpi")
        return found and tuple(round(float(value)) for value in found)


@pytest.mark.parametrize("target", HOLDING)
@pytest.mark.parametrize("source", HOLDING)
def test_it_is_kept(source: str, target: str) -> None:
    image = decode_image(pillow_bytes(picture(), source, dpi=DPI))
    assert image.resolution == pytest.approx((300 / 25.4, 150 / 25.4), rel=1e-4)
    assert dpi(encode_image(image, target)) == DPI
    image.resolution = None
    assert dpi(encode_image(image, target)) in (None, (1, 1))  # a TIFF has to say something, to Pillow


def test_numbers_that_are_whole_stay_so() -> None:
    """Through metres and back, and in centimetres, in which TIFFs may count too."""
    tiff = io.BytesIO()
    tifffile.imwrite(tiff, picture(), resolution=(118.11, 59.055), resolutionunit="CENTIMETER")
    image = decode_image(tiff.getvalue())
    for form in ("PNG", "BMP", "JPEG", "TIFF"):
        data = encode_image(image, form)
        image = decode_image(data)
    with PIL.Image.open(io.BytesIO(data)) as result:
        assert result.info["dpi"] == (300, 150)


@pytest.mark.parametrize(("orientation", "turned"), [(1, False), (3, False), (5, True), (6, True)])
def test_what_is_turned_has_its_sides_changed(orientation: int, turned: bool) -> None:
    for form in ("PNG", "JPEG", "TIFF"):
        data = pillow_bytes(picture(), form, dpi=DPI, exif=orientation_exif(orientation))
        assert dpi(encode_image(decode_image(data), "PNG")) == (DPI[::-1] if turned else DPI)


def test_cameras_say_it_in_exif() -> None:
    exif = PIL.Image.Exif()
    exif[282], exif[283], exif[296] = 240.0, 240.0, 2
    for form in ("JPEG", "WEBP"):
        image = decode_image(pillow_bytes(picture(), form, exif=exif))
        assert dpi(encode_image(image, "JPEG")) == (240, 240)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_what_is_not_said_is_not_made_up(form: str) -> None:
    assert decode_image(pillow_bytes(picture(), form)).resolution is None


@pytest.mark.parametrize(
    ("number", "unit"), [((0, 1), 2), ((300, 0), 2), ((300, 1), 1), ((2**32 - 1, 1), 3), ((1, 2**32 - 1), 2)]
)
def test_what_cannot_be_is_not_believed(number: tuple[int, int], unit: int) -> None:
    tiff = io.BytesIO()
    tags: list[Any] = [(282, 5, 1, number, True), (283, 5, 1, number, True), (296, 3, 1, unit, True)]
    tifffile.imwrite(tiff, picture(), extratags=tags, metadata=None)
    image = decode_image(tiff.getvalue())
    np.testing.assert_array_equal(image.pixels, picture())
    assert image.resolution is None


def test_a_resolution_beyond_jfif_costs_no_image() -> None:
    image = decode_image(pillow_bytes(picture(), "PNG", dpi=(70_000, 70_000)))
    assert decode_image(encode_image(image, "JPEG")).resolution is None
    assert dpi(encode_image(image, "TIFF")) == (70_000, 70_000)


def test_a_translation_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One image, a folder, bytes, and a file that goes in strips; of grey that stays grey too."""
    model = Model(tiny.inverter(tmp_path / "a.onnx"), "cpu", 1)
    folder = tmp_path / "in"
    folder.mkdir()
    names = [f"{name}.{suffix}" for suffix in ("png", "jpg", "tif", "bmp") for name in ("grey", "colour")]
    for name in names:
        PIL.Image.fromarray(picture()).convert("L" if "grey" in name else "RGB").save(folder / name, dpi=DPI)
        assert dpi(translate_file(model, folder / name, tmp_path / name, Options())) == DPI
        result = translate_bytes(model, (folder / name).read_bytes(), Options())
        assert dpi(encode_image(result, result.format)) == DPI
    translate_folder(model, folder, tmp_path / "out", Options())
    assert {name: dpi(tmp_path / "out" / name) for name in names} == dict.fromkeys(names, DPI)
    tiled = Model(network(tmp_path / "net.onnx"), "cpu", 1).tiled(160)
    PIL.Image.fromarray(picture(200, 180)).save(tmp_path / "large.jpg", dpi=DPI, exif=orientation_exif(6))
    for whole in (10**9, 1):
        monkeypatch.setattr(large, "WHOLE", whole)
        for suffix in ("png", "jpg", "tif"):
            target = tmp_path / f"{whole}.{suffix}"
            translate_file(tiled, tmp_path / "large.jpg", target, Options())
            assert read_header(target).resolution == pytest.approx((150 / 25.4, 300 / 25.4), rel=1e-4)
            assert (dpi(target) or (0,))[0] == 150  # of EXIF, that a JPEG made of strips has, Pillow reads this alone
            assert b"eXIf" not in target.read_bytes()[:200]  # nobody asked for it
            assert read_image(target).pixels.shape == (180, 200, 3)
