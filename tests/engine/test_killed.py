"""A training that is killed at any moment, and started again, ends as the unbroken one: to the bit."""

import json
import os
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from i2i.engine import train
from tests.engine.comparison import same
from tests.engine.conftest import IMAGES, TINY

KILLED = Path(__file__).with_name("killed.py")
ROOT = Path(__file__).parents[2]
STEPS = 15
KILLS = 12
EVALUATED = {"eval_every": 2, "metric": "edges", "val_share": 0.4}
"""Evaluations of CycleGAN whose best weights must survive as well."""


def options_of(method, folders, steps):
    return {
        "method": method,
        **TINY[method],
        **folders[method],
        "steps": steps,
        "save_every": 3,
        "sample_every": 50,
        "workers": 1,
    }


def kill(runs, kills, timeout=280):
    """Train each of the runs, killed up to ``kills`` times; return the number of kills of each."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(KILLED), json.dumps(runs), str(kills), "1"],
        capture_output=True, text=True, env=environment, timeout=timeout,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["killed"]


def end_alike(options, path, kills):
    unbroken = train(**options, out=path / "unbroken", quiet=True)
    (killed,) = kill([options | {"out": str(path / "broken")}], kills)
    assert same(unbroken, path / "broken")
    assert not list((path / "broken").rglob("*.part"))
    return killed


@pytest.mark.parametrize("method", [m if m == "cyclegan" else pytest.param(m, marks=pytest.mark.slow) for m in TINY])
def test_killed_once(method, folders, tmp_path, one_thread):
    """The content of each method's state is tested in test_resume.py; this tests how it is written."""
    options = options_of(method, folders, STEPS) | (EVALUATED if method == "cyclegan" else {})
    assert end_alike(options, tmp_path, kills=1) == 1


@pytest.mark.slow
def test_killed_a_few_times(folders, tmp_path, one_thread):
    assert end_alike(options_of("cyclegan", folders, 60), tmp_path, kills=4) >= 3


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("method", TINY)
def test_killed_many_times(method, large_folders, tmp_path, monkeypatch, one_thread):
    """Twelve kills of each method, with threads that read images and a cache that they fill.

    The unbroken run has no cache, so that a wrong pixel out of the other's shows.
    """
    options = options_of(method, large_folders, 300) | {"workers": 2}
    cache = tmp_path / "cache"
    monkeypatch.setenv("I2I_CACHE", str(cache))
    unbroken = train(**options, cache="off", out=tmp_path / "unbroken", quiet=True)
    assert not (cache / "resized").exists()
    assert kill([options | {"out": str(tmp_path / "broken")}], KILLS, timeout=1500) == [KILLS]
    assert same(unbroken, tmp_path / "broken")
    assert not list(tmp_path.rglob("*.part"))
    cached = [file.read_bytes() for file in (cache / "resized").glob("*/*") if file.name != "in-use"]
    assert len(cached) >= IMAGES
    assert all(zlib.crc32(data[4:]) == int.from_bytes(data[:4], "little") for data in cached)


@pytest.mark.slow
def test_killed_twenty_times(folders, tmp_path, one_thread):
    assert end_alike(options_of("cyclegan", folders, 600), tmp_path, kills=20) == 20


@pytest.mark.slow
def test_evaluated_and_killed_twenty_times(folders, tmp_path, one_thread):
    options = options_of("cyclegan", folders, 400) | EVALUATED | {"eval_every": 10, "save_every": 7}
    assert end_alike(options, tmp_path, kills=20) == 20
