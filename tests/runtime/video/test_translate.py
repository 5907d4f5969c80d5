"""Whole jobs: every codec, names and destinations, and observers."""

from __future__ import annotations

import copy
import os
import time
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest

import i2i
from i2i.runtime import Model, ModelError, Options
from i2i.runtime.video import VideoOptions, detect, translate, translate_video
from i2i.runtime.video.frame.item import Item
from i2i.runtime.video.options import CODECS
from i2i.runtime.video.pipeline import TranslatedFrame
from i2i.runtime.video.sink.encoders import ENCODERS
from i2i.runtime.video.source.stream_info import describe
from tests import tiny
from tests.runtime.video.clips import make
from tests.runtime.video.facts import facts, psnr

VIDEO = [codec for codec, encoder in ENCODERS.items() if encoder.loop is None]  # and no animation
NVENC = [codec for codec in CODECS if codec.endswith("_nvenc")]

DECODED = {"h264": "h264", "hevc": "hevc", "av1": "libdav1d", "prores": "prores", "ffv1": "ffv1"}


def test_every_codec_has_its_encoder() -> None:
    assert set(CODECS) == {"auto", *VIDEO}


@pytest.mark.parametrize("codec", [codec for codec in VIDEO if codec not in NVENC])
def test_a_codec_in_each_of_its_containers(codec: str, identity: Model, tmp_path: Path) -> None:
    """Variable times, tags and pictures are kept in all of its containers."""
    source = make(tmp_path / "in.mp4", times=[0, 512, 1152, 3000, 3512], colour=(1, 1, 1, 1))
    before = facts(source, planes=True)
    for suffix, container in detect.CONTAINERS.items():
        target = tmp_path / f"{codec}{suffix}"
        if container not in ENCODERS[codec].containers:
            with pytest.raises(ValueError, match=f"{codec} does not go into {suffix}; choose "):
                translate_video(identity, source, target, video=VideoOptions(codec=codec))
            continue
        translate_video(identity, source, target, video=VideoOptions(codec=codec))
        result = facts(target, planes=codec in ("h264", "hevc", "av1"))
        ticks = 12800 if container in ("mp4", "mov") else 1000
        assert [round(time * ticks) for time in result.times] == [round(time * ticks) for time in before.times]
        assert result.codec.startswith(DECODED[codec])
        assert result.colour == ((0, 2, 1, 1) if codec == "ffv1" else (1, 1, 1, 1))
        if result.planes:
            assert psnr(before.planes, result.planes) > 38


def test_a_model_that_fills_holes_is_refused(tmp_path: Path) -> None:
    model, source = Model(tiny.filler(tmp_path / "fill.onnx"), "cpu"), make(tmp_path / "in.mp4")
    with pytest.raises(ModelError, match=r"fill\.onnx fills the transparent parts of images, and a video"):
        translate_video(model, source, tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("codec", ["h264", "hevc", "av1"])
def test_few_frames(codec: str, count: int, identity: Model, tmp_path: Path) -> None:
    """x265 leaves the decoding times of one or two frames unset, in about half of all runs."""
    source = make(tmp_path / "in.mp4", times=range(0, count * 512, 512))
    for number in range(4):
        target = tmp_path / f"{number}.mp4"
        translate_video(identity, source, target, video=VideoOptions(codec=codec))
        assert facts(target).times == facts(source).times


def test_a_rate_that_an_encoder_refuses_is_not_given_to_it(identity: Model, tmp_path: Path) -> None:
    """SVT-AV1 takes up to 240 frames a second, and any times of them."""
    source = make(tmp_path / "in.mp4", times=range(0, 36, 3), base=Fraction(1, 1000), last=3)
    translate_video(identity, source, tmp_path / "out.webm")
    assert facts(tmp_path / "out.webm").times == facts(source).times


@pytest.mark.parametrize(
    ("average", "guess", "expected"),
    [(Fraction(25), Fraction(1000), 25), (None, Fraction(60), 60), (None, Fraction(1000), 30), (None, None, 30)],
)
def test_a_unit_of_times_is_no_rate(
    average: Fraction | None, guess: Fraction | None, expected: int, tmp_path: Path
) -> None:
    """FFmpeg guesses 1000 of what browsers record, which states no rate."""
    with av.open(str(make(tmp_path / "in.mkv"))) as container:
        stream, frame = container.streams.video[0], next(container.decode(video=0))
        names = ("codec_context", "sample_aspect_ratio", "time_base", "frames", "container", "metadata")
        same = {name: getattr(stream, name) for name in names}
        clip = describe(SimpleNamespace(average_rate=average, guessed_rate=guess, **same), frame, None)
    assert clip.rate == expected


def test_no_thread_of_an_encoder_has_priority(identity: Model, tmp_path: Path) -> None:
    """As root SVT-AV1 takes the highest, for good, and all that is started later inherits it."""
    if not os.path.exists("/proc/self/task"):
        pytest.skip("this system has no Linux threads")
    found = set()

    def scheduling(_: object) -> None:
        for thread in os.listdir("/proc/self/task"):
            with suppress(ProcessLookupError):  # it has ended
                found.add(os.sched_getscheduler(int(thread)))

    source = make(tmp_path / "in.mp4", times=range(0, 30 * 512, 512))
    before = os.sched_getscheduler(0)
    translate_video(identity, source, tmp_path / "out.mp4", video=VideoOptions(codec="av1"), report=scheduling)
    assert found == {before}
    assert os.sched_getscheduler(0) == before


@pytest.mark.parametrize("codec", NVENC)
def test_nvenc_without_a_card_fails_with_what_to_do(codec: str, identity: Model, tmp_path: Path) -> None:
    source = make(tmp_path / "in.mp4", times=(0, 512))
    software = codec.removesuffix("_nvenc")
    with pytest.raises(ValueError, match=f"--codec {codec} needs an NVIDIA card .*; --codec {software} encodes on the"):
        translate_video(identity, source, tmp_path / "out.mp4", video=VideoOptions(codec=codec))


@pytest.mark.parametrize(
    ("options", "target", "message"),
    [
        ({"codec": "ffv1", "crf": 3}, "o.mkv", "ffv1 has no --crf; leave it out"),
        ({"codec": "prores", "preset": "fast"}, "o.mov", "prores has no --preset"),
        ({"preset": "warp"}, "o.mp4", "the encoder libx264 does not open with crf=18 preset=warp"),
        ({"crf": 60}, "o.mp4", "h264 takes a --crf from 0 to 51, and 60 was given"),
        ({}, "o.avi", r"videos are written as \.apng, \.gif, \.m4v, \.mkv, \.mov, \.mp4, \.webm, \.webp"),
    ],
)
def test_options_that_an_encoder_lacks_are_refused(
    options: dict[str, object], target: str, message: str, identity: Model, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        translate_video(
            identity, make(tmp_path / "in.mp4", times=(0,)), tmp_path / target, video=VideoOptions(**options)
        )
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_names_and_places(identity: Model, tmp_path: Path) -> None:
    make(tmp_path / "in.mov", times=(0, 512))
    make(tmp_path / "old.avi", times=(0, 512))
    assert i2i.translate(tmp_path / "in.mov", model=identity) == tmp_path / "in-identity.mov"
    assert i2i.translate(tmp_path / "old.avi", model=identity) == tmp_path / "old-identity.mkv"
    (tmp_path / "there").mkdir()
    for folder in (f"{tmp_path}/new/", tmp_path / "there"):
        assert i2i.translate(tmp_path / "in.mov", folder, identity) == Path(folder) / "in.mov"
    frames = i2i.translate(tmp_path / "in.mov", tmp_path / "frames", identity, format="jpeg")
    assert sorted(path.name for path in frames.iterdir()) == ["000001.jpg", "000002.jpg", "timestamps.txt"]
    with pytest.raises(ValueError, match="is there already; choose another name, or --overwrite"):
        i2i.translate(tmp_path / "in.mov", model=identity)
    i2i.translate(tmp_path / "in.mov", model=identity, overwrite=True)
    with pytest.raises(ValueError, match="originals are never overwritten"):
        i2i.translate(tmp_path / "in.mov", tmp_path / "in.mov", identity, overwrite=True)
    with pytest.raises(ValueError, match="crf: for videos only, and the source is not a video"):
        i2i.translate(tmp_path, model=identity, crf=3)
    assert not list(tmp_path.glob(".*"))


def test_what_is_a_video(tmp_path: Path) -> None:
    for name, head in {"a": b"\x1a\x45\xdf\xa3", "b": b"\0\0\0\x20ftypisom", "c": b"\0\0\0\x20ftypavif"}.items():
        (tmp_path / name).write_bytes(head.ljust(64, b"\0"))
    found = [detect.is_video(tmp_path / name) for name in ("a", "b", "c", "x.MP4", "x.png", "none")]
    assert found == [True, True, False, True, False, False]
    packet = b"\x47".ljust(188, b"\0")
    streams = 3 * packet, 3 * (bytes(4) + packet), 2 * packet, b"GIF89a".ljust(188, b"\0") + 2 * packet
    assert [detect.begins_like_video(head) for head in streams] == [True, True, False, False]
    assert [detect.camera(text) for text in ("camera:0", "camera:12", "camera:", "camera:x")] == [0, 12, None, None]


def test_observers_see_each_frame_in_its_order(identity: Model, tmp_path: Path) -> None:
    source = make(tmp_path / "in.mp4", times=range(0, 40 * 512, 512))
    seen: list[tuple[float, bool]] = []
    observe = lambda before, after, second: seen.append((second, np.array_equal(before, after)))  # noqa: E731
    reports: list[int] = []
    translate_video(
        identity, source, tmp_path / "o.mp4", report=lambda done: reports.append(done.frames), observers=[observe]
    )
    assert seen == [(number / 25, True) for number in range(40)]
    assert reports == list(range(1, 41))


def test_frames_without_observers_are_not_kept(
    identity: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The measure of flicker needs two frames in 16; other observers get all frames unless they select some."""
    kept: dict[int, bool] = {}

    def done(item: Item, rendered: object, picture: np.ndarray | None, result: np.ndarray | None) -> TranslatedFrame:
        kept[item.times[0] // 512] = picture is not None and result is not None
        return TranslatedFrame(item, rendered, picture, result)

    monkeypatch.setattr(translate, "TranslatedFrame", done)
    source = make(tmp_path / "in.mp4", times=range(0, 36 * 512, 512))
    translate_video(identity, source, tmp_path / "o.mp4")
    assert sorted(kept) == list(range(36))
    assert sorted(number for number in kept if kept[number]) == [0, 1, 16, 17, 32, 33]
    translate_video(identity, source, None, observers=[lambda *_: None])
    assert all(kept.values())


def test_on_a_gpu_frames_go_in_batches_and_come_in_order(identity: Model, tmp_path: Path) -> None:
    sizes: list[int] = []

    def run(batch: np.ndarray) -> np.ndarray:
        sizes.append(len(batch))
        time.sleep(0.02)
        return batch

    model = copy.copy(identity)
    model.on_cpu, model.run = False, run  # type: ignore[method-assign]
    level = lambda number: np.full((48, 64, 3), 6 * number, np.uint8)  # noqa: E731
    source = make(tmp_path / "in.mp4", times=range(0, 40 * 512, 512), picture=level)
    translate_video(model, source, tmp_path / "out.mp4", Options(batch=4), VideoOptions(crf=1))
    assert sum(sizes) == 40
    assert 1 < max(sizes) <= 4
    shown = [frame[0].mean() for frame in facts(tmp_path / "out.mp4", planes=True).planes]
    assert np.abs(np.array(shown) - [16 + 6 * number * 219 / 255 for number in range(40)]).max() < 2
