"""The index of images: a file is decoded when it is new or has changed, by one process, and else never."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from i2i.data import facts, read_folders
from i2i.data.facts import inspect_files
from i2i.data.file_index import FileIndex
from i2i.images import ImageError
from tests.conftest import ROOT


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("I2I_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "index"


@pytest.fixture
def decoded(cache, monkeypatch):
    """The names of the files that are decoded from now on."""
    names = []
    real = facts.decode_image
    monkeypatch.setattr(facts, "decode_image", lambda data, path: (names.append(path.name), real(data, path))[1])
    return names


@pytest.fixture
def paths(draw, tmp_path):
    draw("b/4.png", 90, mode="RGBA")
    draw("b/5.png", 90, mode="L", bits=16)
    return [draw(f"a/{number}.png", 40 * number) for number in range(4)] + [tmp_path / "b/4.png", tmp_path / "b/5.png"]


def test_files_that_have_not_changed_are_not_decoded_again(paths, decoded):
    first, failed = inspect_files(paths)
    assert (len(decoded), failed) == (6, {})
    assert inspect_files(paths) == (first, {})
    assert inspect_files(paths[3:0:-1])[0] == {path: first[path] for path in paths[3:0:-1]}
    assert len(decoded) == 6


def test_a_second_start_finds_what_the_first_found(two_folders, decoded):
    def read():
        dataset = read_folders("unpaired", a=two_folders / "horses", b=two_folders / "zebras")
        return str(dataset.report), dataset.fingerprint, dict(dataset.contents)

    assert read() == read()
    assert len(decoded) == 8


def test_only_new_and_changed_files_are_decoded(paths, decoded, draw):
    before = inspect_files(paths)[0]
    decoded.clear()
    draw("a/1.png", 200, size=(9, 9))  # another size
    status = paths[2].stat()
    os.utime(paths[2], ns=(status.st_atime_ns, status.st_mtime_ns + 1))  # another time
    paths.append(draw("a/6.png", 20))
    paths.remove(paths[0])
    found = inspect_files(paths)[0]
    assert sorted(decoded) == ["1.png", "2.png", "6.png"]
    assert found[paths[0]].size == (9, 9)
    assert found[paths[1]] == before[paths[1]]
    decoded.clear()
    assert inspect_files(paths)[0] == found
    assert not decoded


def test_files_that_are_gone_are_forgotten(paths, cache, draw):
    inspect_files(paths)
    lines = sum(len(file.read_text().splitlines()) for file in cache.glob("*.jsonl"))
    for path in paths[:3]:
        path.unlink()
    inspect_files([*paths[3:], draw("a/9.png")])
    assert sum(len(file.read_text().splitlines()) for file in cache.glob("*.jsonl")) == lines - 2


def test_a_name_may_have_any_bytes(draw, decoded):
    path = Path(os.fsdecode(os.fsencode(draw("a/x.png")).replace(b"x", b"\xff\n \xe2\x80\xa8")))
    path.parent.joinpath("x.png").rename(path)
    assert inspect_files([path])[0] == inspect_files([path])[0] != {}
    assert len(decoded) == 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: data[:-20] + bytes([data[-20] ^ 1]) + data[-19:],
        lambda data: b"\x80\0" * 100,
        lambda data: b"[]\n" + data,
        lambda data: data.replace(b'"facts 3, ', b'"facts 1, '),
        lambda data: data.replace(b"OpenCV ", b"OpenCV 1"),
    ],
    ids=["empty", "cut", "one bit", "bytes", "another head", "another version", "another decoder"],
)
def test_a_damaged_or_foreign_index_is_made_again(paths, cache, decoded, damage):
    first = inspect_files(paths)
    for file in cache.glob("*.jsonl"):
        whole = file.read_bytes()
        file.write_bytes(damage(whole))
        assert file.read_bytes() != whole
    assert inspect_files(paths) == first
    assert len(decoded) == 12
    assert inspect_files(paths) == first
    assert len(decoded) == 12


def test_a_bad_file_is_reported_at_each_start(paths, cache):
    paths[1].write_bytes(paths[1].read_bytes()[:-30])
    for _ in range(2):
        found, failed = inspect_files(paths)
        assert (len(found), list(failed)) == (5, [paths[1]])
        assert isinstance(failed[paths[1]], ImageError)
    paths[1].unlink()
    assert "No such file" in str(inspect_files(paths)[1][paths[1]])


def test_without_a_folder_for_the_index_each_start_decodes(paths, decoded, cache, capsys):
    cache.parent.write_text("a file")
    assert inspect_files(paths) == inspect_files(paths)
    assert len(decoded) == 12
    said = capsys.readouterr().err
    assert said.count("note: each start will decode all images, since their index cannot be written") == 2
    assert "I2I_CACHE" in said


INSPECT = """
import sys, time
from pathlib import Path
from i2i.data import facts
real = facts.decode_image
def slowly(data, path):
    with open(sys.argv[1], "a") as log:
        log.write(f"{path.name}\\n")
    time.sleep(0.15)
    return real(data, path)
facts.decode_image, facts.WRITE_EVERY = slowly, float(sys.argv[2])
facts.cores = lambda: 1  # a kill after the first file is one before the last
found, failed = facts.inspect_files([Path(name) for name in sys.argv[3:]])
assert not failed
print(len(found))
"""


def inspecting(log, every, paths):
    return subprocess.Popen(
        [sys.executable, "-c", INSPECT, log, str(every), *paths], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )


def test_processes_that_start_together_decode_each_file_once(paths, cache, tmp_path):
    """As the ranks of a run do, or two runs on the same images."""
    log = tmp_path / "log"
    processes = [inspecting(log, 60, paths) for _ in range(3)]
    assert [process.communicate(timeout=300)[0] for process in processes] == ["6\n"] * 3
    assert sorted(log.read_text().split()) == [path.name for path in paths]
    assert not list(cache.glob("*.lock"))


def test_a_killed_start_loses_only_what_it_had_not_written(paths, cache, tmp_path):
    log = tmp_path / "log"
    process = inspecting(log, 0, paths)
    while not list(cache.glob("*.jsonl")):
        time.sleep(0.01)
        assert process.poll() is None
    process.kill()
    process.communicate()
    before = len(log.read_text().split())
    assert before < 6
    process = inspecting(log, 0, paths)
    assert process.communicate(timeout=300)[0] == "6\n"
    assert len(log.read_text().split()) < before + 6


def test_garbage_is_searched_for_while_images_are_decoded_alone(two_folders, cache, monkeypatch):
    """Their headers leave some; the index leaves none, and the search would take a third of the time."""
    known, inspect, seen = FileIndex.known, facts._inspect, []
    monkeypatch.setattr(FileIndex, "known", lambda *given: (seen.append(("known", gc.isenabled())), known(*given))[1])
    monkeypatch.setattr(facts, "_inspect", lambda path: (seen.append(("decoded", gc.isenabled())), inspect(path))[1])
    paths = sorted((two_folders / "horses").iterdir())
    assert len(inspect_files(paths)[0]) == 5
    assert set(seen) == {("known", False), ("known", True), ("decoded", True)}  # known a second time, in its turn
    seen.clear()
    assert len(inspect_files(paths)[0]) == 5
    assert seen == [("known", False)]
    assert gc.isenabled()
    gc.disable()
    inspect_files(paths)
    assert not gc.isenabled()
    gc.enable()
