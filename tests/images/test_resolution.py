"""Resolution from file to file, as Pillow reads it."""

from __future__ import annotations

import io
import itertools
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import tifffile

from i2i.images import ImageError, decode_image, encode_image, read_header, read_image, tags
from i2i.images.exif import upright_exif
from i2i.images.resolution import UNIT
from i2i.runtime import Model, Options, translate_folder
from i2i.runtime.jobs import oversized
from i2i.runtime.jobs.single import translate_bytes, translate_file
from tests import tiny
from tests.images.samples import orientation_exif, picture, pillow_bytes
from tests.runtime.tiles.networks import SPEC, network

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


def test_whole_numbers_stay_exact() -> None:
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
def test_rotation_swaps_the_resolutions(orientation: int, turned: bool) -> None:
    for form in ("PNG", "JPEG", "TIFF"):
        data = pillow_bytes(picture(), form, dpi=DPI, exif=orientation_exif(orientation))
        assert dpi(encode_image(decode_image(data), "PNG")) == (DPI[::-1] if turned else DPI)


def test_the_resolution_is_read_from_exif() -> None:
    exif = PIL.Image.Exif()
    exif[282], exif[283], exif[296] = 240.0, 240.0, 2
    for form in ("JPEG", "WEBP"):
        image = decode_image(pillow_bytes(picture(), form, exif=exif))
        assert dpi(encode_image(image, "JPEG")) == (240, 240)


def test_exif_states_the_resolution_of_a_png_without_phys() -> None:
    exif = PIL.Image.Exif()
    exif[282], exif[283], exif[296] = 240.0, 240.0, 2
    assert dpi(encode_image(decode_image(pillow_bytes(picture(), "PNG", exif=exif)), "PNG")) == (240, 240)
    both = bytearray(pillow_bytes(picture(), "PNG", exif=exif, dpi=DPI))
    assert decode_image(bytes(both)).resolution == pytest.approx((300 / 25.4, 150 / 25.4), rel=1e-4)
    at = both.index(b"pHYs") - 4
    chunk = both[at : at + 21]
    del both[at : at + 21]
    end = both.index(b"IDAT") - 4
    for place in (33, end):
        data = bytes(both[:place] + chunk + both[place:])
        assert decode_image(data).resolution == pytest.approx((300 / 25.4, 150 / 25.4), rel=1e-4)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_a_missing_resolution_is_not_invented(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole and in strips, and with EXIF that does not say it either."""
    exif = orientation_exif(6)
    source = tmp_path / f"source.{form.lower()}"
    source.write_bytes(pillow_bytes(picture(180, 40), form, exif=exif))
    assert decode_image(source.read_bytes()).resolution is None
    plain = network(tmp_path / "net.onnx", replace(SPEC, tiling="exact"), norms=False)
    tiled = Model(plain, "cpu", 1).tiled(160)
    for whole in (10**9, 1):
        monkeypatch.setattr(oversized, "DECODE_LIMIT", whole)
        for suffix in ("png", "jpg", "tif"):
            for keep in (False, True):
                target = tmp_path / f"{whole}-{keep}.{suffix}"
                translate_file(tiled, source, target, Options(keep_metadata=keep))
                assert read_header(target).resolution is None
                assert suffix == "jpg" or dpi(target) in (None, (1, 1))  # of EXIF without it, Pillow makes up 72
                assert read_image(target).pixels.shape == (40, 180, 3)
                with PIL.Image.open(target) as image:
                    image.load()  # the checksums of a PNG


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
def test_the_unit_is_taken_back_of_every_tiff(order: Any, big: bool) -> None:
    file = io.BytesIO(b"before")
    file.seek(6)
    lone = io.BytesIO()
    tifffile.imwrite(lone, picture(), byteorder=order, bigtiff=big, resolution=(300, 150), resolutionunit=2)
    file.write(lone.getvalue())
    for start, whole in ((0, lone), (6, file)):
        tags.set_short(whole, start, UNIT, 1)
        image = decode_image(whole.getvalue()[start:])
        np.testing.assert_array_equal(image.pixels, picture())
        assert image.resolution is None


@pytest.mark.parametrize(
    ("number", "unit"), [((0, 1), 2), ((300, 0), 2), ((300, 1), 1), ((2**32 - 1, 1), 3), ((1, 2**32 - 1), 2)]
)
def test_impossible_resolutions_are_ignored(number: tuple[int, int], unit: int) -> None:
    tiff = io.BytesIO()
    tags: list[Any] = [(282, 5, 1, number, True), (283, 5, 1, number, True), (296, 3, 1, unit, True)]
    tifffile.imwrite(tiff, picture(), extratags=tags, metadata=None)
    image = decode_image(tiff.getvalue())
    np.testing.assert_array_equal(image.pixels, picture())
    assert image.resolution is None


def tag_behind_the_end(tag: int, data: bytes) -> bytes:
    """A little-endian TIFF whose tag, of more than four bytes, leads nowhere."""
    broken = bytearray(data)
    (first,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, first)
    for at in range(first + 2, first + 2 + 12 * count, 12):
        if struct.unpack_from("<H", data, at) == (tag,):
            struct.pack_into("<I", broken, at + 8, len(data) - 4)
    assert broken != data
    return bytes(broken)


@pytest.mark.parametrize("tag", [282, 283, 34675])
def test_broken_offsets_of_tiff_metadata_do_not_fail_the_image(tag: int) -> None:
    profile = bytes(16) + b"RGB " + bytes(108)
    data = tag_behind_the_end(tag, pillow_bytes(picture(), "TIFF", dpi=DPI, icc_profile=profile))
    image = decode_image(data)
    np.testing.assert_array_equal(image.pixels, picture())
    assert image.resolution is None or tag == 34675
    assert image.icc == (None if tag == 34675 else profile)


def test_broken_offsets_of_tiff_pixels_are_damage() -> None:
    with pytest.raises(ImageError, match="the value of tag 258 would lie behind the end of the file"):
        decode_image(tag_behind_the_end(258, pillow_bytes(picture(), "TIFF")))


@pytest.mark.parametrize("form", HOLDING)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e7, -1.0, 0.0])
def test_resolutions_out_of_range_are_not_written(form: str, value: float) -> None:
    image = decode_image(pillow_bytes(picture(), form))
    for image.resolution in ((value, value), (10.0, value), (value, 10.0)):
        result = decode_image(encode_image(image, form))
        assert result.resolution is None
        assert result.width == image.width


def test_a_broken_resolution_costs_no_exif() -> None:
    exif = PIL.Image.Exif()
    exif[282], exif[283], exif[296] = 300.0, 150.0, 2
    block = exif.tobytes().removeprefix(b"Exif\0\0")
    broken = bytearray(block)
    at = block.index(struct.pack(">HHI", 282, 5, 1))
    struct.pack_into(">I", broken, at + 8, len(block) + 100)
    assert upright_exif(bytes(broken), 4, 4, (10.0, 20.0)) is not None


def test_a_resolution_beyond_jfif_costs_no_image() -> None:
    image = decode_image(pillow_bytes(picture(), "PNG", dpi=(70_000, 70_000)))
    assert decode_image(encode_image(image, "JPEG")).resolution is None
    assert dpi(encode_image(image, "TIFF")) == (70_000, 70_000)


def test_a_translation_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One image, a folder, bytes, and a file that goes in strips; of grey that stays grey too.

    What EXIF says, with it the metadata that is kept, gives way to what JFIF says, and is turned with the image.
    """
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
    plain = network(tmp_path / "net.onnx", replace(SPEC, tiling="exact"), norms=False)
    tiled = Model(plain, "cpu", 1).tiled(160)
    other, turned = orientation_exif(6), orientation_exif(6)
    other[282], other[283], other[296] = 72.0, 72.0, 2
    turned[282], turned[283], turned[296] = 300 / 2.54, 150 / 2.54, 3  # in centimetres
    sources: dict[str, dict[str, Any]] = {
        "jfif": {"dpi": DPI, "exif": orientation_exif(6)},
        "both": {"dpi": DPI, "exif": other},
    }
    sources["exif"] = {"exif": turned}
    for name, options in sources.items():
        PIL.Image.fromarray(picture(180, 40)).save(tmp_path / f"{name}.jpg", **options)
    cases = itertools.product((10**9, 1), sources, ("png", "jpg", "tif", "webp"), (False, True))
    for whole, name, suffix, keep in cases:
        if suffix == "webp" and (name == "jfif" or not keep):  # which has but EXIF to say it in
            continue
        monkeypatch.setattr(oversized, "DECODE_LIMIT", whole)
        target = tmp_path / f"{name}-{whole}-{keep}.{suffix}"
        translate_file(tiled, tmp_path / f"{name}.jpg", target, Options(keep_metadata=keep))
        assert read_header(target).resolution == pytest.approx((150 / 25.4, 300 / 25.4), rel=1e-4)
        assert (dpi(target) or (150,))[0] == 150  # of EXIF, that a JPEG made of strips has, Pillow reads this alone
        assert (b"eXIf" in target.read_bytes()[:200]) == (keep and suffix == "png")  # only where it is asked for
        assert read_image(target).pixels.shape == (40, 180, 3)
        with PIL.Image.open(target) as written:
            found = written.getexif()
        if name != "jfif" and keep and suffix != "tif":
            assert (found[282], found[283], found[296]) == (150, 300, 2)
