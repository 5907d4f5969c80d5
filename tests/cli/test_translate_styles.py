"""``--style``, ``--seed`` and ``--results`` of the command."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from i2i.images import Image, read_image, write_image
from tests import tiny
from tests.conftest import Command
from tests.runtime.model.test_styles import GREY, NIGHT, of_seed
from tests.runtime.video.clips import make


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a model of styles, one without, an example and two photos."""
    tiny.styled(tmp_path / "night.onnx")
    tiny.inverter(tmp_path / "plain.onnx")
    write_image(tmp_path / "example.png", Image(NIGHT))
    (tmp_path / "photos").mkdir()
    for name in "ab":
        write_image(tmp_path / "photos" / f"{name}.png", Image(GREY))
    return tmp_path


def test_several_results_of_an_image_are_named_by_seed(place: Path, i2i_inside: Command) -> None:
    done = i2i_inside("translate", "photos/a.png", "-m", "night.onnx", "--results", 3, "--seed", 5, cwd=place)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"photos/a-night-seed{seed}.png" for seed in (5, 6, 7)]
    for seed in (5, 6, 7):
        assert (read_image(place / "photos" / f"a-night-seed{seed}.png").pixels == of_seed(seed)).all()


def test_several_results_of_a_folder_are_a_folder_each(place: Path, i2i_inside: Command) -> None:
    done = i2i_inside("translate", "photos", "out", "-m", "night.onnx", "--results", 2, cwd=place)
    assert done.returncode == 0, done.stderr
    assert "4 translated" in done.stdout
    for seed in (0, 1):
        assert (read_image(place / "out" / f"night-seed{seed}" / "b.png").pixels == of_seed(seed)).all()


def test_an_example_and_the_default(place: Path, i2i_inside: Command) -> None:
    done = i2i_inside("translate", "photos/a.png", "-m", "night.onnx", "--style", "example.png", cwd=place)
    assert (done.returncode, done.stdout) == (0, "photos/a-night-like-example.png\n"), done.stderr
    assert (read_image(place / "photos" / "a-night-like-example.png").pixels == GREY + NIGHT[0, 0]).all()
    done = i2i_inside("translate", "photos/a.png", "-m", "night.onnx", cwd=place)
    assert (done.returncode, done.stdout) == (0, "photos/a-night.png\n"), done.stderr
    assert (read_image(place / "photos" / "a-night.png").pixels == of_seed(0)).all()


def test_a_video_has_one_style(place: Path, i2i_inside: Command) -> None:
    make(place / "clip.mkv", picture=lambda _: np.full((48, 64, 3), 100, np.uint8))
    done = i2i_inside("translate", "clip.mkv", "out/", "--format", "png", "-m", "night.onnx", "--seed", 3, cwd=place)
    assert done.returncode == 0, done.stderr
    frames = sorted((place / "out").rglob("*.png"))
    assert len(frames) == 12
    for frame in frames:
        off = read_image(frame).pixels.astype(int) - of_seed(3)[0, 0]
        assert np.abs(off).max() <= 1  # of the way to YUV and back
    done = i2i_inside("translate", "clip.mkv", "two.mkv", "-m", "night.onnx", "--results", 2, cwd=place)
    assert (done.returncode, done.stdout) == (2, "")
    assert "a video takes one model and has one result" in done.stderr


@pytest.mark.parametrize("how", [(), ("--steady",)], ids=["plain", "steady"])
def test_all_frames_of_a_video_are_in_the_style_of_an_example(
    place: Path, i2i_inside: Command, how: tuple[str, ...]
) -> None:
    make(place / "clip.mkv", picture=lambda _: np.full((48, 64, 3), 100, np.uint8))
    options = ("-m", "night.onnx", "--style", "example.png", "--crf", "0", *how)
    done = i2i_inside("translate", "clip.mkv", "night.mkv", *options, cwd=place)
    assert done.returncode == 0, done.stderr
    with av.open(place / "night.mkv") as video:
        frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in video.decode(video=0)]
    assert len(frames) == 12
    for frame in frames:
        assert np.abs(frame - (GREY + NIGHT[0, 0])[0, 0]).max() <= 3  # of the way to YUV and back, twice


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--results", "2", "--style", "example.png"), "--results are in styles drawn by seeds, and --style is one"),
        (("--seed", "1", "--style", "example.png"), "give one of them"),
        (("--results", "2", "--seed", "4294967295"), "end beyond the largest seed, 4294967295"),
        (("--seed", "4294967296"), "4294967296 is not in the range"),
        (("--style", "missing.png"), "missing.png"),
        (("-m", "plain.onnx", "--seed", "1"), "plain.onnx has no styles"),
        (("-m", "plain.onnx", "--results", "2"), "plain.onnx has no styles"),
    ],
)
def test_wrong_use_is_refused_before_any_work(
    place: Path, i2i_inside: Command, arguments: tuple[str, ...], said: str
) -> None:
    model = () if "-m" in arguments else ("-m", "night.onnx")
    before = sorted(path.name for path in place.rglob("*"))
    done = i2i_inside("translate", "photos", "out", *model, *arguments, cwd=place)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert sorted(path.name for path in place.rglob("*")) == before
