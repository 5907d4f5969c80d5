"""The benchmark of many files, of as many as it needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TOOL = Path(__file__).resolve().parents[2] / "tools" / "benchmark.py"


def test_tiny_tiles_are_refused() -> None:
    done = subprocess.run(
        [sys.executable, TOOL, "many", "--files", "99"], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "99 is not in the range x>=1000" in done.stderr
