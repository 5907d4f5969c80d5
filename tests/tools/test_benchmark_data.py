"""The benchmark of data, with as few images as it needs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).resolve().parents[2] / "tools" / "benchmark.py"


@pytest.mark.slow
def test_a_cached_photo_costs_a_tenth_of_a_decoded_one() -> None:
    few = ("--files", "3", "--photos", "1", "--epochs", "3", "--index", "20")
    done = subprocess.run(
        [sys.executable, TOOL, "data", *few], capture_output=True, text=True, check=True, timeout=600,
        env=os.environ | {"PYTHONPATH": str(TOOL.parents[1])},
    )  # fmt: skip
    rows = {line[:34].strip(): line[34:].split() for line in done.stdout.splitlines()[2:]}
    assert list(rows) == [
        "256-pixel files", "256-pixel files, all augmented", "photos, --cache off", "photos of odd sides, --cache off",
        "photos as A | B, --cache off", "photos, cold cache", "photos, warm cache", "20 files", "first start",
        "second start", "a run of one step", "its resume, of another step",
    ]  # fmt: skip
    assert float(rows["photos, warm cache"][0]) < float(rows["photos, --cache off"][0]) / 10
