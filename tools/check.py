#!/usr/bin/env python3
"""Run every check that a change must pass: lint, format, types, documentation and the fast tests.

    python tools/check.py                  all five; exit status 1 if any failed, and which
    python tools/check.py tests/runtime    the same with some of the tests

The other tests run with ``python -m pytest -m slow`` (minutes) and ``-m gpu`` (a CUDA device).
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from i2i.runtime.system.host import cores

ROOT = Path(__file__).resolve().parent.parent
WORKERS = min(cores(), 8)
"""Test processes, each with one thread; few, since each of them imports PyTorch."""
CHECKS = {
    "lint": ["ruff", "check", "."],
    "format": ["ruff", "format", "--check", "."],
    "types": ["mypy"],
    # Fails on warnings: broken links, malformed docstrings. -E: unchanged pages are checked again too.
    "docs": ["sphinx", "-W", "--keep-going", "-q", "-E", "-c", "docs", ".", "build/docs"],
    # A module's tests stay together, since they share what was trained or exported for them; long ones come first.
    "tests": [
        *("pytest", "-q", "-m", "not slow and not gpu"),
        *("-n", str(WORKERS), "--dist", "loadscope", "--no-loadscope-reorder"),
        "--max-worker-restart=0",  # one that dies ends the run; its modules given to another, the run may never end
        # What hangs in a library, where the exception of a test's timeout does not reach it, ends its worker.
        *("-o", "faulthandler_timeout=930", "-o", "faulthandler_exit_on_timeout=true"),
    ],
}


def main(arguments: list[str]) -> int:
    failed, lines = [], []
    environment = {"OMP_NUM_THREADS": "1", **os.environ}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # or each of the tests' hundreds of processes compiles the package
    for name, command in CHECKS.items():
        command = [sys.executable, "-m", *command, *(arguments if name == "tests" else [])]
        print(f"== {name}: {' '.join(command[2:])}", flush=True)
        start = time.monotonic()
        status = subprocess.run(command, cwd=ROOT, env=environment).returncode
        lines.append(f"{name:8} {'ok' if status == 0 else 'FAILED'}  {time.monotonic() - start:.0f} s")
        if status:
            failed.append(name)
    print("\n" + "\n".join(lines))
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
