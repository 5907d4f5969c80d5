"""TIFFs of any number of channels: grey, RGB and one alpha are a picture, anything else is bands, value by value."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import tifffile

from i2i.images import read_header, read_image
from tests import tiny
from tests.conftest import Command

KINDS = list(itertools.product(range(2, 14), (8, 16), ("rgb", "minisblack"), ("contig", "separate")))


def tiff(path: Path, samples: int, bits: int, photometric: str, planes: str, **options: object) -> np.ndarray:
    shape = (48, 64, samples) if planes == "contig" else (samples, 48, 64)
    pixels = np.random.default_rng(0).integers(0, 2**bits, shape).astype(f"uint{bits}")
    tifffile.imwrite(path, pixels, photometric=photometric, planarconfig=planes, **options)
    return pixels if planes == "contig" else pixels.transpose(1, 2, 0)


@pytest.mark.parametrize(("samples", "bits", "photometric", "planes"), KINDS)
def test_every_combination_is_read_whole(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], samples: int, bits: int, photometric: str, planes: str
) -> None:
    if photometric == "rgb" and samples == 2:
        pytest.skip("there is no RGB of two channels")
    path = tmp_path / "a.tif"
    pixels = tiff(path, samples, bits, photometric, planes)
    image, header = read_image(path), read_header(path)
    picture = samples == 3 or (photometric == "rgb" and samples == 4)  # of four, the last is marked as alpha
    assert image.bands == header.bands == ("" if picture else f"uint{bits}")
    assert (header.channels, header.bits) == (image.channels, bits)
    have = image.pixels if image.alpha is None else np.dstack([image.pixels, image.alpha])
    assert have.dtype == pixels.dtype
    np.testing.assert_array_equal(have, pixels)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(("photometric", "samples"), [("minisblack", 2), ("rgb", 4)])
def test_one_channel_whose_kind_is_not_stated_is_no_alpha(
    tmp_path: Path, bits: int, photometric: str, samples: int
) -> None:
    pixels = tiff(tmp_path / "a.tif", samples, bits, photometric, "contig", extrasamples=["unspecified"])
    image = read_image(tmp_path / "a.tif")
    assert image.alpha is None
    np.testing.assert_array_equal(image.pixels, pixels)


def test_grey_with_an_alpha_that_is_marked_is_read(tmp_path: Path) -> None:
    pixels = tiff(tmp_path / "a.tif", 2, 8, "minisblack", "contig", extrasamples=["unassalpha"])
    image = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(np.dstack([image.pixels, image.alpha]), pixels)


def test_translate_and_train_report_bands_where_a_picture_is_expected(tmp_path: Path, i2i_inside: Command) -> None:
    pytest.importorskip("torch")
    for folder, samples in (("a", 5), ("b", 3)):
        (tmp_path / folder).mkdir()
        tiff(tmp_path / folder / "five.tif", samples, 8, "rgb", "contig")
    tiff(tmp_path / "b" / "six.tif", 6, 8, "rgb", "contig")
    model, names = tiny.inverter(tmp_path / "a.onnx"), [str(tmp_path / name) for name in ("a", "b", "out")]
    done = i2i_inside("translate", f"{names[0]}/five.tif", f"{names[2]}.tif", "-m", str(model))
    assert done.returncode == 1
    assert "five.tif: the model does not take this image: it has 5 channels of uint8, and 8-bit RGB is" in done.stderr
    done = i2i_inside("check", "cyclegan", "--a", names[0], "--b", names[1])
    assert done.returncode == 1
    assert "b: images of different kinds, 1 of pictures (five.tif), 1 of 6 channels of uint8 (six.tif)" in done.stderr
