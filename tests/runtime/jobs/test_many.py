"""100,000 files (or ``I2I_MANY``): the start is quick, and neither memory nor work grows with what is done."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from i2i.images import Image, encode_image, write_image
from i2i.runtime import Model, translate_folder
from i2i.runtime.jobs.folder import Outcome, Summary
from tests import tiny
from tests.conftest import ROOT

COUNT = int(os.environ.get("I2I_MANY", "100000"))

ALLOCATOR = 2 << 20
"""Bytes that it may still take after a while, however many files there are."""

PROGRAM = """
import os, sys, tempfile, time
from pathlib import Path
from i2i.runtime import Model, translate_folder
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
model = Model(Path(sys.argv[3]), "cpu", side_by_side=True)
with tempfile.TemporaryDirectory() as out:  # what the first images cost: threads, modules, what the allocator keeps
    translate_folder(model, Path(sys.argv[1], "000", "first"), Path(out))
before, start, used = resident(), time.monotonic(), time.process_time()
def report(outcome, summary):
    over = summary.done + summary.skipped + summary.failed
    if over == 1 or over % (summary.total // 20) == 0:
        print(over, resident() - before, time.monotonic() - start, time.process_time() - used)
print(translate_folder(model, Path(sys.argv[1]), Path(sys.argv[2]), report=report), file=sys.stderr)
"""


def job(*arguments: Path) -> tuple[list[list[float]], str]:
    """Return (files done, bytes grown, seconds, core-seconds) after the first and each twentieth file; the summary."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)], env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [[float(word) for word in line.split()] for line in done.stdout.splitlines()], done.stderr


def settled() -> int:
    """Return the bytes that Python uses once as many outcomes wait as may wait."""
    held, same = tracemalloc.get_traced_memory()[0], 0
    while same < 5:
        time.sleep(0.05)
        before, held = held, tracemalloc.get_traced_memory()[0]
        same = same + 1 if held == before else 0
    return held


def test_finished_files_leave_nothing_in_memory(tmp_path: Path) -> None:
    """What Python holds while a job runs, which the allocator's habits do not blur."""
    model, count = Model(tiny.inverter(tmp_path / "invert.onnx"), "cpu", side_by_side=True), 500
    for number in range(count):
        path = tmp_path / "in" / f"{number // 100}" / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, Image(np.zeros((4, 4, 3), np.uint8)))
    for status in ("done", "skipped"):
        held: dict[int, int] = {}

        def report(_: Outcome, summary: Summary, status: str = status, held: dict[int, int] = held) -> None:
            over = getattr(summary, status)
            if over in (100, 300):
                held[over] = settled()

        tracemalloc.start()
        translate_folder(model, tmp_path / "in", tmp_path / "out", report=report)
        tracemalloc.stop()
        assert (held[300] - held[100]) / 200 < 50, status


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_memory_and_rate_are_flat(tmp_path: Path) -> None:
    model, data = tiny.inverter(tmp_path / "invert.onnx"), encode_image(Image(np.zeros((4, 4, 3), np.uint8)), "PNG")
    for number in range(COUNT):
        folder = tmp_path / "in" / f"{number // 1000:03}"
        path = (folder / "first" if number < 50 else folder) / f"{number:06}.png"
        if number % 1000 in (0, 50):
            path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    for status in ("done", "skipped"):
        samples, summary = job(tmp_path / "in", tmp_path / "out", model)
        assert f"{status}={COUNT}" in summary
        over, grown, seconds, work = np.array(samples).T
        assert min(seconds[0], work[0]) < 5  # of the work, where a busy machine lets it wait
        assert grown[-1] < 1000 * COUNT + ALLOCATOR  # the list of files and the record included
        assert grown[-1] - grown[5] < 100 * (over[-1] - over[5]) + ALLOCATOR
        quarter = len(over) // 4
        first = (work[quarter] - work[0]) / (over[quarter] - over[0])
        last = (work[-1] - work[-1 - quarter]) / (over[-1] - over[-1 - quarter])
        assert last < 1.2 * first  # of core-seconds: a busy machine does not change them much
