"""Cameras, the preview window, and the command line with its pipes."""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from i2i.cli import preview_window
from i2i.cli import translate_video as verb
from i2i.runtime import Model
from i2i.runtime.video import VideoError, VideoOptions, translate_video
from i2i.runtime.video.source import camera
from tests.conftest import ROOT, Command
from tests.runtime.video.clips import make
from tests.runtime.video.facts import facts


class FakeCamera:
    """Gives a picture every 10 ms, for longer than a job takes."""

    def __init__(self, number: int) -> None:
        self.left = 3000 if number == 0 else 0

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
    observe = lambda before, after, second: seen.append(after)  # noqa: E731
    summary = translate_video(
        identity, "camera:0", tmp_path / "out.mp4", video=VideoOptions(end=1), observers=[observe]
    )
    assert 2 <= summary.frames <= 100
    assert seen[0][0, 0].tolist() == [50, 100, 200]  # OpenCV's BGR
    result = facts(tmp_path / "out.mp4")
    assert len(result.times) == summary.frames == len(seen)
    assert result.times[0] == 0
    assert 0 < result.times[-1] < 1
    assert translate_video(identity, "camera:0", None, video=VideoOptions(end=0.1)).frames < 12
    with pytest.raises(VideoError, match="camera:1: no such camera, or another program has it"):
        translate_video(identity, "camera:1", tmp_path / "none.mp4")
    with pytest.raises(ValueError, match="a camera has no past"):
        translate_video(identity, "camera:0", tmp_path / "none.mp4", video=VideoOptions(start=1))


class SlowCamera(FakeCamera):
    """Gives two pictures, the second after half a second, and ends."""

    def __init__(self, number: int) -> None:
        self.left = 3

    def read(self) -> tuple[bool, np.ndarray | None]:
        self.left -= 1
        time.sleep(0 if self.left == 2 else 0.5)
        return (True, np.full((48, 64, 3), 100 - self.left, np.uint8)) if self.left else (False, None)


def test_a_constant_rate_shows_each_picture_until_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera.cv2, "VideoCapture", SlowCamera)
    with camera.Camera(0, VideoOptions(fps=10)) as source:
        first, second = source.items()
    assert len(first.times) >= 5
    assert first.times + second.times == list(range(len(first.times) + len(second.times)))
    assert [item.frame.to_ndarray(format="bgr24")[0, 0, 0] for item in (first, second)] == [98, 99]


def test_a_camera_is_shown_soon(identity: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few of its pictures are on their way, however long the model takes."""
    taken, take = [], camera.Camera._take

    def counted(source: camera.Camera) -> tuple[np.ndarray, float] | None:
        taken.append(take(source))
        return taken[-1]

    def run(batch: np.ndarray) -> np.ndarray:
        time.sleep(0.05)
        return batch

    monkeypatch.setattr(camera.cv2, "VideoCapture", FakeCamera)
    monkeypatch.setattr(camera.Camera, "_take", counted)
    model, ages = copy.copy(identity), list[int]()
    model.run = run  # type: ignore[method-assign]
    observe = lambda *_: ages.append(len(taken) - len(ages))  # noqa: E731
    translate_video(model, "camera:0", None, video=VideoOptions(end=1), observers=[observe])
    assert 1 <= max(ages) <= 4


def test_a_preview_needs_a_display(tmp_path: Path, identity_file: Path, i2i_command: Command) -> None:
    source = make(tmp_path / "in.mp4", times=(0, 512))
    env = {"DISPLAY": "", "WAYLAND_DISPLAY": ""}
    done = i2i_command("translate", source, "-m", identity_file, "--preview", env=env)
    assert done.returncode == 2
    if sys.platform.startswith("linux"):
        assert "--preview needs a display, and there is none" in done.stderr


def test_a_failing_window_does_not_end_the_job(
    identity: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preview_window, "missing", lambda: None)
    monkeypatch.setattr(preview_window.sys, "executable", "/bin/false")
    shown = preview_window.Window("title")
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
        shown = preview_window.Window("i2i")
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


def test_the_bytes_sent_to_a_window(tmp_path: Path) -> None:
    deep = (np.arange(24, dtype=np.uint16) << 8).reshape(2, 4, 3)
    (tmp_path / "pipe").write_bytes(preview_window.packed(deep) + preview_window.packed(deep)[:-1])
    with open(tmp_path / "pipe", "rb") as pipe:
        assert preview_window.unpacked(pipe) == (4, 2, bytes(range(24)))
        assert preview_window.unpacked(pipe) is None


def test_the_command_line(tmp_path: Path, identity_file: Path, i2i_command: Command, i2i_inside: Command) -> None:
    source = make(tmp_path / "in.mp4", sound=0.4)
    broken = tmp_path / "cut.mkv"
    broken.write_bytes(make(tmp_path / "w.mkv", times=range(0, 51200, 512), options={"g": "5"}).read_bytes()[:-9000])
    done = i2i_command("translate", source, tmp_path / "out.mkv", "-m", identity_file, "--fps", "50", "--end", "0.2")
    assert (done.returncode, done.stdout.partition(" (")[0]) == (0, f"{tmp_path}/out.mkv: 10 frames"), done.stderr
    done = i2i_inside("translate", broken, f"{tmp_path}/new/", "-m", identity_file)
    assert done.returncode == 1
    assert f"{broken}: damaged: " in done.stderr
    assert (tmp_path / "new" / "cut.mkv").exists()
    done = i2i_inside("translate", tmp_path, f"{tmp_path}/folder", "-m", identity_file)
    assert "note: skipped 5 videos in " in done.stderr
    done = i2i_inside("translate", tmp_path / "none.mp4", "-m", identity_file)
    assert done.returncode == 2
    assert "none.mp4: no such file" in done.stderr
    done = i2i_inside("translate", identity_file, "-m", identity_file, "--crf", "3", "--preview")
    assert done.returncode == 2
    assert "--crf, --preview: only for videos, and " in done.stderr


@pytest.mark.parametrize(("suffix", "container"), [(".mkv", "matroska"), (".ts", "mpegts")])
def test_from_pipe_to_pipe(suffix: str, container: str, tmp_path: Path, identity_file: Path) -> None:
    source = make(tmp_path / f"in{suffix}", container=container, colour=(1, 1, 1, 1))
    command = [sys.executable, "-m", "i2i", "translate", "-", "-", "-m", identity_file]
    done = subprocess.run(command, cwd=ROOT, input=source.read_bytes(), capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    (tmp_path / "out.y4m").write_bytes(done.stdout)
    assert facts(tmp_path / "out.y4m").times == [time - facts(source).times[0] for time in facts(source).times]
    assert b"done: 12 frames" in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_terminal_gets_no_frames(tmp_path: Path, identity_file: Path) -> None:
    import pty

    source, (ours, theirs) = make(tmp_path / "in.mp4", times=(0,)), pty.openpty()
    command = [sys.executable, "-m", "i2i", "translate", source, "-", "-m", identity_file]
    done = subprocess.run(command, cwd=ROOT, stdout=theirs, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(theirs)
    os.close(ours)
    assert done.returncode == 2
    assert b"a terminal cannot show the result: redirect it" in done.stderr


def test_a_pipe_cannot_go_back(identity: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MP4 has its index at its end, unless the muxer is asked to write it first."""
    noise = np.random.default_rng(0).integers(0, 256, (10, 48, 64, 3), np.uint8)
    made = {"times": range(0, 5120, 512), "picture": lambda number: noise[number]}

    def frames(**muxer: str) -> int:
        data = make(tmp_path / "in.mp4", muxer=muxer, **made).read_bytes()
        assert 40_000 < len(data) < 60_000  # more than FFmpeg remembers, and no more than a pipe holds
        reading, writing = os.pipe()
        os.write(writing, data)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            monkeypatch.setattr(sys, "stdin", pipe)
            return translate_video(identity, "-", tmp_path / "out.mkv").frames

    with pytest.raises(VideoError, match="a pipe cannot go back to an index behind the pictures"):
        frames()
    assert frames(movflags="faststart") == 10


def test_each_field_is_an_option_with_its_help() -> None:
    import click

    def given(**options: object) -> None:
        """Run a command."""

    parameters = click.command(verb.options(given)).params
    assert [parameter.name for parameter in parameters] == [*VideoOptions.__dataclass_fields__, "preview", "videos"]
    for parameter, field in zip(parameters, VideoOptions.__dataclass_fields__.values(), strict=False):
        assert parameter.help.startswith(field.metadata["help"])  # type: ignore[attr-defined]
    assert {parameter.group for parameter in parameters} == {"Video"}  # type: ignore[attr-defined]
