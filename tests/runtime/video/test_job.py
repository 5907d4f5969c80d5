"""A job as a whole: every codec, names and places, Ctrl-C and kills, memory, cameras, and who may look on."""

from __future__ import annotations

import copy
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import i2i
from i2i.cli import video as verb
from i2i.runtime import Model, NonFiniteError, Options
from i2i.runtime.machine import PeakMemory
from i2i.runtime.video import VideoError, VideoOptions, camera, kinds, place, translate_video, window
from i2i.runtime.video.encoders import ENCODERS
from i2i.runtime.video.options import CODECS
from tests import tiny
from tests.conftest import ROOT, Command
from tests.runtime.video.clips import make
from tests.runtime.video.facts import facts, psnr

NVENC = [codec for codec in CODECS if codec.endswith("_nvenc")]
DECODED = {"h264": "h264", "hevc": "hevc", "av1": "libdav1d", "prores": "prores", "ffv1": "ffv1"}


def test_every_codec_has_its_encoder() -> None:
    assert set(CODECS) == {"auto", *ENCODERS}


@pytest.mark.parametrize("codec", [codec for codec in ENCODERS if codec not in NVENC])
def test_a_codec_in_each_of_its_containers(codec: str, identity: Model, tmp_path: Path) -> None:
    """Variable times, tags and the picture, in all that it goes into."""
    source = make(tmp_path / "in.mp4", times=[0, 512, 1152, 3000, 3512], colour=(1, 1, 1, 1))
    before = facts(source, planes=True)
    for suffix, container in kinds.CONTAINERS.items():
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


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("codec", ["h264", "hevc", "av1"])
def test_few_frames(codec: str, count: int, identity: Model, tmp_path: Path) -> None:
    """Of one or two, x265 leaves the decoding times unset: which is seen in about half of all runs."""
    source = make(tmp_path / "in.mp4", times=range(0, count * 512, 512))
    for number in range(4):
        target = tmp_path / f"{number}.mp4"
        translate_video(identity, source, target, video=VideoOptions(codec=codec))
        assert facts(target).times == facts(source).times


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
        ({}, "o.avi", r"videos are written as \.m4v, \.mkv, \.mov, \.mp4, \.webm"),
    ],
)
def test_what_an_encoder_does_not_take(
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
    with pytest.raises(ValueError, match="crf: for videos, and this is none"):
        i2i.translate(tmp_path, model=identity, crf=3)
    assert not list(tmp_path.glob(".*"))


def test_what_is_a_video(tmp_path: Path) -> None:
    for name, head in {"a": b"\x1a\x45\xdf\xa3", "b": b"\0\0\0\x20ftypisom", "c": b"\0\0\0\x20ftypavif"}.items():
        (tmp_path / name).write_bytes(head.ljust(64, b"\0"))
    found = [kinds.is_video(tmp_path / name) for name in ("a", "b", "c", "x.MP4", "x.png", "none")]
    assert found == [True, True, False, True, False, False]
    assert [kinds.camera(text) for text in ("camera:0", "camera:12", "camera:", "camera:x")] == [0, 12, None, None]


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


def test_on_a_gpu_frames_go_in_batches_and_come_in_order(identity: Model, tmp_path: Path) -> None:
    sizes: list[int] = []

    def run(batch: np.ndarray) -> np.ndarray:
        sizes.append(len(batch))
        time.sleep(0.02)
        return batch

    model = copy.copy(identity)
    model.provider, model.run = "cuda", run  # type: ignore[method-assign]
    level = lambda number: np.full((48, 64, 3), 6 * number, np.uint8)  # noqa: E731
    source = make(tmp_path / "in.mp4", times=range(0, 40 * 512, 512), picture=level)
    translate_video(model, source, tmp_path / "out.mp4", Options(batch=4), VideoOptions(crf=1))
    assert sum(sizes) == 40
    assert 1 < max(sizes) <= 4
    shown = [frame[0].mean() for frame in facts(tmp_path / "out.mp4", planes=True).planes]
    assert np.abs(np.array(shown) - [16 + 6 * number * 219 / 255 for number in range(40)]).max() < 2


def test_a_result_that_is_no_picture_ends_the_job(deep_identity: Model, tmp_path: Path) -> None:
    model = Model(tiny.not_a_number(tmp_path / "nan.onnx", replace(tiny.DEEP)), "cpu", 2)
    source = make(tmp_path / "in.mp4", times=(0, 512), picture=lambda _: np.zeros((48, 64, 3), np.uint8))
    with pytest.raises(NonFiniteError):
        translate_video(model, source, tmp_path / "out.mp4")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "nan.onnx"]


def test_two_jobs_to_one_target_are_one_too_many(identity: Model, tmp_path: Path) -> None:
    source = make(tmp_path / "in.mp4", times=(0, 512))
    with place.workplace(tmp_path / "out.mp4"), pytest.raises(VideoError, match="another job is writing it"):
        translate_video(identity, source, tmp_path / "out.mp4")
    translate_video(identity, source, tmp_path / "out.mp4")


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX limits")
def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path, identity_file: Path, i2i_command: Command) -> None:
    import resource

    noise = np.random.default_rng(0).integers(0, 256, (20, 48, 64, 3), np.uint8)
    source = make(tmp_path / "in.mp4", times=range(0, 20 * 512, 512), picture=lambda number: noise[number])
    signal_off = lambda: signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # noqa: E731

    def limit() -> None:
        signal_off()
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    done = i2i_command("translate", source, tmp_path / "out.mkv", "-m", identity_file, "--crf", "1", preexec_fn=limit)
    assert done.returncode == 1, done.stderr
    assert "File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("long") / "in.mp4", times=range(0, 400 * 512, 512), size=(128, 96), sound=16.0)


def started(source: Path, target: Path, model: Path) -> subprocess.Popen[str]:
    """A job that takes a while, at the point where it writes."""
    command = [sys.executable, "-m", "i2i", "translate", source, target, "-m", model, "--preset", "veryslow"]
    heed = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed
    )
    while process.poll() is None and not list(target.parent.glob(".i2i-*.video/film*")):
        time.sleep(0.005)
    return process


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_ctrl_c_leaves_a_beginning_that_plays(long: Path, tmp_path: Path, identity_file: Path) -> None:
    process = started(long, tmp_path / "out.mp4", identity_file)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert errors.splitlines()[-1] == "interrupted"
    assert [path.name for path in tmp_path.iterdir()] == ["out.partial.mp4"]
    before, result = facts(long), facts(tmp_path / "out.partial.mp4")
    assert 0 < len(result.times) < 400
    assert result.times == before.times[: len(result.times)]
    assert f"the first {len(result.times)} frames are in {tmp_path}/out.partial.mp4" in errors


def kill(source: Path, target: Path, model: Path, wait: float) -> bool:
    """Kills a job some time after it began to write; whether that was before its end."""
    process = started(source, target, model)
    time.sleep(wait)
    process.kill()
    process.communicate(timeout=60)
    if process.returncode == 0:
        assert len(facts(target).times) == 400
        target.unlink()
        return False
    assert not target.exists(), "a killed job left something under the final name"
    return True


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_a_killed_job_leaves_nothing_under_the_final_name(
    long: Path, tmp_path: Path, identity_file: Path, i2i_command: Command
) -> None:
    assert kill(long, tmp_path / "out.mp4", identity_file, 0.1)
    assert list(tmp_path.glob(".i2i-*.video/film*"))
    done = i2i_command("translate", long, tmp_path / "out.mp4", "-m", identity_file, "--preset", "ultrafast")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]
    assert facts(tmp_path / "out.mp4").times == facts(long).times


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_many_kills(long: Path, tmp_path: Path, identity_file: Path) -> None:
    waits = np.random.default_rng(0).uniform(0, 3, 40)
    killed = sum(kill(long, tmp_path / "out.mp4", identity_file, float(wait)) for wait in waits)
    assert killed >= 20, "the kills came too late to show anything"


@pytest.mark.slow
def test_memory_is_flat(identity: Model, tmp_path: Path) -> None:
    """Of 400 frames more, each of 0.7 MB in RGB, nothing is held."""
    grown = []
    for count in (60, 460):
        source = make(
            tmp_path / f"{count}.mp4",
            times=range(0, count * 512, 512),
            size=(640, 360),
            options={"preset": "ultrafast"},
        )
        peak = PeakMemory()
        translate_video(identity, source, tmp_path / f"out-{count}.mp4")
        grown.append(peak.grown())
    assert None not in grown
    assert grown[1] - grown[0] < 30 << 20  # type: ignore[operator]


class FakeCamera:
    """Gives a picture every 10 ms, 30 in all."""

    def __init__(self, number: int) -> None:
        self.left = 30 if number == 0 else 0

    def isOpened(self) -> bool:
        return self.left > 0

    def read(self) -> tuple[bool, np.ndarray | None]:
        time.sleep(0.01)
        self.left -= 1
        return (True, np.full((48, 64, 3), (200, 100, 50), np.uint8)) if self.left >= 0 else (False, None)

    def release(self) -> None:
        self.left = 0


def test_a_camera(identity: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera.cv2, "VideoCapture", FakeCamera)
    seen: list[np.ndarray] = []
    summary = translate_video(
        identity, "camera:0", tmp_path / "out.mp4", observers=[lambda before, after, second: seen.append(after)]
    )
    assert 2 <= summary.frames <= 30
    assert seen[0][0, 0].tolist() == [50, 100, 200]  # OpenCV's BGR
    result = facts(tmp_path / "out.mp4")
    assert len(result.times) == summary.frames == len(seen)
    assert result.times[0] == 0
    assert 0.05 < result.times[-1] < 10
    assert translate_video(identity, "camera:0", None, video=VideoOptions(end=0.1)).frames < 12
    with pytest.raises(VideoError, match="camera:1: no such camera, or another program has it"):
        translate_video(identity, "camera:1", tmp_path / "none.mp4")
    with pytest.raises(ValueError, match="a camera has no past"):
        translate_video(identity, "camera:0", tmp_path / "none.mp4", video=VideoOptions(start=1))


def test_a_preview_needs_a_display(tmp_path: Path, identity_file: Path, i2i_command: Command) -> None:
    source = make(tmp_path / "in.mp4", times=(0, 512))
    env = {"DISPLAY": "", "WAYLAND_DISPLAY": ""}
    done = i2i_command("translate", source, "-m", identity_file, "--preview", env=env)
    assert done.returncode == 2
    if sys.platform.startswith("linux"):
        assert "--preview needs a display, and there is none" in done.stderr


def test_a_window_that_fails_does_not_take_the_job_along(
    identity: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window, "missing", lambda: None)
    monkeypatch.setattr(window.sys, "executable", "/bin/false")
    shown = window.Window("title")
    source = make(tmp_path / "in.mp4")
    assert translate_video(identity, source, tmp_path / "out.mp4", observers=[shown]).frames == 12
    shown.close()


@pytest.mark.skipif(shutil.which("Xvfb") is None, reason="needs Xvfb, a display without a screen")
def test_a_window_shows_the_newest_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tkinter")
    reading, writing = os.pipe()
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "400x300x24", "-fbdir", str(tmp_path)]
    server = subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL)
    try:
        monkeypatch.setenv("DISPLAY", f":{os.read(reading, 16).decode().strip()}")
        shown = window.Window("i2i")
        green, purple = (np.full((60, 80, 3), colour, np.uint8) for colour in ((10, 200, 30), (170, 40, 150)))
        shown(green, green, 0.0)
        shown(green, purple, 0.04)
        for _ in range(200):  # the screen as Xvfb maps it: blue, green, red, nothing
            time.sleep(0.05)
            screen = (tmp_path / "Xvfb_screen0").read_bytes()
            if screen.count(bytes((150, 40, 170, 0))) >= 60 * 80:
                break
        assert screen.count(bytes((150, 40, 170, 0))) >= 60 * 80
        assert screen.count(bytes((30, 200, 10, 0))) == 0
        shown.close()
        assert shown._process.returncode == 0
    finally:
        server.terminate()
        server.wait()


def test_what_a_window_is_sent(tmp_path: Path) -> None:
    deep = (np.arange(24, dtype=np.uint16) << 8).reshape(2, 4, 3)
    (tmp_path / "pipe").write_bytes(window.packed(deep) + window.packed(deep)[:-1])
    with open(tmp_path / "pipe", "rb") as pipe:
        assert window.unpacked(pipe) == (4, 2, bytes(range(24)))
        assert window.unpacked(pipe) is None


def test_the_command_line(tmp_path: Path, identity_file: Path, i2i_command: Command) -> None:
    source = make(tmp_path / "in.mp4", sound=0.4)
    broken = tmp_path / "cut.mkv"
    broken.write_bytes(make(tmp_path / "w.mkv", times=range(0, 51200, 512), options={"g": "5"}).read_bytes()[:-9000])
    done = i2i_command("translate", source, tmp_path / "out.mkv", "-m", identity_file, "--fps", "50", "--end", "0.2")
    assert (done.returncode, done.stdout.partition(" (")[0]) == (0, f"{tmp_path}/out.mkv: 10 frames"), done.stderr
    done = i2i_command("translate", broken, f"{tmp_path}/new/", "-m", identity_file)
    assert done.returncode == 1
    assert f"{broken}: damaged: " in done.stderr
    assert (tmp_path / "new" / "cut.mkv").exists()
    done = i2i_command("translate", tmp_path, f"{tmp_path}/folder", "-m", identity_file)
    assert "note: 5 videos in " in done.stderr
    done = i2i_command("translate", tmp_path / "none.mp4", "-m", identity_file)
    assert done.returncode == 2
    assert "none.mp4: no such file" in done.stderr
    done = i2i_command("translate", identity_file, "-m", identity_file, "--crf", "3", "--preview")
    assert done.returncode == 2
    assert "--crf, --preview: for videos, and " in done.stderr


def test_from_pipe_to_pipe(tmp_path: Path, identity_file: Path) -> None:
    source = make(tmp_path / "in.mkv", colour=(1, 1, 1, 1))
    command = [sys.executable, "-m", "i2i", "translate", "-", "-", "-m", identity_file]
    done = subprocess.run(command, cwd=ROOT, input=source.read_bytes(), capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    (tmp_path / "out.y4m").write_bytes(done.stdout)
    assert facts(tmp_path / "out.y4m").times == [time for time in facts(source).times]
    assert b"done: 12 frames" in done.stderr


def test_each_field_is_an_option_and_bears_its_help() -> None:
    import click

    def given(**options: object) -> None:
        """A verb."""

    parameters = click.command(verb.options(given)).params
    assert [parameter.name for parameter in parameters] == [*VideoOptions.__dataclass_fields__, "preview"]
    assert all(parameter.help.startswith("Of a video: ") for parameter in parameters)  # type: ignore[attr-defined]
