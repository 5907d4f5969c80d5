"""Real photographs as AVIF and HEIC, and real animations, through the whole command: a file or a folder in and out."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import PIL.Image
import pytest
from PIL import ImageSequence

from i2i.images import convert, read_header, read_image
from tests import tiny
from tests.conftest import Command

HEIC = Path(__file__).parent / "images" / "heic"
Reference = Callable[[str], Path]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.inverter(tmp_path_factory.mktemp("model") / "invert.onnx")


@pytest.fixture(scope="module")
def album(reference: Reference, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a cat as AVIF in 8 bits, turned, with alpha and in 10 bits, of four HEIC, and of five animations."""
    folder = tmp_path_factory.mktemp("album")
    with PIL.Image.open(reference("data/hard_images/real_photo/chelsea.png")) as image:
        cat = image.convert("RGB").resize((226, 150))
    turn = PIL.Image.Exif()
    turn[274] = 6
    alpha = PIL.Image.linear_gradient("L").resize(cat.size)
    cat.save(folder / "cat.avif", quality=90)
    cat.save(folder / "turned.avif", quality=90, exif=turn)
    PIL.Image.merge("RGBA", (*cat.split(), alpha)).save(folder / "soft.avif", quality=90)
    deep = np.asarray(cat)[..., ::-1].astype(np.uint16) * 4
    options = [cv2.IMWRITE_AVIF_QUALITY, 90, cv2.IMWRITE_AVIF_DEPTH, 10]
    (folder / "deep.avif").write_bytes(cv2.imencode(".avif", deep, options)[1].tobytes())
    for path in (*HEIC.glob("*.heic"), *reference("data/hard_images/animated").iterdir()):
        shutil.copy(path, folder)
    assert len(list(folder.iterdir())) == 13
    return folder


def levels(source: Path, result: Path) -> float:
    """Mean difference of a result from the negative of its source, in levels of 8 bits, where anything shows."""
    before, after = read_image(source), read_image(result)
    shows = np.ones(before.pixels.shape[:2], bool) if before.alpha is None else before.alpha > 0
    assert after.pixels.shape[:2] == before.pixels.shape[:2]
    difference = 255 - convert(before.pixels, 3, 8).astype(int) - convert(after.pixels, 3, 8)
    return float(np.abs(difference)[shows].mean())


def test_a_folder_keeps_avif_and_takes_heic_and_first_frames(
    album: Path, model: Path, tmp_path: Path, i2i_inside: Command
) -> None:
    done = i2i_inside("translate", album, tmp_path / "out", "-m", model, "--provider", "cpu", "--quality", 100)
    assert done.returncode == 0, done.stderr
    results = {
        path.name: read_header(path) for path in (tmp_path / "out").iterdir() if path.suffix in (".avif", ".png")
    }
    results |= {"iss634.webp": read_header(tmp_path / "out" / "iss634.webp")}
    assert len(results) == 13
    frames = [line for line in done.stderr.splitlines() if "frames or pages after the first" in line]
    for path in album.iterdir():
        written = path.name + (".png" if path.suffix in (".heic", ".gif") else "")
        before, after = read_header(path), results[written]
        assert (after.width, after.height, after.frames) == (before.width, before.height, 1)
        assert after.format == {"GIF": "PNG", "HEIC": "PNG"}.get(before.format, before.format)
        assert levels(path, tmp_path / "out" / written) < (2 if path.suffix == ".avif" else 0.01 + (before.bits > 8))
        assert any(path.name in line for line in frames) == (before.frames > 1)
    assert (results["turned.avif"].width, results["turned.avif"].height) == (150, 226)
    assert results["soft.avif"].alpha
    assert results["ten_bits.heic.png"].bits == 16
    assert re.search(r"not carried over to AVIF: more than 8 bits \(1 result: .*deep\.avif\)", done.stderr)
    again = i2i_inside("translate", album, tmp_path / "out", "-m", model, "--provider", "cpu", "--quality", 100)
    assert "0 translated, 13 done before, 0 failed" in again.stdout


@pytest.mark.parametrize("format", ["avif", "jpeg", "png"])
def test_a_folder_in_one_format(album: Path, model: Path, tmp_path: Path, i2i_inside: Command, format: str) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for name in ("cat.avif", "turned.avif", "profile.heic", "alpha.heic", "dispose_bgnd.gif"):
        shutil.copy(album / name, source)
    words = ("--format", format, "-m", model, "--provider", "cpu", "--background", 255)
    done = i2i_inside("translate", source, tmp_path / "out", *words)
    assert done.returncode == 0, done.stderr
    suffix = {"jpeg": ".jpg"}.get(format, f".{format}")
    assert len(list((tmp_path / "out").glob(f"*{suffix}"))) == 5
    for name in ("cat.avif", "turned.avif", "profile.heic"):
        result = (tmp_path / "out" / name).with_suffix(suffix)
        assert read_header(result).format == format.upper()
        assert levels(source / name, result) < {"png": 0.01}.get(format, 3)
    assert ("not carried over to JPEG: alpha (1 result" in done.stderr) == (format == "jpeg")


def test_one_file(album: Path, model: Path, tmp_path: Path, i2i_inside: Command) -> None:
    for name in ("cat.avif", "profile.heic"):
        shutil.copy(album / name, tmp_path)
    for words, written in (
        (["cat.avif"], "cat-invert.avif"),
        (["cat.avif", "cat.png"], "cat.png"),
        (["profile.heic"], "profile.heic-invert.png"),
        (["profile.heic", "phone.avif"], "phone.avif"),
        (["profile.heic", "phone.jpg"], "phone.jpg"),
    ):
        done = i2i_inside("translate", *words, "-m", model, "--provider", "cpu", cwd=tmp_path)
        assert (done.returncode, done.stdout.strip()) == (0, written), done.stderr
        assert levels(tmp_path / words[0], tmp_path / written) < (3 if written.endswith(("avif", "jpg")) else 0.01)
    assert read_image(tmp_path / "phone.avif").icc == read_image(tmp_path / "profile.heic").icc is not None


def shown(path: Path) -> tuple[np.ndarray, list[np.ndarray]]:
    """The times in milliseconds until which an animation's frames are shown, and the frames in RGBA."""
    frames, delays = [], []
    with PIL.Image.open(path) as image:
        for frame in ImageSequence.Iterator(image):
            frames.append(np.asarray(frame.convert("RGBA")))
            delays.append(frame.info["duration"] or 100)  # as browsers do
    return np.cumsum(delays), frames


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("chi.gif", ".gif"),
        ("chi.gif", ".webp"),
        ("dispose_bgnd.gif", ".gif"),
        ("dispose_bgnd.gif", ".png"),
        ("different_transparency.gif", ".gif"),
        ("different_transparency.gif", ".webp"),
        ("basic_f20.png", ".png"),
        ("basic_f20.png", ".webp"),
        ("iss634.webp", ".webp"),
    ],
)
def test_a_real_animation_is_exact_at_all_times(
    name: str, suffix: str, reference: Reference, model: Path, tmp_path: Path, i2i_inside: Command
) -> None:
    source, result = reference(f"data/hard_images/animated/{name}"), tmp_path / f"out{suffix}"
    done = i2i_inside("translate", source, result, "-m", model, "--provider", "cpu", "--quality", 100)
    assert done.returncode == 0, done.stderr
    (until, before), (end, after) = shown(source), shown(result)
    assert until[-1] == end[-1]
    for time in {0, *until[:-1], *end[:-1]}:  # an encoder may store equal frames as one
        old, new = before[np.searchsorted(until, time, "right")], after[np.searchsorted(end, time, "right")]
        np.testing.assert_array_equal(new[..., 3], old[..., 3])
        shows = old[..., 3] > 0
        np.testing.assert_array_equal(new[shows][:, :3], 255 - old[shows][:, :3])


@pytest.mark.parametrize(("name", "frames"), [("chi.gif", 31), ("iss634.webp", 42)])
def test_a_real_animation_becomes_a_video(
    name: str, frames: int, reference: Reference, model: Path, tmp_path: Path, i2i_inside: Command
) -> None:
    source = reference(f"data/hard_images/animated/{name}")
    done = i2i_inside("translate", source, tmp_path / "out.mp4", "-m", model, "--provider", "cpu", "--crf", 1)
    assert done.returncode == 0, done.stderr
    until, (first, *_) = shown(source)
    with av.open(str(tmp_path / "out.mp4")) as container:
        results = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert container.duration == 1000 * until[-1]  # in microseconds
    assert len(results) == frames
    height, width = first.shape[:2]
    assert np.abs(255 - first[..., :3].astype(int) - results[0][:height, :width]).mean() < 3
