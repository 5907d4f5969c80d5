"""What every test may ask for."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def reference() -> Callable[[str], Path]:
    """Finds reference data by its path under ``$I2I_TEST_DATA`` (``data/...``, ``oracles/...``), or skips the test."""
    root = os.environ.get("I2I_TEST_DATA")

    def find(relative: str) -> Path:
        if not root:
            pytest.skip("I2I_TEST_DATA is not set to the folder of reference data")
        path = Path(root) / relative
        if not path.exists():
            pytest.skip(f"no {relative} in I2I_TEST_DATA={root}")
        return path

    return find
