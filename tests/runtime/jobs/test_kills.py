"""Jobs that are killed again and again, and started again each time: nothing torn, missed or made twice.

``I2I_KILLS=100`` kills so often in folder jobs, and as often in video jobs; by default it is 20.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from i2i.images import Image, write_image
from tests import tiny
from tests.conftest import ROOT
from tests.runtime.video.clips import make

KILLS = int(os.environ.get("I2I_KILLS", "20"))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(60 + 20 * KILLS),
    pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals"),
]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("models")
    return [tiny.inverter(folder / "one.onnx"), tiny.inverter(folder / "two.onnx", weights=-0.5)]


# Ends the process, as SIGKILL would, a moment after its n-th event that opens, renames or removes a file of the output.
KILLED = """
import signal, sys
out, left, moment = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
del sys.argv[1:4]

def count(event, arguments):
    global left
    if event in ("open", "os.rename", "os.remove") and str(arguments[0]).startswith(out):
        left -= 1
        if left == 0:
            signal.setitimer(signal.ITIMER_REAL, moment)

sys.addaudithook(count)
from i2i.cli import main
main()
"""


def started(words: Sequence[object], *program: object) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *map(str, program or ("-m", "i2i")), "translate", *map(str, words)]
    heed = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731  (not so in the background of a shell)
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, preexec_fn=heed
    )


def run(*words: object) -> None:
    process = started(words)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors.decode()


def results(folder: Path) -> dict[str, tuple[int, int]]:
    """Return inode and time of every file that has its final name."""
    found = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in name.parts):
            status = path.stat()
            found[name.as_posix()] = (status.st_ino, status.st_mtime_ns)
    return found


def noise(folder: Path, count: int) -> Path:
    """Write images that take some time to translate, in three folders."""
    for number in range(count):
        path = folder / f"{number % 3}" / f"{number:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, Image(np.random.default_rng(number).integers(0, 256, (96, 96, 3), np.uint8)))
    return folder


def kill_at_random(words: Sequence[object], out: Path, chance: random.Random, files: int) -> None:
    """Start a job that is killed at its start or after it has made up to about ``files`` files."""
    events = 5 * files  # four or five for each file
    process = started(words, "-c", KILLED, out, chance.randint(1, events), chance.uniform(0.00001, 0.005))
    _, errors = process.communicate(timeout=300)
    assert process.returncode == -signal.SIGALRM, errors.decode()


KINDS = {
    "one model": ([[]], 1),
    "shards": ([["--shard", "1/2"], ["--shard", "2/2"]], 1),
    "models": ([[]], 2),
    "overwrite": ([["--overwrite"]], 1),
    "watch": ([["--watch"]], 1),
}


@pytest.mark.parametrize("kind", KINDS)
def test_folders(kind: str, models: list[Path], tmp_path: Path) -> None:
    parts, count = KINDS[kind]
    kills = -(-KILLS // len(KINDS))
    source, out = noise(tmp_path / "in", 60 + 30 * kills), tmp_path / "out"  # far more than are made in all lives
    use = [word for model in models[:count] for word in ("-m", model)]
    whole = tmp_path / "whole"
    run(source, whole, *use)
    chance, done = random.Random(kind), results(out)
    for turn in range(kills):
        kill_at_random([source, out, *use, *parts[turn % len(parts)]], out, chance, 12)
        now = results(out)
        assert {name: now.get(name) for name in done} == done, "a finished file was made again, or is gone"
        for name in now.keys() - done.keys():
            assert (out / name).read_bytes() == (whole / name).read_bytes(), f"{name} is torn"
        done = now
    assert 0 < len(done) < len(results(whole))
    for part in parts:
        if "--watch" in part:
            until_all_is_there([source, out, *use, *part], out, len(results(whole)))
        else:
            run(source, out, *use, *part)
    now = results(out)
    assert {name: now[name] for name in done} == done
    assert {name: (out / name).read_bytes() for name in now} == {
        name: (whole / name).read_bytes() for name in results(whole)
    }
    assert not list(out.rglob("*.part"))


def until_all_is_there(words: Sequence[object], out: Path, count: int) -> None:
    process = started(words)
    while process.poll() is None and len(results(out)) < count:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors.decode()


def test_folders_of_videos(models: list[Path], tmp_path: Path) -> None:
    source, out, whole = tmp_path / "in", tmp_path / "out", tmp_path / "whole"
    for number in range(10 + 3 * KILLS):
        (source / f"{number % 3}").mkdir(parents=True, exist_ok=True)
        make(source / f"{number % 3}" / f"{number:04}.mp4", times=range(0, (4 + number % 5) * 512, 512))
    use = ["--videos", "-m", models[0], "--preset", "ultrafast"]
    run(source, whole, *use)
    chance, done = random.Random(0), results(out)
    for _ in range(KILLS):
        kill_at_random([source, out, *use], out, chance, 2)
        now = results(out)
        assert {name: now.get(name) for name in done} == done, "a finished video was made again, or is gone"
        for name in now.keys() - done.keys():
            assert (out / name).read_bytes() == (whole / name).read_bytes(), f"{name} is torn"
        done = now
    assert 0 < len(done) < len(results(whole))
    run(source, out, *use)
    now = results(out)
    assert {name: now[name] for name in done} == done
    assert now.keys() == results(whole).keys()
    assert all((out / name).read_bytes() == (whole / name).read_bytes() for name in now)
    assert not list(out.rglob(".i2i-*.video"))


def wait_for_video(process: subprocess.Popen[bytes], target: Path) -> None:
    """Until the job writes frames, or has ended."""
    while process.poll() is None and not list(target.parent.glob(".i2i-*.video/video*")):
        time.sleep(0.005)


def test_videos(models: list[Path], tmp_path: Path) -> None:
    source = make(tmp_path / "in.mp4", times=range(0, 400 * 512, 512), size=(128, 96), sound=16.0)
    whole, target = tmp_path / "whole.mp4", tmp_path / "out" / "out.mp4"
    target.parent.mkdir()
    settings = ["-m", models[0], "--preset", "veryslow"]
    run(source, whole, *settings)  # whose modules are in the memory from now on
    start = time.monotonic()
    process = started([source, target, *settings])
    wait_for_video(process, target)
    opened = time.monotonic()
    _, errors = process.communicate()
    assert process.returncode == 0, errors.decode()
    takes, writes = time.monotonic() - start, time.monotonic() - opened
    chance, killed = random.Random(0), 0
    for _ in range(4 * KILLS):
        target.unlink(missing_ok=True)
        process = started([source, target, *settings])
        if chance.random() > 0.1:  # else it is killed at any time after its start
            wait_for_video(process, target)
            time.sleep(chance.uniform(0, writes))
        else:
            time.sleep(chance.uniform(0, takes))
        process.kill()
        _, errors = process.communicate()
        assert process.returncode in (0, -signal.SIGKILL), errors.decode()
        if target.exists():  # killed or not: what has the name is whole
            assert target.read_bytes() == whole.read_bytes()
        else:
            assert process.returncode != 0
            killed += 1
        if killed == KILLS:
            break
    assert killed == KILLS, "the kills came too late to show anything"
    run(source, target, *settings)
    assert target.read_bytes() == whole.read_bytes()
    assert os.listdir(target.parent) == ["out.mp4"]
