"""Notes and their receivers."""

from __future__ import annotations

import subprocess
import sys

import pytest

from i2i.runtime import log
from i2i.runtime.log import note, tell


def test_a_program_without_settings_gets_notes_on_stderr() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from i2i.runtime.log import note; note('100 % of it')"],
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("", "100 % of it\n")


def test_notes_go_to_the_last_receiver(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(log, "_show", None)
    first: list[str] = []
    second: list[str] = []
    tell(first.append)
    note("a")
    tell(second.append)
    note("b")
    assert (first, second) == (["a"], ["b"])
    assert [record.getMessage() for record in caplog.records] == ["a", "b"]  # a program's own means see it as well
