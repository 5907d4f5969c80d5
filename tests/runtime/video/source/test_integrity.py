"""Files that are truncated, damaged, empty, or no videos: intact frames are kept, the rest is reported."""

from __future__ import annotations

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

import i2i
from i2i.runtime import Model
from i2i.runtime.video import DamagedError, VideoError, VideoOptions, translate_video
from i2i.runtime.video.frame.colour import Colour
from i2i.runtime.video.source.integrity import Integrity
from i2i.runtime.video.source.stream_info import StreamInfo
from tests.conftest import Command
from tests.runtime.video.clips import make
from tests.runtime.video.facts import facts

LONG = {"times": range(0, 100 * 512, 512), "options": {"g": "10", "crf": "20", "preset": "ultrafast"}}
Spoil = Callable[[bytes], bytes]


def cut(share: float) -> Spoil:
    return lambda data: data[: int(len(data) * share)]


def hole(share: float, size: int) -> Spoil:
    noise = np.random.default_rng(0).bytes(size)
    return lambda data: data[: int(len(data) * share)] + noise + data[int(len(data) * share) + size :]


@pytest.mark.parametrize(
    ("name", "made", "spoil", "least", "most"),
    [
        ("cut.mp4", {"muxer": {"movflags": "faststart"}}, cut(0.6), 40, 75, ),
        ("cut.mkv", {}, cut(0.6), 40, 75),
        ("cut.mkv", {"sound": 4.0}, cut(0.6), 40, 75),
        ("hole.mkv", {}, hole(0.3, 20_000), 20, 98),
        ("hole.mkv", {"sound": 4.0}, hole(0.3, 20_000), 40, 98),
        ("hole.mp4", {"muxer": {"movflags": "faststart"}}, hole(0.5, 4_000), 60, 100),
        ("cut.avi", {"times": range(100), "base": Fraction(1, 25), "last": 1}, cut(0.6), 40, 75),
        ("hole.ts", {"container": "mpegts"}, hole(0.4, 15_000), 40, 100),
    ],
)  # fmt: skip
def test_the_frames_that_are_there(
    name: str, made: dict[str, object], spoil: Spoil, least: int, most: int, identity: Model, tmp_path: Path
) -> None:
    whole = make(tmp_path / f"whole{Path(name).suffix}", **(LONG | made))
    assert translate_video(identity, whole, tmp_path / "whole-out.mkv").damage is None
    source = tmp_path / name
    source.write_bytes(spoil(whole.read_bytes()))
    summary = translate_video(identity, source, tmp_path / "out.mkv")
    assert summary.damage is not None
    assert summary.damage.startswith("damaged: ")
    assert least <= summary.frames <= most
    assert len(facts(tmp_path / "out.mkv").times) == summary.frames


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".avi", ".mov", ".webm"])
def test_a_whole_file_is_not_called_damaged(suffix: str, identity: Model, tmp_path: Path) -> None:
    """Times as they come: with pauses in pictures and no sound at all, the commonest false alarm."""
    made: dict[str, object] = {"container": "mpegts"} if suffix == ".ts" else {}
    if suffix == ".webm":
        made |= {"codec": "libvpx", "options": {"deadline": "realtime"}}
    times = range(0, 30 * 512, 512) if suffix == ".avi" else [0, 422, 1062, 30_000, 30_512, 60_000]
    summary = translate_video(identity, make(tmp_path / f"in{suffix}", times=times, **made), tmp_path / "out.mkv")
    assert (summary.damage, summary.frames) == (None, len(times))


def test_of_a_part_the_frames_of_it_are_counted(identity: Model, tmp_path: Path) -> None:
    whole = make(tmp_path / "whole.mkv", **LONG)
    (tmp_path / "in.mkv").write_bytes(hole(0.5, 6000)(whole.read_bytes()))
    summary = translate_video(identity, tmp_path / "in.mkv", tmp_path / "o.mkv", video=VideoOptions(start=0.9, end=3.5))
    assert summary.damage is not None
    assert summary.damage.startswith(f"damaged: {summary.frames} frames (")


def test_pauses_behind_an_even_beginning_are_no_damage(identity: Model, tmp_path: Path) -> None:
    """Which was decoded to begin at its key frame, and not asked for."""
    source = make(tmp_path / "in.mkv", times=[*range(0, 75 * 512, 512), *range(75 * 512, 175 * 512, 25 * 512)])
    assert translate_video(identity, source, tmp_path / "o.mkv", video=VideoOptions(start=2.9)).damage is None


def test_a_picture_that_stands_still_under_sound_is_no_damage(identity: Model, tmp_path: Path) -> None:
    """As in recordings of a screen, which hold no frame while nothing changes."""
    times = [*range(0, 100 * 512, 512), *range(175 * 512, 275 * 512, 512)]
    source = make(tmp_path / "in.mkv", times=times, sound=11)
    assert translate_video(identity, source, tmp_path / "o.mkv").damage is None


def test_a_subtitle_that_outlasts_the_pictures_is_no_damage(identity: Model, tmp_path: Path) -> None:
    """Matroska states the end of its longest stream."""
    source = make(tmp_path / "in.mkv", subtitle="subrip", spoken=(300, 2000))
    assert translate_video(identity, source, tmp_path / "o.mkv").damage is None


def test_two_packets_may_hold_the_fields_of_one_frame() -> None:
    clip = StreamInfo(
        64, 48, "yuv420p", Colour(), Fraction(1), None, Fraction(25), Fraction(1, 25), declared=20, interlaced=True
    )
    for frames, damage in ((10, None), (8, "damaged: 8 of 20 frames (12 missing frames)")):
        integrity = Integrity()
        for _ in range(20):
            integrity.saw(av.Packet(9), True)
        integrity.frames = frames
        integrity.finish(clip, False)
        assert (integrity.text() if integrity.found else None) == damage


def test_a_video_that_begins_late_is_not_called_damaged(identity: Model, tmp_path: Path) -> None:
    """Matroska counts how long it lasts from zero."""
    source = make(tmp_path / "in.mkv", times=range(512_000, 512_000 + 20 * 512, 512))
    reports: list[int | None] = []
    summary = translate_video(
        identity, source, tmp_path / "o.mkv", report=lambda so_far: reports.append(so_far.expected)
    )
    assert (summary.damage, summary.frames, reports[0]) == (None, 20, 20)


def test_the_api_raises_after_it_has_written(identity: Model, tmp_path: Path) -> None:
    whole = make(tmp_path / "whole.mkv", **LONG)
    (tmp_path / "cut.mkv").write_bytes(whole.read_bytes()[:-6000])
    with pytest.raises(DamagedError, match=r"cut\.mkv: damaged: \d\d of 100 frames \(it ends too early\)") as caught:
        i2i.translate(tmp_path / "cut.mkv", tmp_path / "out.mp4", identity)
    assert caught.value.exit_status == 1
    assert caught.value.written == tmp_path / "out.mp4"
    assert len(facts(tmp_path / "out.mp4").times) > 80


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it is no video that FFmpeg can open"),
        (b"<html>" * 100, "it is no video that FFmpeg can open"),
        (b"\x00\x00\x00\x20ftypisom" + b"\x00" * 500, "it is no video that FFmpeg can open"),
    ],
)
def test_no_video_at_all(data: bytes, message: str, identity: Model, tmp_path: Path) -> None:
    (tmp_path / "in.mp4").write_bytes(data)
    with pytest.raises(VideoError, match=message):
        translate_video(identity, tmp_path / "in.mp4", tmp_path / "out.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_cut_before_its_index(identity: Model, tmp_path: Path) -> None:
    whole = make(tmp_path / "in.mp4", **LONG).read_bytes()
    (tmp_path / "in.mp4").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(VideoError, match="damaged, cut off before its index, or something else"):
        translate_video(identity, tmp_path / "in.mp4", tmp_path / "out.mp4")


def test_sound_alone(identity: Model, tmp_path: Path) -> None:
    with av.open(str(make(tmp_path / "in.mp4", sound=0.3))) as source, av.open(str(tmp_path / "s.mp4"), "w") as output:
        stream = output.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(source.streams.audio[0]):
            if packet.size:
                packet.stream = stream
                output.mux(packet)
    with pytest.raises(VideoError, match=r"s\.mp4: it holds no video stream \(only audio\)"):
        translate_video(identity, tmp_path / "s.mp4", tmp_path / "out.mp4")


def test_a_file_of_no_frames(identity: Model, tmp_path: Path) -> None:
    header = make(tmp_path / "whole.mkv", **LONG).read_bytes()
    (tmp_path / "in.mkv").write_bytes(header[: header.index(b"\x1f\x43\xb6\x75")])  # up to the first cluster
    with pytest.raises(VideoError, match="it ends before its first frame"):
        translate_video(identity, tmp_path / "in.mkv", tmp_path / "out.mp4")


def test_one_frame(identity: Model, tmp_path: Path) -> None:
    summary = translate_video(identity, make(tmp_path / "in.mp4", times=(0,)), tmp_path / "out.mp4")
    assert (summary.frames, summary.damage) == (1, None)
    assert facts(tmp_path / "out.mp4").length == facts(tmp_path / "in.mp4").length


def test_a_playlist_named_like_a_video_opens_no_other_file(identity: Model, tmp_path: Path) -> None:
    make(tmp_path / "secret.mp4")
    (tmp_path / "in.mp4").write_text("ffconcat version 1.0\nfile secret.mp4\n")
    with pytest.raises(VideoError, match=r"in\.mp4: it is a playlist \(concat\), not a video"):
        translate_video(identity, tmp_path / "in.mp4", tmp_path / "out.mp4")


def test_a_name_that_is_no_text(identity_file: Path, i2i_inside: Command, tmp_path: Path) -> None:
    source = os.fsencode(tmp_path) + b"/caf\xe9.mp4"
    os.rename(make(tmp_path / "in.mp4", times=(0, 512)), source)
    done = i2i_inside("translate", source, "-m", identity_file)
    assert done.returncode == 0, done.stderr
    assert os.path.exists(os.fsencode(tmp_path) + b"/caf\xe9-identity.mp4")


def test_a_name_with_a_colon_is_a_file(identity: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "in.mp4", times=(0, 512)).rename("http:in%03d.mp4")
    assert translate_video(identity, "http:in%03d.mp4", Path("out:%03d.mp4")).frames == 2
    assert len(facts(tmp_path / "out:%03d.mp4").times) == 2
