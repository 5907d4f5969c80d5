"""Sound, subtitles, chapters, titles, covers and attachments: copied packet by packet, or a note that names them."""

from __future__ import annotations

import io
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from i2i.runtime import Model, Options
from i2i.runtime.video import VideoOptions, translate_video
from i2i.runtime.video.sink.contents import Contents, lost
from tests.runtime.video.clips import make
from tests.runtime.video.facts import facts

CHAPTERS = [(0, 0.2, "one"), (0.2, 0.5, "two")]
TAGS = {"title": "A title", "artist": "Nobody", "comment": "äöü"}
COVER = cv2.imencode(".jpg", np.full((16, 16, 3), 99, np.uint8))[1].tobytes()


@pytest.mark.parametrize(("suffix", "subtitle"), [(".mp4", "mov_text"), (".mkv", "subrip"), (".mov", "mov_text")])
def test_all_streams_are_kept(suffix: str, subtitle: str, identity: Model, tmp_path: Path) -> None:
    source = make(tmp_path / f"in{suffix}", sound=0.4, subtitle=subtitle, chapters=CHAPTERS, tags=TAGS)
    summary = translate_video(identity, source, tmp_path / f"out{suffix}")
    assert summary.notes == []
    before, result = facts(source), facts(tmp_path / f"out{suffix}")
    assert len(before.sound) >= 2
    assert result.sound == before.sound  # md5 and time of every packet, of sound and subtitles
    assert result.streams == before.streams
    assert result.chapters == before.chapters
    assert {key.lower(): value for key, value in result.tags.items()}.items() >= TAGS.items()


@pytest.mark.parametrize(("before", "after"), [(".mp4", ".mp4"), (".mp4", ".mkv"), (".mkv", ".mkv"), (".mkv", ".mp4")])
def test_a_cover_stays_one(before: str, after: str, identity: Model, tmp_path: Path) -> None:
    """In Matroska it is an attachment, which FFmpeg shows as a stream."""
    source, result = make(tmp_path / "in.mp4", cover=COVER, sound=0.2), tmp_path / f"out{after}"
    if before == ".mkv":
        translate_video(identity, source, tmp_path / "in.mkv")
        source = tmp_path / "in.mkv"
    for start, count in ((0, 12), (0.2, 7)):
        assert translate_video(identity, source, result, Options(overwrite=True), VideoOptions(start=start)).notes == []
        with av.open(str(result)) as container:
            video, cover = container.streams.video
            assert cover.disposition & av.stream.Disposition.attached_pic
            assert not video.disposition & av.stream.Disposition.attached_pic
            (packet, *_) = container.demux(cover)
            assert bytes(packet) == COVER
        assert len(facts(result).times) == count


def test_a_lost_cover_is_named(identity: Model, tmp_path: Path) -> None:
    source = make(tmp_path / "in.mp4", cover=COVER)
    notes = translate_video(identity, source, tmp_path / "out.mov").notes
    assert notes == ["not carried over to libx264 in .mov: stream 1 (video, mjpeg)"]


def test_attachments_go_where_they_can(identity: Model, tmp_path: Path) -> None:
    source = make(tmp_path / "in.mkv", attachment=b"letters")
    assert translate_video(identity, source, tmp_path / "out.mkv").notes == []
    with av.open(str(tmp_path / "out.mkv")) as container:
        (attachment,) = container.streams.attachments
        assert (attachment.data, attachment.metadata["filename"]) == (b"letters", "font.ttf")
    notes = translate_video(identity, source, tmp_path / "out.mp4").notes
    assert len(notes) == 1
    assert notes[0].startswith("not carried over to libx264 in .mp4: stream 1 (attachment, ")


def test_losses_of_a_container_are_named(identity: Model, tmp_path: Path) -> None:
    source = make(tmp_path / "in.mp4", sound=0.2, subtitle="mov_text", chapters=CHAPTERS)
    notes = translate_video(identity, source, tmp_path / "out.webm").notes
    (note,) = notes
    assert note.endswith(" in .webm: stream 1 (audio, aac), stream 2 (subtitle, mov_text)")
    assert facts(tmp_path / "out.webm").codec in ("libdav1d", "av1")


@pytest.mark.parametrize(
    ("codec", "container", "held"),
    [("pcm_s16le", ".mp4", False), ("pcm_s16le", ".mov", True), ("flac", ".mov", False), ("flac", ".mp4", True)],
)
def test_sound_that_is_refused_late_does_not_fail_the_video(
    codec: str, container: str, held: bool, identity: Model, tmp_path: Path
) -> None:
    """FFmpeg says it with the header, or, of channels that Matroska does not name, after all frames."""
    with av.open(str(tmp_path / "in.mkv"), "w") as output:
        video, sound = output.add_stream("ffv1", rate=25), output.add_stream(codec, rate=48000, layout="stereo")
        video.width, video.height, video.pix_fmt, sound.codec_context.format = 64, 48, "yuv420p", "s16"
        for number in range(5):
            frame = av.VideoFrame(64, 48, "yuv420p")
            frame.pts = number
            output.mux(video.encode(frame))
        size = sound.codec_context.frame_size or 1024
        for number in range(3):
            tone = av.AudioFrame.from_ndarray(np.zeros((1, 2 * size), np.int16), "s16", "stereo")
            tone.sample_rate, tone.pts = 48000, number * size
            output.mux(sound.encode(tone))
        output.mux([*sound.encode(None), *video.encode(None)])
    summary = translate_video(identity, tmp_path / "in.mkv", tmp_path / f"out{container}")
    lost = "" if held else f"stream 1 (audio, {codec}), "
    assert summary.notes == [f"not carried over to libx264 in {container}: {lost}losslessness"]
    assert [len(packets) for packets in facts(tmp_path / f"out{container}").sound.values()] == ([3] if held else [])


def test_metadata_that_is_lost_is_named(identity: Model, tmp_path: Path) -> None:
    source = make(tmp_path / "in.mkv", tags={"title": "A title", "lens": "50 mm"})
    notes = translate_video(identity, source, tmp_path / "out.mp4").notes
    assert notes == ["not carried over to libx264 in .mp4: metadata LENS"]


@pytest.mark.parametrize(("before", "after"), [(".mov", ".mov"), (".mov", ".mp4"), (".mp4", ".mkv"), (".mkv", ".mov")])
def test_a_timecode_is_kept_and_not_called_lost(before: str, after: str, identity: Model, tmp_path: Path) -> None:
    """In MP4 it is a stream of data, which the muxer writes by itself; a later frame has another timecode."""
    source = make(tmp_path / f"in{before}", tags={"timecode": "01:00:00:00"})
    assert translate_video(identity, source, tmp_path / f"out{after}").notes == []
    assert timecode(tmp_path / f"out{after}") == timecode(source) == "01:00:00:00"
    notes = translate_video(identity, source, tmp_path / f"part{after}", video=VideoOptions(start=0.2)).notes
    (note,) = notes
    assert note.endswith(": timecode (of the first frame, which --start skips)")
    assert timecode(tmp_path / f"part{after}") is None


def timecode(path: Path) -> str | None:
    with av.open(str(path)) as container:
        tags = container.metadata | container.streams.video[0].metadata
        return {key.lower(): value for key, value in tags.items()}.get("timecode")


def test_a_stereo_layout_is_named_where_it_is_lost(identity: Model, tmp_path: Path) -> None:
    """Matroska has a tag for it, which is copied with the others."""
    with av.open(str(make(tmp_path / "in.mp4"))) as source, av.open(str(tmp_path / "in.mkv"), "w") as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        stream.metadata["stereo_mode"] = "left_right"
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                output.mux(packet)
    assert translate_video(identity, tmp_path / "in.mkv", tmp_path / "out.mkv").notes == []
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert container.streams.video[0].metadata["stereo_mode"] == "left_right"
    (note,) = translate_video(identity, tmp_path / "in.mkv", tmp_path / "out.mp4").notes
    assert note.endswith(": stereo layout")


def test_the_program_that_wrote_an_avi_is_no_metadata_of_it(identity: Model, tmp_path: Path) -> None:
    source = make(tmp_path / "in.avi", codec="mjpeg", pixel_format="yuvj420p", options={}, tags={"title": "A video"})
    assert translate_video(identity, source, tmp_path / "out.mp4").notes == []
    assert facts(tmp_path / "out.mp4").tags["title"] == "A video"


def test_transparency_that_decoders_skip_is_named(identity: Model, tmp_path: Path) -> None:
    """VP9 in WebM: stored beside the pictures. A result that claimed to have it would be decoded wrongly."""
    source = make(tmp_path / "in.webm", codec="libvpx-vp9", pixel_format="yuva420p", options={"auto-alt-ref": "0"})
    for suffix in (".webm", ".mp4"):
        summary = translate_video(identity, source, tmp_path / f"out{suffix}")
        (note,) = summary.notes
        assert note.endswith(": alpha")
        with av.open(str(tmp_path / f"out{suffix}")) as container:
            assert "alpha_mode" not in {key.lower() for key in container.streams.video[0].metadata}


def test_a_folder_of_frames(identity: Model, tmp_path: Path) -> None:
    source = make(tmp_path / "in.mp4", times=(0, 512, 2048), sound=0.2)
    summary = translate_video(identity, source, tmp_path / "frames", Options(format="png"))
    assert summary.notes == ["not carried over to a folder of PNG images: audio"]
    names = sorted(path.name for path in (tmp_path / "frames").iterdir())
    assert names == ["000001.png", "000002.png", "000003.png", "timestamps.txt"]
    times = (tmp_path / "frames" / "timestamps.txt").read_text().splitlines()
    assert times == ["# timestamp format v2", "0.000000", "40.000000", "160.000000"]
    with av.open(str(source)) as container:
        first = next(container.decode(video=0)).to_ndarray(format="rgb24").astype(int)
    assert np.abs(cv2.imread(str(tmp_path / "frames" / "000001.png"))[..., ::-1] - first).mean() < 3
    with pytest.raises(ValueError, match="a folder of frames must be new"):
        translate_video(identity, source, tmp_path / "frames", Options(format="png"))


def test_losses_of_bare_frames_are_named_in_one_line(identity: Model, tmp_path: Path) -> None:
    """All of it, by the comparison that files get."""
    made = {"sound": 0.4, "subtitle": "subrip", "chapters": CHAPTERS, "tags": TAGS, "sar": Fraction(4, 3)}
    source = make(tmp_path / "in.mkv", times=(0, 512, 1024, 1536), **made)
    beside = "audio, subtitle, {}2 chapters, metadata ARTIST, COMMENT, title"
    notes = translate_video(identity, source, tmp_path / "frames", Options(format="png")).notes
    assert notes == ["not carried over to a folder of PNG images: " + beside.format("pixels 4/3 as wide as high, ")]
    assert translate_video(identity, source, io.BytesIO()).notes == [
        "not carried over to a pipe of frames: " + beside.format("")
    ]


def test_a_data_stream_that_bare_frames_lack_is_named(identity: Model, tmp_path: Path) -> None:
    """As the telemetry of a camera; a timecode is a tag, and chapters are counted."""
    video = make(tmp_path / "video.ts", container="mpegts")
    with av.open(str(video)) as source, av.open(str(tmp_path / "in.ts"), "w") as output:
        stream, data = output.add_stream_from_template(source.streams.video[0]), output.add_data_stream("klv")
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                output.mux(packet)
        packet = av.Packet(b"position")
        packet.stream, packet.time_base, packet.pts, packet.dts = data, Fraction(1, 25), 9, 9
        output.mux(packet)
    notes = translate_video(identity, tmp_path / "in.ts", tmp_path / "frames", Options(format="png")).notes
    assert notes == ["not carried over to a folder of PNG images: data"]
    source = make(tmp_path / "in.mov", times=(0, 512), tags={"timecode": "01:00:00:00"}, chapters=[(0, 0.04, "one")])
    notes = translate_video(identity, source, tmp_path / "other", Options(format="png")).notes
    assert not any(": data" in note or " data" in note for note in notes)


def test_contents_are_compared_field_by_field() -> None:
    full = Contents(
        10, Fraction(4, 3), 9, 2, 9, 16, True, 0, 1, frozenset({"audio", "video"}), frozenset({"Title", "artist"})
    )
    said = (
        "audio, further video, more than 8 bits, pixels 4/3 as wide as high, colour matrix, primaries, "
        "HDR transfer, colour range, rotation tag, loop count, 1 chapter, "
        "metadata Title, artist"
    )
    assert str(lost("x", full, Contents())) == f"not carried over to x: {said}"
    assert not lost("x", full, full)
    assert not lost("x", Contents(range=1), Contents())  # untagged is limited
    assert not lost("x", full, replace(full, metadata=frozenset({"TITLE", "ARTIST"})))
    assert lost("x", Contents(), full).what == ("pixels 1 as wide as high", "colour range")


def test_options_without_effect_on_bare_frames_are_refused(identity: Model, tmp_path: Path) -> None:
    source = make(tmp_path / "in.mp4", times=(0,))
    with pytest.raises(ValueError, match="--codec, --crf: for an encoded video"):
        translate_video(identity, source, tmp_path / "f", Options(format="png"), VideoOptions(codec="hevc", crf=3))
    with pytest.raises(ValueError, match="--preset: for an encoded video"):
        translate_video(identity, source, io.BytesIO(), video=VideoOptions(preset="slow"))
    with pytest.raises(ValueError, match="--format PNG: of a folder of frames; a pipe of them is YUV4MPEG2"):
        translate_video(identity, source, io.BytesIO(), Options(format="png"))
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_a_rotation_tag_that_bare_frames_lose_is_named(identity: Model, tmp_path: Path) -> None:
    quarter = [0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30]
    source, lost = make(tmp_path / "in.mp4", times=(0,), matrix=quarter), "rotation tag"
    for rotation, said in (("keep", True), ("apply", False)):
        video = VideoOptions(rotation=rotation)
        for target, options in ((tmp_path / rotation, Options(format="png")), (io.BytesIO(), Options())):
            notes = translate_video(identity, source, target, options, video).notes
            assert any(lost in note for note in notes) == said
        assert translate_video(identity, source, tmp_path / f"{rotation}.mp4", video=video).notes == []


def test_a_pipe_of_frames_describes_itself(identity: Model, tmp_path: Path) -> None:
    source = make(tmp_path / "in.mp4", colour=(1, 1, 1, 1), size=(62, 46))
    with open(tmp_path / "out.y4m", "wb") as pipe:
        translate_video(identity, source, pipe)
    result = facts(tmp_path / "out.y4m", planes=True)
    assert (result.size, len(result.times), result.pixel_format) == ((62, 46), 12, "yuv420p")
    assert result.times == facts(source).times
    assert (tmp_path / "out.y4m").read_bytes().startswith(b"YUV4MPEG2 W62 H46 F25:1 Ip A1:1 C420mpeg2 XCOLORRANGE=LIM")
    again = translate_video(identity, tmp_path / "out.y4m", tmp_path / "back.mp4", video=VideoOptions(crf=1))
    assert (again.frames, again.damage) == (12, None)
    shown = [colour_of(path) for path in (source, tmp_path / "back.mp4")]
    assert np.abs(np.subtract(*shown)).max() <= 3  # BT.709 in, BT.601 on the way, as is guessed of this size


def colour_of(path: Path) -> np.ndarray:
    """The mean colours of the quarters of the first frame, by the matrix that its tags or its size say."""
    from tests.runtime.video.clips import to_rgb

    found = facts(path, planes=True)
    matrix = found.colour[0] if found.colour[0] != 2 else 6
    luma, cb, cr = (plane.astype(float) for plane in found.planes[0])
    cut = slice(2, 10)
    grid = [plane[cut, cut].mean() if plane is not luma else plane[4:20, 4:20].mean() for plane in (luma, cb, cr)]
    return to_rgb(np.array(grid), matrix, False)


def test_a_pipe_has_one_rate(identity: Model, tmp_path: Path) -> None:
    source = make(tmp_path / "in.mp4", times=(0, 422, 3000))
    with open(tmp_path / "out.y4m", "wb") as pipe:
        with pytest.raises(ValueError, match="a pipe needs a constant one: give --fps"):
            translate_video(identity, source, pipe)
        translate_video(identity, source, pipe, video=VideoOptions(fps=25))
