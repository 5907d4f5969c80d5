"""A hundred thousand files: the start is quick, and neither memory nor time grows with what is done."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from i2i.images import Image, encode_image
from tests import tiny
from tests.conftest import ROOT

COUNT = 100_000

PROGRAM = """
import os, sys, time
from pathlib import Path
from i2i.runtime import Model, translate_folder
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
model = Model(Path(sys.argv[3]), "cpu", side_by_side=True)
before, start = resident(), time.monotonic()
def report(outcome, summary):
    over = summary.done + summary.skipped + summary.failed
    if over == 1 or over % (summary.total // 20) == 0:
        print(over, resident() - before, time.monotonic() - start)
print(translate_folder(model, Path(sys.argv[1]), Path(sys.argv[2]), report=report), file=sys.stderr)
"""


def job(*arguments: Path) -> tuple[list[list[float]], str]:
    """(files over, bytes grown, seconds) after the first file and each twentieth of them, and the last word."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)], env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [[float(word) for word in line.split()] for line in done.stdout.splitlines()], done.stderr


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_memory_and_rate_are_flat(tmp_path: Path) -> None:
    model, data = tiny.inverter(tmp_path / "invert.onnx"), encode_image(Image(np.zeros((4, 4, 3), np.uint8)), "PNG")
    for number in range(COUNT):
        path = tmp_path / "in" / f"{number // 1000:03}" / f"{number:06}.png"
        if number % 1000 == 0:
            path.parent.mkdir(parents=True)
        path.write_bytes(data)
    for status in ("done", "skipped"):
        told, last = job(tmp_path / "in", tmp_path / "out", model)
        assert f"{status}={COUNT}" in last
        over, grown, seconds = np.array(told).T
        assert seconds[0] < 5
        assert grown[-1] < 1000 * COUNT  # all in all, what the list of files and the record take included
        assert (grown[-1] - grown[5]) / (over[-1] - over[5]) < 100
        quarter = len(over) // 4
        first = (over[quarter] - over[0]) / (seconds[quarter] - seconds[0])
        later = (over[-1] - over[-1 - quarter]) / (seconds[-1] - seconds[-1 - quarter])
        assert later > 0.8 * first
