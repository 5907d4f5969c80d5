"""Rotation, mirrored frames, pixels that are no squares, odd sides, and models that change the size."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from i2i.runtime import Model, Options
from i2i.runtime.video import VideoOptions, translate_video
from i2i.runtime.video.frame.rotation import ONE, Rotation, rotation_of
from tests.runtime.video.clips import make, pattern
from tests.runtime.video.facts import facts

EIGHT = [
    Rotation(1, 0, 0, 1), Rotation(-1, 0, 0, 1), Rotation(1, 0, 0, -1), Rotation(-1, 0, 0, -1),
    Rotation(0, 1, 1, 0), Rotation(0, 1, -1, 0), Rotation(0, -1, 1, 0), Rotation(0, -1, -1, 0),
]  # fmt: skip


def matrix(turn: Rotation) -> list[int]:
    return [turn.a * ONE, turn.b * ONE, 0, turn.c * ONE, turn.d * ONE, 0, 0, 0, 1 << 30]


def shown(picture: np.ndarray, turn: Rotation) -> np.ndarray:
    """By the definition, pixel by pixel: (x', y') = (a x + c y, b x + d y), moved to begin at 0."""
    height, width = picture.shape[:2]
    places = {}
    for y in range(height):
        for x in range(width):
            places[turn.a * x + turn.c * y, turn.b * x + turn.d * y] = picture[y, x]
    left, top = min(x for x, _ in places), min(y for _, y in places)
    result = np.zeros((height, width) if turn.a else (width, height), picture.dtype)
    for (x, y), value in places.items():
        result[y - top, x - left] = value
    return result


@pytest.mark.parametrize("turn", EIGHT)
def test_each_of_the_eight_orientations(turn: Rotation) -> None:
    picture = np.arange(6).reshape(2, 3, 1)
    assert rotation_of(tuple(matrix(turn))) == turn
    assert np.array_equal(turn.apply(picture)[..., 0], shown(picture[..., 0], turn))


@pytest.mark.parametrize("turn", EIGHT[1:])
def test_a_video_is_turned_upright(turn: Rotation, identity: Model, tmp_path: Path) -> None:
    source = make(tmp_path / "in.mp4", times=(0, 512), matrix=matrix(turn), sar=Fraction(4, 3))
    translate_video(identity, source, tmp_path / "out.mp4", video=VideoOptions(crf=1))
    before, result = facts(source, planes=True), facts(tmp_path / "out.mp4", planes=True)
    assert result.rotation == 0
    assert result.size == ((48, 64) if turn.swaps else (64, 48))
    assert result.sar == (Fraction(3, 4) if turn.swaps else Fraction(4, 3))
    luma = result.planes[0][0].astype(int)
    assert np.abs(luma - shown(before.planes[0][0], turn)).mean() < 2


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_the_tag_is_kept_if_asked(suffix: str, identity: Model, tmp_path: Path) -> None:
    source = make(tmp_path / "in.mp4", times=(0, 512), matrix=matrix(Rotation(0, 1, -1, 0)), sar=Fraction(4, 3))
    translate_video(identity, source, tmp_path / f"out{suffix}", video=VideoOptions(rotation="keep", crf=1))
    before, result = facts(source, planes=True), facts(tmp_path / f"out{suffix}", planes=True)
    assert before.rotation == result.rotation == -90
    assert (result.size, result.sar) == ((64, 48), Fraction(4, 3))
    assert np.abs(result.planes[0][0].astype(int) - before.planes[0][0]).mean() < 2


def test_a_rotation_by_no_right_angle_is_kept_with_a_note(identity: Model, tmp_path: Path) -> None:
    half = round(ONE * 0.7071)
    source = make(tmp_path / "in.mp4", times=(0, 512), matrix=[half, half, 0, -half, half, 0, 0, 0, 1 << 30])
    summary = translate_video(identity, source, tmp_path / "out.mp4")
    assert "turned by no right angle" in summary.notes[0]
    assert facts(tmp_path / "out.mp4").rotation == facts(source).rotation == -45


@pytest.mark.parametrize(
    ("codec", "suffix", "form", "encoder"),
    [
        ("h264", ".mp4", "yuv444p", "libx264"),
        ("hevc", ".mp4", "yuv444p", "libx265"),
        ("av1", ".mp4", "yuv420p", None),
        ("prores", ".mov", "yuv444p12le", None),
        ("ffv1", ".mkv", "bgr0", None),
    ],
)
def test_odd_sides_are_kept_to_the_pixel(
    codec: str, suffix: str, form: str, encoder: str | None, identity: Model, tmp_path: Path
) -> None:
    """4:2:0 of H.264 and HEVC cannot hold them, and few players show what can."""
    source = make(tmp_path / "in.mkv", times=(0, 512, 1024), size=(71, 67), codec="ffv1")
    summary = translate_video(identity, source, tmp_path / f"out{suffix}", video=VideoOptions(codec=codec))
    result = facts(tmp_path / f"out{suffix}")
    assert (result.size, result.pixel_format) == ((71, 67), form)
    note = f"the result has 71 x 67 pixels, and {encoder} holds an odd side in 4:4:4 alone, which few players show: "
    assert [each for each in summary.notes if "odd" in each] == (
        [note + "--codec av1 (.mp4, .mkv, .webm) holds it in 4:2:0"] if encoder else []
    )
    if codec == "prores":
        with av.open(str(tmp_path / f"out{suffix}")) as container:
            assert container.streams.video[0].codec_context.codec_tag == "ap4h"  # ProRes 4444


def test_a_result_with_odd_sides_of_a_source_with_even_ones(quarter: Model, tmp_path: Path) -> None:
    source = make(tmp_path / "in.mp4", times=(0, 512), size=(76, 68))
    translate_video(quarter, source, tmp_path / "out.mp4")
    assert facts(tmp_path / "out.mp4").size == (19, 17)


def test_a_model_that_enlarges_makes_a_larger_video(twice: Model, tmp_path: Path) -> None:
    source = make(tmp_path / "in.mp4", times=(0, 512))
    translate_video(twice, source, tmp_path / "out.mp4", video=VideoOptions(crf=1))
    result = facts(tmp_path / "out.mp4", planes=True)
    assert result.size == (128, 96)
    luma = pattern(1, 64, 48).astype(float) @ (0.299, 0.587, 0.114) * 219 / 255 + 16
    assert np.abs(result.planes[1][0] - luma.repeat(2, 0).repeat(2, 1)).mean() < 3


def test_a_lost_pixel_shape_is_named(identity: Model, tmp_path: Path) -> None:
    source = make(tmp_path / "in.mp4", times=(0, 512), sar=Fraction(4, 3))
    summary = translate_video(identity, source, tmp_path / "out.mkv", video=VideoOptions(codec="ffv1"))
    assert summary.notes == ["not carried over to ffv1 in .mkv: pixels 4/3 as wide as high"]


@pytest.mark.parametrize("how", ["mp4", "pipe", "steady", "fps"])
@pytest.mark.parametrize("sizes", [((64, 48), (80, 48)), ((128, 96), (64, 48))])
def test_frames_of_another_size_are_scaled_to_the_first(
    how: str, sizes: tuple[tuple[int, int], ...], identity: Model, tmp_path: Path
) -> None:
    """Two recordings in one file, as FFmpeg does it: no frame is lost, and a note says where and what else to do."""
    source, target = joined(tmp_path, sizes), tmp_path / "out.mp4"
    video = VideoOptions(steady=how == "steady", fps=50 if how == "fps" else None)
    seen: list[np.ndarray] = []
    with open(tmp_path / "out.y4m", "wb") as pipe:
        into = pipe if how == "pipe" else target
        summary = translate_video(identity, source, into, video=video, observers=[lambda old, *_: seen.append(old)])
    words = "{1[0]} x {1[1]} and not {0[0]} x {0[1]}: they were scaled to the first size; --end stops before them"
    (note,) = [note for note in summary.notes if "scaled" in note]
    assert note.startswith("from frame 11 (0.40 s) on its frames are " + words.format(*sizes))
    found = facts(Path(into.name) if how == "pipe" else target, planes=True)
    assert (found.size, len(found.times)) == (sizes[0], 40 if how == "fps" else 20)
    width, height = sizes[0]
    scaled = cv2.resize(pattern(9, *sizes[1]), sizes[0], interpolation=cv2.INTER_AREA)
    assert [picture.shape for picture in seen] == 20 * [(height, width, 3)]
    assert np.abs(seen[-1].astype(int) - scaled).mean() < 6


def test_frames_of_another_size_stay_so_in_a_folder(identity: Model, tmp_path: Path) -> None:
    source = joined(tmp_path, ((64, 48), (80, 48)))
    summary = translate_video(identity, source, tmp_path / "frames", Options(format="png"))
    assert not [note for note in summary.notes if "scaled" in note]
    sizes = [cv2.imread(str(path)).shape for path in sorted((tmp_path / "frames").glob("*.png"))]
    assert sizes == 10 * [(48, 64, 3)] + 10 * [(48, 80, 3)]


def test_each_part_of_a_joined_video_has_its_own_colours(identity: Model, tmp_path: Path) -> None:
    """A recording in BT.601 joined with one in BT.709 of full range, which says so."""
    source = joined(tmp_path, ((64, 48), (80, 48)), ((6, 1, 6, 6), (1, 2, 1, 1)), level=200)
    seen: list[float] = []
    translate_video(identity, source, tmp_path / "out.mp4", observers=[lambda old, *_: seen.append(old.mean())])
    assert np.abs(np.array(seen) - 200).max() < 2


def joined(
    folder: Path,
    sizes: tuple[tuple[int, int], ...],
    colours: tuple[tuple[int, int, int, int], ...] = ((2, 0, 2, 2),) * 2,
    level: int | None = None,
) -> Path:
    """One file of two recordings, each of 10 frames."""
    data = b""
    for number, ((width, height), colour) in enumerate(zip(sizes, colours, strict=True)):
        grey = lambda _, size=(height, width, 3): np.full(size, level, np.uint8)  # noqa: E731
        made = {"size": (width, height), "container": "mpegts", "colour": colour}
        times = range(number * 5120, number * 5120 + 5120, 512)
        data += make(folder / f"{number}.ts", times=times, picture=grey if level else None, **made).read_bytes()
    (folder / "in.ts").write_bytes(data)
    return folder / "in.ts"
