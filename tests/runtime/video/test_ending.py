"""Jobs that end early: Ctrl-C, kills, a full disk, a second job. And memory that does not grow."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from i2i.runtime import Model, NonFiniteError
from i2i.runtime.system.host import PeakMemory
from i2i.runtime.video import VideoError, translate_video, workspace
from i2i.text import plural
from tests import tiny
from tests.conftest import ROOT, Command
from tests.runtime.video.clips import make
from tests.runtime.video.facts import facts


def test_a_result_that_is_no_picture_ends_the_job(deep_identity: Model, tmp_path: Path) -> None:
    model = Model(tiny.not_a_number(tmp_path / "nan.onnx", replace(tiny.DEEP)), "cpu", 2)
    source = make(tmp_path / "in.mp4", times=(0, 512), picture=lambda _: np.zeros((48, 64, 3), np.uint8))
    with pytest.raises(NonFiniteError):
        translate_video(model, source, tmp_path / "out.mp4")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "nan.onnx"]


def test_two_jobs_to_one_target_are_refused(identity: Model, tmp_path: Path) -> None:
    source = make(tmp_path / "in.mp4", times=(0, 512))
    with workspace.workspace(tmp_path / "out.mp4"), pytest.raises(VideoError, match="another job is writing it"):
        translate_video(identity, source, tmp_path / "out.mp4")
    translate_video(identity, source, tmp_path / "out.mp4")


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX limits")
def test_a_full_disk_is_reported_and_leaves_nothing(tmp_path: Path, identity_file: Path, i2i_command: Command) -> None:
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


def started(source: Path, target: Path, model: Path, *options: str) -> subprocess.Popen[str]:
    """A job that takes a while, at the point where it writes."""
    command = [sys.executable, "-m", "i2i", "translate", source, target, "-m", model, "--preset", "veryslow", *options]
    heed = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed
    )
    while process.poll() is None and not list(target.parent.rglob(".i2i-*.video/video*")):
        time.sleep(0.005)
    return process


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_leaves_a_beginning_that_plays(name: str, long: Path, tmp_path: Path, identity_file: Path) -> None:
    process, number = started(long, tmp_path / "out.mp4", identity_file), getattr(signal, name)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number, errors
    assert (errors.splitlines()[-1] == "interrupted") == (name == "SIGINT")
    assert [path.name for path in tmp_path.iterdir()] == ["out.partial.mp4"]
    before, result = facts(long), facts(tmp_path / "out.partial.mp4")
    assert 0 < len(result.times) < 400
    assert result.times == before.times[: len(result.times)]
    assert f"the first {plural(len(result.times), 'frame')}: {tmp_path}/out.partial.mp4" in errors


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_sigterm_ends_a_job_whose_pipe_stalls(tmp_path: Path, identity_file: Path) -> None:
    """As that of a recording that has not ended: what came is kept."""
    options = {"g": "10", "crf": "20", "preset": "ultrafast"}
    data = make(tmp_path / "in.mkv", times=range(0, 200 * 512, 512), options=options).read_bytes()
    command = [sys.executable, "-m", "i2i", "translate", "-", tmp_path / "out.mp4", "-m", identity_file]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdin.write(data[: len(data) * 3 // 4])
    process.stdin.flush()
    while process.poll() is None and not list(tmp_path.glob(".i2i-*.video/video*")):
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    status = process.wait(timeout=60)  # with the pipe open
    process.stdin.close()
    with process.stderr:
        assert status == 128 + signal.SIGTERM, process.stderr.read()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mkv", "out.partial.mp4"]
    assert 0 < len(facts(tmp_path / "out.partial.mp4").times) < 200


def test_frames_of_an_interrupted_job_replace_no_file(tmp_path: Path, identity: Model) -> None:
    made, target = tmp_path / "made.mp4", tmp_path / "clip.mp4"
    made.write_bytes(b"frames")
    partial = tmp_path / "clip.partial.mp4"
    partial.write_bytes(b"somebody's")
    assert workspace.keep(made, target, 3) is None
    assert partial.read_bytes() == b"somebody's"
    with pytest.raises(ValueError, match=r"kept as clip\.partial\.mp4, and this is the video to translate"):
        translate_video(identity, partial, target)
    partial.unlink()
    assert workspace.keep(made, target, 3) == partial
    assert partial.read_bytes() == b"frames"


STOPPED_AT_THREE = """
import signal, sys
from pathlib import Path
from i2i.cli import translate_video as verb
from i2i.runtime import Model, Options
from i2i.runtime.video import VideoOptions

class Interrupting(verb.Progress):
    def update(self, done, total=None):
        if done == 3:
            signal.raise_signal(signal.SIGINT)

verb.Progress = Interrupting
signal.signal(signal.SIGINT, signal.default_int_handler)
model, source, target = Model(Path(sys.argv[1]), "cpu"), Path(sys.argv[2]), sys.argv[3]
for _ in range(2):
    try:
        verb.translate(model, source, target, Options(format="png"), verb.VideoJob(VideoOptions(), False))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
"""


def test_frames_that_are_not_kept_are_reported(identity_file: Path, tmp_path: Path) -> None:
    """The frames of a second interrupted job to the same folder: the folder of the first is not replaced."""
    source = make(tmp_path / "in.mp4")
    command = [sys.executable, "-c", STOPPED_AT_THREE, identity_file, source, tmp_path / "frames"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    kept, first, lost, second = done.stderr.splitlines()
    assert kept.startswith("the first 3 frames: ")
    assert lost.startswith("did not keep the first 3 frames: those of an earlier job are there; move ")
    assert (first, second) == ("interrupted", "interrupted")


FRAME_AT_HAND = """
import signal
from i2i.runtime.video.interrupt import Interrupt

def write(times):
    with interrupt.hold():
        for _ in range(times):
            signal.raise_signal(signal.SIGINT)
        print("written after", times)

signal.signal(signal.SIGINT, signal.default_int_handler)
with Interrupt() as interrupt:
    for what in (lambda: write(1), lambda: write(2), lambda: signal.raise_signal(signal.SIGINT)):
        try:
            what()
        except KeyboardInterrupt:
            print("interrupted")
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
"""


def test_ctrl_c_waits_for_the_frame_at_hand() -> None:
    """Encoded frames reach the file completely. A second Ctrl-C does not wait, nor does one between frames."""
    command = [sys.executable, "-c", FRAME_AT_HAND]  # where a stray signal ends no other test
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["written after 1", *3 * ["interrupted"]]


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_sigterm_ends_a_folder_with_the_videos_that_are_whole(long: Path, tmp_path: Path, identity_file: Path) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    make(source / "1.mp4")
    shutil.copyfile(long, source / "2.mp4")
    process = started(source, target, identity_file, "--videos")
    while process.poll() is None and not (target / "1.mp4").exists():
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM, errors
    assert [path.name for path in target.iterdir() if not path.name.startswith(".i2i")] == ["1.mp4"]
    assert not list(target.glob(".i2i-*.video"))


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_a_killed_job_leaves_nothing_under_the_final_name(
    long: Path, tmp_path: Path, identity_file: Path, i2i_command: Command
) -> None:
    """And the next one clears away what it left. tests/runtime/jobs/test_kills.py kills at every moment."""
    process = started(long, tmp_path / "out.mp4", identity_file)
    process.send_signal(signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, errors
    assert list(tmp_path.glob(".i2i-*.video/video*"))
    assert not (tmp_path / "out.mp4").exists()
    done = i2i_command("translate", long, tmp_path / "out.mp4", "-m", identity_file, "--preset", "ultrafast")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]
    assert facts(tmp_path / "out.mp4").times == facts(long).times


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
