"""Results pasted back into their sources by masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import i2i
from i2i.images import Image, decode_image, read_image, write_image
from i2i.runtime import ModelError
from i2i.runtime.api import SomeFailedError
from i2i.runtime.jobs import masks
from tests import tiny

RNG = np.random.default_rng(0)
PHOTO = RNG.integers(0, 256, (30, 40, 3)).astype(np.uint8)
HALF = np.zeros((30, 40, 1), np.uint8)
HALF[:, :20] = 255


@pytest.fixture
def model(tmp_path: Path) -> i2i.Model:
    return i2i.load(tiny.inverter(tmp_path / "inverter.onnx"), "cpu")


def saved(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, Image(np.ascontiguousarray(pixels)))
    return path


def pixels(path: Path) -> np.ndarray:
    return read_image(path).pixels


def test_outside_of_the_mask_the_source_stays_to_the_bit(model: i2i.Model, tmp_path: Path) -> None:
    source, mask = saved(tmp_path / "photo.png", PHOTO), saved(tmp_path / "mask.png", HALF)
    result = pixels(i2i.translate(source, tmp_path / "out.png", model, mask=mask))
    assert np.array_equal(result[:, 20:], PHOTO[:, 20:])
    assert np.array_equal(result[:, :20], 255 - PHOTO[:, :20])
    soft = saved(tmp_path / "soft.png", np.full_like(HALF, 51))
    mixed = pixels(i2i.translate(source, tmp_path / "mixed.png", model, mask=soft)).astype(int)
    assert np.abs(mixed - (0.2 * (255.0 - PHOTO) + 0.8 * PHOTO)).max() <= 0.5
    coloured = saved(tmp_path / "coloured.png", np.dstack([HALF] * 3))
    assert np.array_equal(pixels(i2i.translate(source, tmp_path / "c.png", model, mask=coloured)), result)


def test_a_folder_finds_each_mask_by_name(model: i2i.Model, tmp_path: Path) -> None:
    for name, mask in (("1.png", HALF), ("sub/1.png", 255 - HALF), ("sub/2.png", HALF)):
        saved(tmp_path / "photos" / name, PHOTO)
        saved(tmp_path / "masks" / Path(name).with_suffix(".bmp"), mask)
    options = {"mask": tmp_path / "masks", "suffix": "-x"}
    out = i2i.translate(tmp_path / "photos", tmp_path / "out", model, **options)
    for name, kept in (("1-x.png", slice(20, None)), ("sub/1-x.png", slice(0, 20)), ("sub/2-x.png", slice(20, None))):
        result = pixels(Path(out) / name)
        assert np.array_equal(result[:, kept], PHOTO[:, kept])
        assert not np.array_equal(result, PHOTO)
    saved(tmp_path / "masks" / "1.bmp", 255 - HALF)  # other masks are another job
    with pytest.raises(ValueError, match="has results of a job that differs"):
        i2i.translate(tmp_path / "photos", tmp_path / "out", model, **options)
    (tmp_path / "masks" / "1.bmp").unlink()
    with pytest.raises(SomeFailedError, match=r"1\.png: no mask of this name; expected one for each image"):
        i2i.translate(tmp_path / "photos", tmp_path / "other", model, **options)
    assert len(list((tmp_path / "other").rglob("*.png"))) == 2


def test_the_mask_of_several_with_one_name(tmp_path: Path) -> None:
    for name in ("1.png", "1.bmp", "1.txt", "2.txt", "2.tif"):
        (tmp_path / name).write_bytes(b"")
    assert masks.mask_file(tmp_path, "1.png") == tmp_path / "1.png"  # not the first in the alphabet
    assert masks.mask_file(tmp_path, "2.jpg") == tmp_path / "2.tif"  # not the text
    with pytest.raises(i2i.ImageError, match=r"1\.jpg: several masks of this name: 1\.bmp, 1\.png; expected one"):
        masks.mask_file(tmp_path, "1.jpg")


def test_a_mask_is_a_picture_of_no_more_pixels_than_allowed(model: i2i.Model, tmp_path: Path) -> None:
    source = saved(tmp_path / "photo.png", PHOTO)
    np.save(tmp_path / "float.npy", HALF.astype(np.float32))
    with pytest.raises(i2i.ImageError, match=r"float\.npy: it has 1 channel of float32; a mask is a picture of "):
        i2i.translate(source, tmp_path / "out.png", model, mask=tmp_path / "float.npy")
    large = saved(tmp_path / "large.png", HALF.repeat(2, 0))
    with pytest.raises(i2i.ImageError, match=r"large\.png: .*2,?400 pixels"):
        i2i.translate(source, tmp_path / "out.png", model, mask=large, max_pixels=1200)


def test_grey_images_and_alpha(tmp_path: Path) -> None:
    grey = PHOTO[..., :1]
    source, mask = saved(tmp_path / "grey.png", grey), saved(tmp_path / "mask.png", HALF)
    tinted = i2i.load(tiny.tinted(tmp_path / "tinted.onnx"), "cpu")  # colours a grey image
    result = pixels(i2i.translate(source, tmp_path / "out.png", tinted, mask=mask))
    assert result.shape == (30, 40, 3)
    assert np.array_equal(result[:, 20:], np.dstack([grey] * 3)[:, 20:])
    alpha = RNG.integers(0, 256, (30, 40)).astype(np.uint8)
    write_image(tmp_path / "alpha.png", Image(PHOTO, alpha))
    inverter = i2i.load(tiny.inverter(tmp_path / "inverter.onnx"), "cpu")
    found = read_image(i2i.translate(tmp_path / "alpha.png", tmp_path / "a.png", inverter, mask=mask))
    assert found.alpha is not None
    assert np.array_equal(found.alpha, alpha)


def test_what_cannot_be_pasted_is_refused(model: i2i.Model, tmp_path: Path) -> None:
    source = saved(tmp_path / "photo.png", PHOTO)
    small = saved(tmp_path / "small.png", HALF[:20])
    with pytest.raises(i2i.ImageError, match=r"small\.png: the mask has 40 x 20 pixels, and its image 40 x 30"):
        i2i.translate(source, tmp_path / "out.png", model, mask=small)
    with pytest.raises(ValueError, match="the source is an array or a video"):
        i2i.translate(PHOTO, model=model, mask=small)
    large = Image(PHOTO.repeat(2, 0).repeat(2, 1))
    with pytest.raises(
        ModelError, match="has 80 x 60 pixels of 8 bits, and its source 40 x 30 of 8: it cannot be past"
    ):
        masks.pasted(large, Image(PHOTO), masks.Mask(Image(HALF), "mask.png"))


def test_sixteen_bits_stay_outside_of_the_mask(model: i2i.Model, tmp_path: Path) -> None:
    deep = PHOTO.astype(np.uint16) * 255 + 7
    source, mask = saved(tmp_path / "deep.png", deep), saved(tmp_path / "mask.png", HALF)
    result = pixels(i2i.translate(source, tmp_path / "out.png", model, mask=mask))
    assert result.dtype == np.uint16
    assert np.array_equal(result[:, 20:], deep[:, 20:])


def test_on_the_command_line(model: i2i.Model, tmp_path: Path, i2i_inside) -> None:
    source, mask = saved(tmp_path / "photo.png", PHOTO), saved(tmp_path / "masks" / "photo.png", HALF)
    done = i2i_inside("translate", source, tmp_path / "out.png", "-m", model.path, "--mask", tmp_path / "masks")
    assert done.returncode == 0, done.stderr
    assert np.array_equal(pixels(tmp_path / "out.png")[:, 20:], PHOTO[:, 20:])
    given = {"data": source.read_bytes(), "text": False}
    done = i2i_inside("translate", "-", "-m", model.path, "--mask", tmp_path / "masks", **given)
    assert done.returncode == 2
    assert b"has no name to find a mask by" in done.stderr
    done = i2i_inside("translate", "-", "-m", model.path, "--mask", mask, **given)
    assert np.array_equal(decode_image(done.stdout, "out").pixels, pixels(tmp_path / "out.png"))


def test_a_model_that_fills_holes_fills_the_white_parts(tmp_path: Path) -> None:
    """Its source has the holes as alpha 0, and grey in them: here it returns the negative of the grey."""
    path = tiny.filler(tmp_path / "fill.onnx")
    source, mask = saved(tmp_path / "photo.png", PHOTO), saved(tmp_path / "mask.png", HALF)
    model = i2i.load(path, "cpu")
    result = pixels(i2i.translate(source, tmp_path / "out.png", model, mask=mask))
    assert np.array_equal(result[:, 20:], PHOTO[:, 20:])
    assert (result[:, :20] == 255 - 128).all()
    assert np.array_equal(pixels(i2i.translate(source, tmp_path / "whole.png", model)), PHOTO)  # there is no hole
