"""TIFFs of more channels than an image has are refused with one sentence that names how many."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from i2i.images import ImageError, read_header, read_image
from tests import tiny
from tests.conftest import ROOT

KINDS = list(itertools.product(range(2, 14), (8, 16), ("rgb", "minisblack"), ("contig", "separate")))


def tiff(path: Path, samples: int, bits: int, photometric: str, planes: str, **options: object) -> np.ndarray:
    shape = (48, 64, samples) if planes == "contig" else (samples, 48, 64)
    pixels = np.random.default_rng(0).integers(0, 2**bits, shape).astype(f"uint{bits}")
    tifffile.imwrite(path, pixels, photometric=photometric, planarconfig=planes, **options)
    return pixels if planes == "contig" else pixels.transpose(1, 2, 0)


@pytest.mark.parametrize(("samples", "bits", "photometric", "planes"), KINDS)
def test_every_combination_is_read_whole_or_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], samples: int, bits: int, photometric: str, planes: str
) -> None:
    if photometric == "rgb" and samples == 2:
        pytest.skip("there is no RGB of two channels")
    path = tmp_path / "a.tif"
    pixels = tiff(path, samples, bits, photometric, planes)
    if photometric == "rgb" and samples <= 4:  # of four, the last is marked as alpha
        image = read_image(path)
        have = image.pixels if image.alpha is None else np.dstack([image.pixels, image.alpha])
        np.testing.assert_array_equal(have, pixels)
    else:
        for read in (read_image, read_header):
            with pytest.raises(ImageError, match=rf"a\.tif: a TIFF of {samples} channels, (RGB|grey) and .*: save the"):
                read(path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(("photometric", "samples"), [("minisblack", 2), ("rgb", 4)])
def test_one_channel_whose_kind_is_not_stated_is_no_alpha(
    tmp_path: Path, bits: int, photometric: str, samples: int
) -> None:
    tiff(tmp_path / "a.tif", samples, bits, photometric, "contig", extrasamples=["unspecified"])
    with pytest.raises(ImageError, match=f"of {samples} channels, .* and one that is not marked as alpha"):
        read_image(tmp_path / "a.tif")


def test_grey_with_an_alpha_that_is_marked_is_read(tmp_path: Path) -> None:
    pixels = tiff(tmp_path / "a.tif", 2, 8, "minisblack", "contig", extrasamples=["unassalpha"])
    image = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(np.dstack([image.pixels, image.alpha]), pixels)


def test_translate_and_train_report_it(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    for folder in "ab":
        (tmp_path / folder).mkdir()
        tiff(tmp_path / folder / "five.tif", 5, 8, "rgb", "contig")
    model, names = tiny.inverter(tmp_path / "a.onnx"), [str(tmp_path / name) for name in ("a", "b", "out")]
    for words in (
        ["translate", f"{names[0]}/five.tif", f"{names[2]}.tif", "-m", str(model)],
        ["check", "cyclegan", "--a", names[0], "--b", names[1]],
    ):
        done = subprocess.run([sys.executable, "-m", "i2i", *words], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 1
        assert "five.tif: a TIFF of 5 channels, RGB and 2 more" in done.stderr
        assert "TIFFReadDirectory" not in done.stderr
        assert "object at" not in done.stderr
