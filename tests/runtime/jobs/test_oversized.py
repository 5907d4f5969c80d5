"""Files that are not decoded whole, against the same files decoded whole and translated in the same tiles."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

import i2i
from i2i.atomic import clear_temporaries
from i2i.images import Image, ImageError, read_header, read_image, write_image
from i2i.runtime import Options
from i2i.runtime.errors import TooLargeError
from i2i.runtime.jobs import oversized
from i2i.runtime.jobs.folder import translate_folder
from i2i.runtime.jobs.planning import image_task
from i2i.runtime.jobs.single import translate_file
from i2i.runtime.model.model import Model
from i2i.spec import Domain, Spec
from tests import tiny
from tests.conftest import ROOT
from tests.images.large.test_reader import vips_of
from tests.runtime.tiles.networks import SPEC, network, photo

H, W = 420, 500


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return i2i.load(network(tmp_path_factory.mktemp("net") / "net.onnx"), "cpu", threads=1)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every image is too large to be decoded whole."""
    monkeypatch.setattr(oversized, "DECODE_LIMIT", 1000)


def strips_of_file(source: Path, target: Path, model: Model) -> object:
    """Return how the file is translated in strips, or None."""
    return oversized.in_strips(image_task(source, target, Options(), read_header(source)), model, Options())


def picture(channels: int, bits: int) -> np.ndarray:
    colours = photo(H, W)
    if channels == 1:
        colours = colours[..., :1]
    if channels == 4:
        alpha = np.roll(colours[..., 0], 50)
        alpha[:, : W // 3] = alpha[H // 3 : H // 2] = 0  # far from what is visible too
        colours = np.dstack([colours, alpha])
    return colours if bits == 8 else colours.astype(np.uint16) * np.uint16(257) + np.uint16(13)


@pytest.mark.parametrize(
    ("channels", "bits", "how"), [(1, 8, 160), (3, 8, "exact"), (3, 16, 160), (4, 8, 160), (4, 16, 160)]
)
def test_strips_equal_the_image(
    model: Model,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    channels: int,
    bits: int,
    how: str | int,
) -> None:
    monkeypatch.setattr("i2i.runtime.tiles.tiler.side", lambda *_: 160)
    source = tmp_path / "a.tif"
    vips_of(picture(channels, bits)).tiffsave(source, compression="lzw", tile=bits == 8, tile_width=64, tile_height=64)
    tiled = model.tiled(how)
    want = read_image(translate_file(tiled, source, tmp_path / "whole.tif", Options()))
    monkeypatch.setattr(oversized, "DECODE_LIMIT", 1000)
    monkeypatch.setattr("i2i.runtime.jobs.single.read_image", lambda *_: pytest.fail("decoded whole"))
    have = read_image(translate_file(tiled, source, tmp_path / "strips.tif", Options()))
    lost = [f"{tmp_path / name}: not carried over to TIFF: more than 8 bits" for name in ("whole.tif", "strips.tif")]
    assert caplog.messages == lost * (bits == 16)
    np.testing.assert_array_equal(have.pixels, want.pixels)
    assert have.pixels.dtype == (np.uint8 if bits == 8 else np.uint16)
    assert (have.alpha is None) == (channels < 4)
    if channels == 4:
        np.testing.assert_array_equal(have.alpha, want.alpha)


@pytest.mark.usefixtures("small")
def test_values_beyond_the_range_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    scan = Domain("scan", 3, 16, range=((0, 4095),))
    spec = replace(tiny.DEEP, source=scan, target=scan, receptive_field=1, tiling="exact")
    model = i2i.load(tiny.inverter(tmp_path / "net.onnx", spec), "cpu", threads=1).tiled(160)
    dark, bright = photo(H, W).astype(np.uint16) * 16, photo(H, W).astype(np.uint16) * 30
    for name, pixels in (("dark", dark), ("bright", bright)):
        write_image(tmp_path / f"{name}.tif", Image(pixels))
        assert strips_of_file(tmp_path / f"{name}.tif", tmp_path / f"{name}-out.tif", model) is not None
        caplog.clear()
        translate_file(model, tmp_path / f"{name}.tif", tmp_path / f"{name}-out.tif", Options())
        assert ("not carried over to TIFF: values beyond 0..4095" in caplog.text) == (name == "bright")
        assert read_image(tmp_path / f"{name}-out.tif").pixels.max() <= 4095


@pytest.mark.usefixtures("small")
def test_pngs_and_jpegs_are_translated_in_strips(model: Model, tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", Image(picture(3, 8)))
    write_image(tmp_path / "a.jpg", Image(picture(3, 8)))
    tiled = model.tiled(160)
    for name in ("a.png", "a.jpg"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(oversized, "DECODE_LIMIT", 10**9)
            whole = read_image(translate_file(tiled, tmp_path / name, tmp_path / f"w-{name}.png", Options()))
        strips = read_image(translate_file(tiled, tmp_path / name, tmp_path / f"s-{name}.png", Options()))
        np.testing.assert_array_equal(strips.pixels, whole.pixels)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("coding", ["4:4:4", ""])
def test_a_jpeg_keeps_its_chroma_sampling(model: Model, tmp_path: Path, coding: str) -> None:
    write_image(tmp_path / "a.jpg", Image(picture(3, 8), coding=coding))
    result = translate_file(model.tiled(160), tmp_path / "a.jpg", tmp_path / "b.jpg", Options())
    assert read_header(result).coding == coding


@pytest.mark.parametrize("strips", [False, True])
def test_leftovers_of_a_killed_job_to_this_output_are_deleted(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strips: bool
) -> None:
    monkeypatch.setattr(oversized, "DECODE_LIMIT", 1000 if strips else 10**9)
    write_image(tmp_path / "a.tif", Image(picture(3, 8)))
    killed = """
import os, sys
from pathlib import Path
from i2i.atomic import atomically
atomically(Path(sys.argv[1]), lambda path: os._exit(9))
"""
    for name in ("b.tif", "other.tif"):
        done = subprocess.run([sys.executable, "-c", killed, tmp_path / name], cwd=ROOT, check=False)
        assert done.returncode == 9
    assert len(list(tmp_path.glob(".i2i-*"))) == 2
    translate_file(model.tiled(160), tmp_path / "a.tif", tmp_path / "b.tif", Options())
    (left,) = tmp_path.glob(".i2i-*")
    clear_temporaries(tmp_path, "other.tif")
    assert not left.exists()


@pytest.mark.usefixtures("small")
def test_auto_takes_strips_where_the_memory_is_short(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_image(tmp_path / "a.tif", Image(picture(3, 8)))
    said: list[str] = []
    auto = model.tiled("auto", say=said.append)
    assert strips_of_file(tmp_path / "a.tif", tmp_path / "b.tif", auto) is None  # there is room
    assert strips_of_file(tmp_path / "a.tif", tmp_path / "b.tif", model.tiled("off")) is None
    assert said == []

    def short(*_: object) -> None:
        raise TooLargeError("no room")

    monkeypatch.setattr("i2i.runtime.model.executor.Executor.check_size", short)
    monkeypatch.setattr("i2i.runtime.tiles.tiler.side", lambda *_: 160)
    assert strips_of_file(tmp_path / "a.tif", tmp_path / "b.tif", auto) is not None
    assert said == ["500 x 420 pixels do not fit into memory at once; continuing in tiles, strip by strip"]


def test_small_images_are_decoded_whole(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image(tmp_path / "a.tif", Image(photo(1100, 1200)))
    exact = model.tiled("exact")
    source, target = tmp_path / "a.tif", tmp_path / "b.tif"
    assert strips_of_file(source, target, exact) is None
    monkeypatch.setattr(oversized, "available_memory", lambda: 1100 * 1200 * 3 * 5 * 4 - 1)
    assert strips_of_file(source, target, exact) is not None
    assert strips_of_file(source, target, model.tiled(2048)) is None  # one tile holds it
    assert strips_of_file(source, tmp_path / "b.webp", exact) is None  # which is written at once


@pytest.mark.usefixtures("small")
def test_images_that_cannot_be_read_in_strips_are_decoded_whole_with_a_note(model: Model, tmp_path: Path) -> None:
    import PIL.Image

    PIL.Image.fromarray(picture(3, 8)).convert("CMYK").save(tmp_path / "a.jpg")
    said: list[str] = []
    tiled = model.tiled(160, say=said.append)
    assert strips_of_file(tmp_path / "a.jpg", tmp_path / "b.png", tiled) is None
    assert said == [f"{tmp_path / 'a.jpg'}: a JPEG of this kind is decoded whole, all 500 x 420 pixels of it"]


def test_a_model_that_sees_the_whole_image_gets_it_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own error says that the image is too large."""
    monkeypatch.setattr(oversized, "DECODE_LIMIT", 1000)
    unet = i2i.load(network(tmp_path / "net.onnx", replace(SPEC, tiling="no")), "cpu", threads=1)
    write_image(tmp_path / "a.tif", Image(picture(3, 8)))
    assert strips_of_file(tmp_path / "a.tif", tmp_path / "b.tif", unet.tiled(160)) is None
    with pytest.raises(ValueError, match="depends on the whole image"):
        translate_file(unet.tiled(160), tmp_path / "a.tif", tmp_path / "b.tif", Options())


@pytest.mark.usefixtures("small")
def test_a_folder_of_large_images(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for name in ("a.tif", "b.png"):
        write_image(source / name, Image(picture(3, 8)))
    (source / "c.tif").write_bytes((source / "a.tif").read_bytes()[:-5000])
    monkeypatch.setattr("i2i.runtime.jobs.workers.read_image", lambda *_: pytest.fail("decoded whole"))
    notes: list[str] = []
    tiled = model.tiled(160)
    summary = translate_folder(tiled, source, tmp_path / "out", report=lambda one, _: notes.append(one.note))
    assert (summary.done, summary.failed) == (2, 1), notes
    again = translate_folder(tiled, source, tmp_path / "out")
    assert (again.skipped, again.failed) == (2, 1)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [".i2i-job.jsonl", "a.tif", "b.png"]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(("spec", "to", "added"), [(tiny.WEATHER, "rain", 20), (tiny.FACES, "male,smiling", 5)])
def test_memory_of_a_model_of_several_domains_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: Spec, to: str, added: int
) -> None:
    """Measured with the given domain; in a folder one such image must not stop the others."""
    free = [5 * 10**8]  # less than would make measuring needless
    monkeypatch.setattr("i2i.runtime.memory.estimate.available_memory", lambda: free[0])
    monkeypatch.setattr("i2i.runtime.tiles.tiler.side", lambda *_: 160)
    file = tiny.brighter(tmp_path / "net.onnx", replace(spec, receptive_field=1, tiling="any"))
    (tmp_path / "in").mkdir()
    pixels = picture(3, 8) // 2
    write_image(tmp_path / "in" / "a.png", Image(pixels))
    for left, said in ((free[0], 0), (100_000, 1)):  # there is room; there is none
        free[0] = left
        words: list[str] = []
        model = i2i.load(file, "cpu", threads=1).toward(to).tiled("auto", say=words.append)
        summary = translate_folder(model, tmp_path / "in", tmp_path / "out", Options(overwrite=True))
        assert (summary.done, summary.failed) == (1, 0)
        assert len(words) == said
        np.testing.assert_array_equal(read_image(tmp_path / "out" / "a.png").pixels, pixels + added)


@pytest.mark.usefixtures("small")
def test_metadata_is_carried_over(model: Model, tmp_path: Path) -> None:
    import PIL.Image

    exif = PIL.Image.Exif()
    exif[271], exif[274] = "a maker", 6
    PIL.Image.fromarray(picture(3, 8)).save(tmp_path / "a.jpg", exif=exif, quality=95)
    tiled = model.tiled(160)
    translate_file(tiled, tmp_path / "a.jpg", tmp_path / "kept.jpg", Options(keep_metadata=True))
    translate_file(tiled, tmp_path / "a.jpg", tmp_path / "left.jpg", Options())
    with PIL.Image.open(tmp_path / "kept.jpg") as image:
        assert image.size == (H, W)  # upright
        assert dict(image.getexif())[271] == "a maker"
        assert image.getexif().get(274, 1) == 1
    with PIL.Image.open(tmp_path / "left.jpg") as image:
        assert 271 not in image.getexif()


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_xmp_is_written_where_readers_look_for_it(model: Model, tmp_path: Path, suffix: str) -> None:
    import PIL.Image

    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a b="kept"/></x:xmpmeta>'
    PIL.Image.fromarray(picture(3, 8)).save(tmp_path / "a.jpg", xmp=xmp, quality=95)
    done = translate_file(model.tiled(160), tmp_path / "a.jpg", tmp_path / f"b.{suffix}", Options(keep_metadata=True))
    with PIL.Image.open(done) as image:
        assert image.info["xmp"].rstrip(b"\0") == xmp
    back = read_image(done, metadata=True)
    assert back.metadata is not None
    assert back.metadata.xmp == xmp


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_many_in_a_row_take_no_more_memory_than_one(model: Model, tmp_path: Path) -> None:
    """In strips and in memory, each with sessions and readers of its own."""
    write_image(tmp_path / "a.tif", Image(picture(3, 8)))
    tiled, grown = model.tiled(160), []
    for turn in range(60):
        translate_file(tiled, tmp_path / "a.tif", tmp_path / "b.tif", Options(overwrite=True))
        tiled(picture(3, 8))
        if turn >= 20:
            grown.append(psutil.Process().memory_info().rss)
    assert np.median(grown[-10:]) - np.median(grown[:10]) < 4 << 20


def test_a_limit_that_is_passed_says_how_to_raise_it(tmp_path: Path, model: Model) -> None:
    write_image(tmp_path / "a.png", Image(picture(3, 8)))
    with pytest.raises(ImageError, match=r"more than the limit of 1,000.*--max-pixels 210000"):
        translate_file(model, tmp_path / "a.png", tmp_path / "b.png", Options(max_pixels=1000))
