"""The progress bar: on a terminal a bar, elsewhere a line now and then."""

from __future__ import annotations

import errno
import io
import math
import sys

import pytest

from i2i.progress import Progress, say


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def use_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("COLUMNS", "100")
    return stream


def test_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("image", every=-1) as progress:
        progress.update(1, 3)
        progress.update(2, 3, detail="2 models")
        progress.update(3)
    with Progress("file", "reading", every=-1) as progress:
        progress.update(1, 1)
    lines = ["1 of 3 images", "2 of 3 images  2 models", "3 of ? images  2 models", "reading: 1 of 1 file"]
    assert capsys.readouterr().err.splitlines() == lines


def test_lines_come_at_most_so_often(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("image") as minute, Progress("step", every=math.inf) as never:
        for number in range(100):
            minute.update(number, 100)
            never.update(number, 100)
    assert capsys.readouterr().err == ""


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = use_terminal(monkeypatch)
    with Progress("frame", start=10) as progress:
        assert terminal.getvalue() == ""  # nothing before the first update
        progress.update(12, 20, detail="on [bold]cpu")
        progress.say("note: [red]a.png")
        (task,) = progress.bar.tasks
        assert (task.completed, task.total) == (12, 20)
        assert task.fields["facts"].endswith("frames/s  on [bold]cpu")
    shown = terminal.getvalue()
    assert "12/20" in shown
    assert "note: [red]a.png\n" in shown  # a name is no markup
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")  # the cursor is back


def test_the_rate_counts_only_work(monkeypatch: pytest.MonkeyPatch) -> None:
    use_terminal(monkeypatch)
    now = 100.0
    monkeypatch.setattr("i2i.progress.time.monotonic", lambda: now)
    with Progress("image") as progress:
        now = 104.0
        progress.update(90, 100, worked=8)
        assert progress.bar.tasks[0].fields["facts"].startswith("2.0 images/s")
        now = 120.0
        progress.update(90, 100, worked=2)
        assert progress.bar.tasks[0].fields["facts"].startswith("10.0 s/image")


def test_beside_another_bar_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = use_terminal(monkeypatch)
    with Progress("tile", "image", every=-1, bar=False) as progress:
        progress.update(1, 4)
        assert progress.bar is None
    assert terminal.getvalue() == "image: 1 of 4 tiles\n"


def test_quiet_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = use_terminal(monkeypatch)
    with Progress("image", every=-1, quiet=True) as progress:
        progress.update(1, 2)
        progress.say("a line")
    say("another", quiet=True)
    assert terminal.getvalue() == ""


class Full(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("stream", [None, Full()], ids=["closed", "full"])
def test_a_stream_that_takes_nothing_ends_no_job(monkeypatch: pytest.MonkeyPatch, stream: Full | None) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    with Progress("image", every=-1) as progress:
        progress.update(1, 2)
        progress.say("a line")
