"""Files that are written completely or not at all, while other processes write into the same folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from i2i.atomic import atomically, check_kind, clear_temporaries
from tests.conftest import ROOT

WRITER = """
import sys, time
from pathlib import Path
from i2i.atomic import atomically
def write(path):
    path.write_bytes(b"half")
    print("half", flush=True)
    sys.stdin.readline()
    path.write_bytes(b"whole")
atomically(Path(sys.argv[1]), write)
"""


def writer(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "half\n"
    return process


@pytest.mark.skipif(sys.platform == "win32", reason="a folder cannot be opened there")
@pytest.mark.parametrize("durable", [True, False])
def test_a_durable_file_is_on_the_disk_before_it_is_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durable: bool
) -> None:
    """And its folder afterwards."""
    calls: list[object] = []
    real = os.replace

    def sync(number: int) -> None:
        calls.append(os.fstat(number).st_ino)

    def replace(source: Path, target: Path) -> None:
        calls.append("renamed")
        real(source, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", replace)
    atomically(tmp_path / "a.bin", lambda path: path.write_bytes(b"whole"), durable)
    file, folder = (path.stat().st_ino for path in (tmp_path / "a.bin", tmp_path))
    assert calls == ([file, "renamed", folder] if durable else ["renamed"])


@pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be removed there")
def test_files_that_another_process_is_writing_are_not_deleted(tmp_path: Path) -> None:
    process = writer(tmp_path / "a.bin")
    clear_temporaries(tmp_path)
    assert len(list(tmp_path.glob("*.part"))) == 1
    process.communicate("go on\n", timeout=60)
    assert process.returncode == 0
    assert (tmp_path / "a.bin").read_bytes() == b"whole"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_leftovers_of_a_killed_process_are_deleted(tmp_path: Path) -> None:
    process = writer(tmp_path / "a.bin")
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert len(list(tmp_path.glob("*.part"))) == 1
    clear_temporaries(tmp_path)
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be removed there")
def test_leftovers_of_one_file_can_be_deleted_alone(tmp_path: Path) -> None:
    killed, other, alive = (writer(tmp_path / name) for name in ("a.bin", "b.bin", "a.bin"))
    for process in (killed, other):
        process.kill()
        process.communicate(timeout=60)
    clear_temporaries(tmp_path, "a.bin")
    assert len(os.listdir(tmp_path)) == 2
    alive.communicate("go on\n", timeout=60)
    assert (tmp_path / "a.bin").read_bytes() == b"whole"
    clear_temporaries(tmp_path, "b.bin")
    assert os.listdir(tmp_path) == ["a.bin"]


def test_no_handle_is_left_open(tmp_path: Path) -> None:
    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        atomically(tmp_path / "a", lambda path: path.write_bytes(b"x"))
        with pytest.raises(RuntimeError):
            atomically(tmp_path / "a", fail)
    assert len(os.listdir("/proc/self/fd")) == before
    assert os.listdir(tmp_path) == ["a"]


def fail(path: Path) -> None:
    raise RuntimeError


def test_a_file_of_another_kind_is_not_replaced(tmp_path):
    for name in ("photo.png", "figures.json"):
        (tmp_path / name).write_text("precious")
    with pytest.raises(ValueError, match=r"photo\.png exists, and is no \.json file to replace"):
        check_kind(tmp_path / "photo.png", ".json")
    check_kind(tmp_path / "figures.json", ".json")
    check_kind(tmp_path / "new", ".json")
