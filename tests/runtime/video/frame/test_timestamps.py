"""Times of frames: as in the source, regular or not; at a constant rate; within start and end."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from i2i.runtime import Model
from i2i.runtime.video import VideoError, VideoOptions, translate_video
from i2i.runtime.video.detect import CONTAINERS
from i2i.runtime.video.frame.timestamps import Timestamps
from i2i.runtime.video.options import seconds
from i2i.runtime.video.sink.encoders import ENCODERS
from tests.runtime.video.clips import make, pattern
from tests.runtime.video.facts import Facts, facts

TICK = Fraction(1, 12800)
VARIABLE = [0, 422, 1062, 1915, 2337, 2977, 3830, 4252, 8000, 8100, 8740]  # 33, 50 and 67 ms, a pause, 8 ms
Run = Callable[..., Facts]


@pytest.fixture
def run(identity: Model, tmp_path: Path) -> Run:
    """Make a clip, translate it, and return the facts of the result."""

    def translated(out: str = "out.mp4", video: dict[str, object] | None = None, **made: object) -> Facts:
        source = make(tmp_path / "in.mp4", muxer={"movie_timescale": "12800"}, **made)
        translate_video(identity, source, tmp_path / out, video=VideoOptions(**(video or {})))
        return facts(tmp_path / out)

    return translated


@pytest.mark.parametrize("shift", [0, 845, 50_000])
@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_a_variable_rate_is_kept_to_the_tick(suffix: str, shift: int, run: Run) -> None:
    result = run(f"out{suffix}", times=[time + shift for time in VARIABLE], last=1700, codec="mpeg4")
    assert result.times == [(time + shift) * TICK for time in VARIABLE]
    assert result.length == (VARIABLE[-1] + 1700 + shift) * TICK


@pytest.mark.parametrize(
    ("codec", "suffix"),
    [
        (codec, suffix)
        for codec in ("h264", "hevc", "av1", "prores")
        for suffix, container in CONTAINERS.items()
        if container in ENCODERS[codec].containers
    ],
)
def test_the_last_frame_is_shown_as_long_as_it_was(codec: str, suffix: str, identity: Model, tmp_path: Path) -> None:
    source = make(tmp_path / "in.mp4", times=VARIABLE, last=1700, codec="mpeg4")
    translate_video(identity, source, tmp_path / f"out{suffix}", video=VideoOptions(codec=codec))
    with av.open(str(tmp_path / f"out{suffix}")) as container:
        assert abs(container.duration / av.time_base - (VARIABLE[-1] + 1700) * TICK) <= 0.001


def test_matroska_keeps_times_to_its_millisecond(run: Run) -> None:
    result = run(out="out.mkv", times=VARIABLE)
    assert [round(1000 * time * TICK) for time in VARIABLE] == [1000 * time for time in result.times]


@pytest.mark.parametrize("rate", [Fraction(30000, 1001), Fraction(24000, 1001), Fraction(25), Fraction(1, 2)])
def test_rates_that_are_no_whole_numbers_do_not_drift(rate: Fraction, run: Run) -> None:
    result = run(times=range(40), base=1 / rate)
    assert result.times == [number / rate for number in range(40)]


def test_codecs_that_show_frames_in_another_order(run: Run) -> None:
    """B-frames in the source: packets come out of order, frames do not."""
    options = {"bf": "3", "b-adapt": "0", "preset": "medium", "crf": "20"}
    assert run(times=VARIABLE, options=options).times == [time * TICK for time in VARIABLE]


def test_times_before_zero_are_moved_all_together(
    identity: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MP4 shows no frame before zero: pictures, sound and chapters move by the same."""
    source = make(tmp_path / "in.mp4", times=VARIABLE, sound=0.5, chapters=[(0, 0.2, "one"), (0.2, 0.5, "two")])
    of = Timestamps.of

    def early(times: Timestamps, *frames: object) -> tuple[list[int], int]:
        shown, duration = of(times, *frames)
        return [time - 3200 for time in shown], duration

    monkeypatch.setattr(Timestamps, "of", early)
    translate_video(identity, source, tmp_path / "out.mp4")
    before, result = facts(source), facts(tmp_path / "out.mp4")
    assert result.times == [time * TICK for time in VARIABLE]
    ((_, old), *_), ((_, new), *_) = next(iter(before.sound.values())), next(iter(result.sound.values()))
    assert abs(float(new - old - Fraction(1, 4))) <= 1 / 48000
    translate_video(identity, source, tmp_path / "out.mkv")
    assert facts(tmp_path / "out.mkv").chapters[1] == (Fraction(45, 100), Fraction(75, 100), "two")


def test_an_edit_list_leaves_out_what_it_says(identity: Model, tmp_path: Path) -> None:
    """MP4 stores frames before zero and an edit list that skips them: no player shows them."""
    source = make(tmp_path / "in.mp4", times=[time - 1500 for time in VARIABLE], options={"g": "1", "qp": "0"})
    before = facts(source)
    assert len(before.times) < len(VARIABLE)
    summary = translate_video(identity, source, tmp_path / "out.mp4")
    assert summary.damage is None
    assert facts(tmp_path / "out.mp4").times == before.times


@pytest.mark.parametrize(("fps", "count"), [("5", 5), ("25", 24), ("50", 48), ("30000/1001", 29)])
def test_a_constant_rate_repeats_and_leaves_out(fps: str, count: int, run: Run) -> None:
    result = run(video={"fps": fps}, times=range(0, 24 * 512, 512))
    assert result.times == [number / Fraction(fps) for number in range(count)]


def test_a_constant_rate_shows_what_the_source_shows_then(identity: Model, tmp_path: Path) -> None:
    levels = [20, 60, 100, 140, 180]
    flat = lambda number: np.full((48, 64, 3), levels[number], np.uint8)  # noqa: E731
    source = make(tmp_path / "in.mp4", times=[0, 512, 2048, 2560, 3072], picture=flat)
    translate_video(identity, source, tmp_path / "out.mp4", video=VideoOptions(fps=25, crf=1))
    shown = [frame[0].mean() for frame in facts(tmp_path / "out.mp4", planes=True).planes]
    expected = [16 + level * 219 / 255 for level in (20, 60, 60, 60, 100, 140, 180)]
    assert np.abs(np.array(shown) - expected).max() < 2


@pytest.mark.parametrize("begin", [0, 2432])
def test_a_lower_rate_keeps_the_sound(begin: int, run: Run) -> None:
    """Also what comes before the first frame that is shown, which need not be the first."""
    times = range(begin, begin + 48 * 256, 256)
    sound = run(times=times, sound=0.9).sound
    slow = run(video={"fps": 5}, out="slow.mp4", times=times, sound=0.9).sound
    assert [md5 for md5, _ in next(iter(slow.values()))] == [md5 for md5, _ in next(iter(sound.values()))]


def test_a_rate_of_milliseconds_is_distinguished_from_jitter(identity: Model, tmp_path: Path) -> None:
    """30 frames a second in Matroska are 33, 34, 33 ms apart: at 30 each is shown once."""
    times = [round(1000 * number / 30) for number in range(60)]
    level = lambda number: np.full((48, 64, 3), 4 * number, np.uint8)  # noqa: E731
    source = make(tmp_path / "in.mkv", times=times, base=Fraction(1, 1000), picture=level)
    translate_video(identity, source, tmp_path / "out.mp4", video=VideoOptions(fps=30, crf=1))
    shown = [frame[0].mean() for frame in facts(tmp_path / "out.mp4", planes=True).planes]
    assert min(np.diff(shown[:60])) > 2
    assert shown[59] > 16 + 4 * 59 * 219 / 255 - 2  # the last, which the clip shows for half a second


def test_start_and_end_cut_pictures_and_sound_alike(identity: Model, tmp_path: Path) -> None:
    chapters = [(0, 0.8, "one"), (0.8, 1.9, "two"), (1.9, 2, "three")]
    source = make(tmp_path / "in.mp4", times=range(0, 50 * 512, 512), sound=2, chapters=chapters, options={"g": "10"})
    summary = translate_video(identity, source, tmp_path / "out.mp4", video=VideoOptions(start="0.52", end="0:01.2"))
    assert (summary.frames, summary.expected) == (17, 17)
    result = facts(tmp_path / "out.mp4", planes=True)
    assert result.times == [Fraction(number, 25) for number in range(17)]
    ((_, first), *_), *_ = result.sound.values()
    assert 0 <= first < Fraction(1, 40)
    sound = next(iter(result.sound.values()))
    assert abs(sound[-1][1] - Fraction(68, 100)) < Fraction(1, 40)
    assert result.chapters == [(0, Fraction(28, 100), "one"), (Fraction(28, 100), Fraction(68, 100), "two")]
    luma = pattern(13, 64, 48).astype(float) @ (0.299, 0.587, 0.114) * 219 / 255 + 16
    assert np.abs(result.planes[0][0] - luma).mean() < 3  # the frame at 0.52 s is the 13th


def test_a_start_in_a_file_without_an_index(identity: Model, tmp_path: Path) -> None:
    """A seek in MPEG-TS ends behind the key frame that it needs."""
    options = {"g": "25", "preset": "ultrafast", "bf": "2", "b-adapt": "0"}
    source = make(tmp_path / "in.ts", times=range(0, 100 * 512, 512), container="mpegts", options=options, sound=4)
    summary = translate_video(identity, source, tmp_path / "out.mp4", video=VideoOptions(start=1.5, end=2.5))
    assert (summary.frames, summary.damage) == (25, None)
    before = [time - Fraction(3, 2) for time in facts(source).times]
    sound = [time - Fraction(3, 2) for _, time in next(iter(facts(source).sound.values()))]
    begin = min(facts(source).times[0], sound[0] + Fraction(3, 2))
    result = facts(tmp_path / "out.mp4")
    for times, were in ((result.times, before), ([time for _, time in next(iter(result.sound.values()))], sound)):
        expected = [time - begin for time in were if 0 <= time - begin < 1]
        assert max(abs(a - b) for a, b in zip(times, expected, strict=True)) < Fraction(1, 1000)


def test_frames_after_a_clock_reset_keep_the_usual_rate(identity: Model, tmp_path: Path) -> None:
    """Two recordings in one file: the second follows, and is not shown within a moment."""
    made = {"container": "mpegts", "options": {"preset": "ultrafast"}}
    parts = [make(tmp_path / f"{at}.ts", times=range(at * 12800, at * 12800 + 5120, 512), **made) for at in (9, 2)]
    (tmp_path / "in.ts").write_bytes(b"".join(part.read_bytes() for part in parts))
    summary = translate_video(identity, tmp_path / "in.ts", tmp_path / "out.mp4")
    assert summary.notes == [
        "its clock goes back 1 time, as where recordings are joined: each was moved behind the one before"
    ]
    assert facts(tmp_path / "out.mp4").times == [Fraction(number, 25) for number in range(20)]


@pytest.mark.parametrize(("container", "suffix"), [("mpegts", ".mp4"), ("mpegts", ".mkv"), ("matroska", ".mp4")])
def test_a_broadcast_begins_at_zero(container: str, suffix: str, identity: Model, tmp_path: Path) -> None:
    """The clock of MPEG-TS counts from anywhere: players would wait for the hour at which a recording began."""
    times = range(3600 * 12800, 3600 * 12800 + 20 * 512, 512)
    source = make(tmp_path / "in", times=times, container=container, options={"preset": "ultrafast"})
    assert facts(source).times[0] == 3600
    translate_video(identity, source, tmp_path / f"out{suffix}")
    assert facts(tmp_path / f"out{suffix}").times == [Fraction(number, 25) for number in range(20)]


def test_pictures_whose_times_go_back_keep_the_usual_rate() -> None:
    """As a decoder may give them where packets have no time."""
    times, shown = Timestamps(Fraction(1, 100), Fraction(25), None, Fraction(0)), []
    for at in (0, 4, 500, 0, 4, None):
        frame = av.VideoFrame(16, 16, "gray")
        frame.pts, frame.time_base = at, Fraction(1, 100)
        shown += times.of(frame, None)[0]
    assert (shown, times.mended) == ([0, 4, 500, 504, 508, 512], 3)


def test_a_stream_without_times_has_no_start(identity: Model, tmp_path: Path) -> None:
    source = make(tmp_path / "in.h264", container="h264")
    assert translate_video(identity, source, tmp_path / "out.mp4").frames == 12
    assert facts(tmp_path / "out.mp4").times == [Fraction(number, 25) for number in range(12)]
    with pytest.raises(VideoError, match="its frames have no times: leave out --start and --end"):
        translate_video(identity, source, tmp_path / "cut.mp4", video=VideoOptions(start=0.1))
    counted = make(tmp_path / "in.m4v", container="m4v", codec="mpeg4")  # whose decoder counts them
    assert translate_video(identity, counted, tmp_path / "cut.mp4", video=VideoOptions(start=0.1, end=0.4)).frames == 7


def test_nothing_between_start_and_end_is_an_error(run: Run) -> None:
    with pytest.raises(VideoError, match=r"in\.mp4: it has no frame between start and end$"):
        run(video={"start": 60})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": "x"}, "start is 'x'; expected seconds"),
        ({"start": 3, "end": 2}, r"end \(2.0 s\) is not after start"),
        ({"fps": 0}, "fps is 0; expected more than 0"),
        ({"fps": "fast"}, "fps is 'fast'; expected a number"),
        ({"codec": "mpeg2"}, "codec is 'mpeg2'; choose one of auto, h264"),
        ({"rotation": "left"}, "rotation is 'left'; choose one of apply, keep"),
        ({"crf": 64}, "crf is 64"),
    ],
)
def test_options_without_a_meaning_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        VideoOptions(**options)


def test_times_as_people_write_them() -> None:
    assert [seconds(text) for text in ("12.5", "1:02.5", "1:00:02", 3)] == [12.5, 62.5, 3602, 3]
