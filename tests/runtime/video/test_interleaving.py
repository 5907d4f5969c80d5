"""Streams beside frames that are far apart: every packet arrives in order, in each container and codec."""

from __future__ import annotations

import functools
import hashlib
import io
import math
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest

from i2i.runtime import Model
from i2i.runtime.video import VideoError, VideoOptions, translate_video
from i2i.runtime.video.sink.stream_copy import StreamCopies
from i2i.runtime.video.source import reader
from i2i.runtime.video.source.joined import Clock
from tests.runtime.video.facts import facts

RATE, SIZE = 48000, 1024  # samples a second and a packet
SLIDES = (0, 7, 14)  # seconds, of which 7 hold more than 300 packets of one track
NO_DELAY = {"bf": "0", "tune": "zerolatency"}
X264 = {"preset": "ultrafast", "bf": "2", "b-adapt": "0"}


def slides(
    path: Path,
    times: tuple[float, ...] = SLIDES,
    seconds: float = 20,
    codec: str = "libx264",
    sound: str = "aac",
    tracks: int = 1,
    options: dict[str, str] | None = None,
    subtitle: str | None = None,
    rate: int = 25,
) -> Path:
    """Write frames at these times, and beside them sound that lasts so many seconds, interleaved by time."""
    form = {"mjpeg": "yuvj420p", "prores_ks": "yuv422p10le"}.get(codec, "yuv420p")
    with av.open(str(path), "w") as output:
        video = output.add_stream(codec, rate=rate, options=options or {})
        video.width, video.height, video.pix_fmt = 64, 48, form
        video.codec_context.time_base = Fraction(1, rate)
        streams = [output.add_stream(sound, rate=RATE, layout="stereo") for _ in range(tracks)]
        titles = output.add_mux_stream(subtitle, time_base=Fraction(1, 1000)) if subtitle else None
        output.start_encoding()
        left = list(times)
        count = math.ceil(seconds * RATE / SIZE)
        for number in range(count):
            now = number * SIZE / RATE
            while left and left[0] <= now:
                level = np.full((48, 64, 3), 40 * len(left) % 256, np.uint8)
                frame = av.VideoFrame.from_ndarray(level, "rgb24").reformat(format=form)
                frame.pts, frame.time_base = round(left[0] * rate), Fraction(1, rate)
                output.mux(video.encode(frame))
                if titles is not None:
                    text = av.Packet(f"slide {left[0]}".encode())
                    text.stream, text.time_base, text.duration = titles, Fraction(1, 1000), 1000
                    text.pts = text.dts = round(1000 * left[0])
                    output.mux(text)
                left.pop(0)
            for track, stream in enumerate(streams):
                for packet in tone(sound, count, track)[number]:
                    output.mux(packet_for(stream, packet))
        output.mux(video.encode(None))
        for track, stream in enumerate(streams):
            for packet in tone(sound, count, track)[count]:
                output.mux(packet_for(stream, packet))
    return path


Encoded = tuple[bytes, int | None, int | None, int | None]  # a packet's data, pts, dts and duration in samples


@functools.cache
def tone(codec: str, count: int, track: int = 0) -> list[list[Encoded]]:
    """Return what an encoder gives for each of ``count`` chunks of a sine wave, and when it is flushed.

    Other tracks than the first have the same data in another order: encoding takes long.
    """
    if track:
        first = tone(codec, count)
        data = [packet[0] for packets in first for packet in packets]
        turned = iter(data[10 * track :] + data[: 10 * track])
        return [[(next(turned), *packet[1:]) for packet in packets] for packets in first]
    encoder = av.CodecContext.create(codec, "w")
    encoder.sample_rate, encoder.layout, encoder.time_base = RATE, "stereo", Fraction(1, RATE)
    encoder.format = form = encoder.codec.audio_formats[0].name
    made = []
    for number in range(count + 1):
        chunk = None
        if number < count:
            wave = np.sin(np.arange(number * SIZE, (number + 1) * SIZE) * 0.01) / 2
            samples = np.stack([wave, wave]).astype(np.float32)
            if form.startswith("s16"):
                samples = (samples * 9000).astype(np.int16)
            if not form.endswith("p"):
                samples = samples.T.reshape(1, -1)
            chunk = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), form, "stereo")
            chunk.sample_rate, chunk.pts, chunk.time_base = RATE, number * SIZE, Fraction(1, RATE)
        made.append([(bytes(packet), packet.pts, packet.dts, packet.duration) for packet in encoder.encode(chunk)])
    return made


def packet_for(stream: av.AudioStream, encoded: Encoded) -> av.Packet:
    packet = av.Packet(encoded[0])
    packet.stream, packet.time_base = stream, Fraction(1, RATE)
    packet.pts, packet.dts, packet.duration = encoded[1:]
    return packet


def others(path: Path) -> list[list[str]]:
    """The md5 of each packet of each stream that holds no pictures, in the order of the file.

    MPEG-TS puts a header of 7 bytes (ADTS) before each packet of AAC, which no other container has.
    """
    header = 7 if path.suffix == ".ts" else 0
    with av.open(str(path)) as container:
        found: dict[int, list[str]] = {s.index: [] for s in container.streams if s.type in ("audio", "subtitle")}
        for packet in container.demux(*(container.streams[index] for index in found)):
            if packet.size:
                found[packet.stream.index].append(hashlib.md5(bytes(packet)[header:]).hexdigest())
    return list(found.values())


@pytest.mark.parametrize(
    ("source", "target", "made"),
    [
        ("in.mp4", "out.mp4", {"options": NO_DELAY}),
        ("in.mp4", "out.mp4", {"options": X264}),
        ("in.mp4", "out.mkv", {"options": NO_DELAY, "tracks": 6, "times": range(0, 20, 2), "seconds": 20}),
        ("in.mp4", "out.mp4", {"options": NO_DELAY, "tracks": 2, "times": (0, 8, 16), "seconds": 24}),
        ("in.mp4", "out.mp4", {"options": NO_DELAY, "times": (8, 15)}),  # sound long before the first frame
        ("in.mp4", "out.mp4", {"options": NO_DELAY, "times": (0, 1)}),  # and long after the last
        ("in.mov", "out.mp4", {"codec": "prores_ks"}),
        ("in.mov", "out.mov", {"codec": "mjpeg", "sound": "pcm_s16le"}),
        ("in.mkv", "out.mkv", {"codec": "mjpeg", "subtitle": "subrip", "tracks": 2}),
        ("in.mkv", "out.mkv", {"options": NO_DELAY, "subtitle": "subrip", "sound": "flac"}),
        ("in.mkv", "out.mp4", {"options": X264, "tracks": 2}),
        ("in.ts", "out.mkv", {"options": NO_DELAY, "tracks": 2}),
        ("in.ts", "out.mp4", {"options": X264}),
        ("in.flv", "out.mp4", {"options": NO_DELAY}),
        ("in.flv", "out.mp4", {"options": X264, "times": [n / 25 for n in range(25)], "seconds": 2}),
        ("in.avi", "out.mkv", {"codec": "mjpeg", "sound": "pcm_s16le", "rate": 1}),
        ("in.avi", "out.mkv", {"codec": "mjpeg", "sound": "mp2", "times": [n / 25 for n in range(25)], "seconds": 2}),
    ],
)
def test_every_packet_arrives_in_order(
    source: str, target: str, made: dict[str, object], identity: Model, tmp_path: Path
) -> None:
    path = slides(tmp_path / source, **({"times": SLIDES} | made))
    before = others(path)
    count = math.ceil(made.get("seconds", 20) * RATE / SIZE)
    assert len(before) == made.get("tracks", 1) + ("subtitle" in made)
    assert len(before[0]) > count / 5  # FLAC has 4608 samples a packet
    summary = translate_video(identity, path, tmp_path / target)
    deep = [f"not carried over to libx264 in {Path(target).suffix}: more than 8 bits"]
    assert (summary.notes, summary.damage) == (deep if made.get("codec") == "prores_ks" else [], None)
    assert others(tmp_path / target) == before
    with av.open(str(tmp_path / target)) as container:
        assert sum(1 for _ in container.decode(video=0)) == summary.frames


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_constant_rate_keeps_them_too(suffix: str, identity: Model, tmp_path: Path) -> None:
    path = slides(tmp_path / f"in{suffix}", options=NO_DELAY)
    summary = translate_video(identity, path, tmp_path / f"out{suffix}", video=VideoOptions(fps=2))
    assert (summary.frames >= 28, summary.notes) == (True, [])
    assert others(tmp_path / f"out{suffix}") == others(path)
    pipe = io.BytesIO()
    assert translate_video(identity, path, pipe, video=VideoOptions(fps=2)).frames == summary.frames


def test_a_start_within_a_slide_shows_it(identity: Model, tmp_path: Path) -> None:
    """It is on display then, and players hold the last one while there is sound."""
    path = slides(tmp_path / "in.mp4", options=NO_DELAY)  # at 0, 7 and 14 seconds, with sound of 20
    for start, end, times, level in ((9, 13, [0], 80), (9, None, [0, 5], 80), (16, None, [0], 40)):
        target = tmp_path / f"{start}-{end}.mp4"
        translate_video(identity, path, target, video=VideoOptions(start=start, end=end, crf=1))
        result = facts(target, planes=True)
        assert result.times == times
        assert abs(result.planes[0][0].mean() - (16 + level * 219 / 255)) < 2
    with pytest.raises(VideoError, match="it has no frame between start and end"):
        translate_video(identity, path, tmp_path / "none.mp4", video=VideoOptions(start=21))


def test_a_part_has_the_packets_of_that_part(identity: Model, tmp_path: Path) -> None:
    path = slides(tmp_path / "in.mp4", options=NO_DELAY | {"g": "1"})
    part = VideoOptions(start=6.5, end=14.5)
    translate_video(identity, path, tmp_path / "out.mp4", video=part)
    (sound,) = facts(path).sound.values()
    assert others(tmp_path / "out.mp4") == [[md5 for md5, time in sound if 6.5 <= time < 14.5]]


def test_packets_beyond_the_limit_are_written_before_their_frame(
    identity: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At most so many bytes wait for a frame; all of them arrive in their order."""
    path = slides(tmp_path / "in.mkv", options=NO_DELAY, tracks=2, sound="flac")
    monkeypatch.setattr(reader, "_HELD", 60_000)
    with reader.Reader(str(path), VideoOptions()) as source:
        held = [sum(packet.size + 512 for packet in item.packets) for item in source.items()]
    assert len(held) > 10
    assert max(held[1:]) < 70_000  # before the first, no file can be begun
    summary = translate_video(identity, path, tmp_path / "out.mkv")
    assert summary.notes == []
    assert others(tmp_path / "out.mkv") == others(path)


def test_too_much_before_the_first_frame_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = slides(tmp_path / "in.mkv", times=(18,), options=NO_DELAY)
    monkeypatch.setattr(reader, "_HELD", 60_000)
    monkeypatch.setattr(reader, "_BEFORE", 1 << 18)
    with pytest.raises(VideoError, match=r"more than 0\.25 MiB of other streams come before its first frame; .*--"):
        reader.Reader(str(path), VideoOptions())


def test_joined_recordings_follow_each_other(identity: Model, tmp_path: Path) -> None:
    """The clock begins again with each: its pictures and its sound are moved by the same time, and none is dropped."""
    lengths = (2, 5, 3)
    parts = [
        slides(tmp_path / f"{number}.ts", [n / 25 for n in range(25 * seconds)], seconds, options=NO_DELAY)
        for number, seconds in enumerate(lengths)
    ]
    (tmp_path / "in.ts").write_bytes(b"".join(part.read_bytes() for part in parts))
    summary = translate_video(identity, tmp_path / "in.ts", tmp_path / "out.mp4")
    assert summary.notes == [
        "its clock goes back 2 times, as where recordings are joined: each was moved behind the one before"
    ]
    assert others(tmp_path / "out.mp4") == others(tmp_path / "in.ts")
    result, (sound,) = facts(tmp_path / "out.mp4"), facts(tmp_path / "out.mp4").sound.values()
    assert len(result.times) == summary.frames == 25 * sum(lengths)
    for seconds, part in zip(lengths, map(facts, parts), strict=True):
        (heard,) = part.sound.values()
        shift = result.times[0] - part.times[0]
        assert max(abs(new - old - shift) for new, old in zip(result.times, part.times, strict=False)) < 0.001
        assert max(abs(new - old - shift) for (_, new), (_, old) in zip(sound, heard, strict=False)) < 0.001
        del result.times[: 25 * seconds], sound[: len(heard)]
    assert not sound


def test_a_wrong_time_of_sound_is_no_new_recording() -> None:
    """Its packets after it go back in time, and not behind the pictures."""
    clock = Clock(Fraction(1))
    pictures, sound = (SimpleNamespace(index=number, type=kind) for number, kind in enumerate(("video", "audio")))
    for stream, second in ((pictures, 0), (sound, 0), (sound, 900), (pictures, 1), (sound, 1), (pictures, 2)):
        packet = SimpleNamespace(stream=stream, dts=second, pts=second, time_base=Fraction(1), duration=1)
        clock.move(packet, stream is pictures)
        assert packet.dts == packet.pts == second
    assert clock.restarts == 0


def test_times_that_go_back_in_the_source_are_named(identity: Model, tmp_path: Path) -> None:
    """The note blames the source, and is right."""
    path = slides(tmp_path / "in.ts", times=(0, 1), seconds=2, options=NO_DELAY)
    with reader.Reader(str(path), VideoOptions()) as source, av.open(str(tmp_path / "o.mp4"), "w") as output:
        packets = [packet for item in source.items() for packet in item.packets]
        copies = StreamCopies(source, output)
        copies.add_streams([])
        output.start_encoding()
        copies.write([*packets[40:], *packets[:40]])
        copies.finish()
    assert copies.notes == ["40 packets of stream 1 dropped: their times go back in the source"]
