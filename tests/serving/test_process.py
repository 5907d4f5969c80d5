"""The command: its messages, signals under load, and a kill."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Self

import pytest

from i2i.serving import server
from i2i.serving.settings import Settings
from i2i.serving.work.service import Service
from tests import tiny
from tests.conftest import ROOT
from tests.serving.conftest import ask, encoded, picture, wait_for

DATA = encoded(picture(64, 64))


class Command:
    """``i2i serve`` in a process of its own, which does not outlive the block."""

    def __init__(self, *arguments: object, **environment: str) -> None:
        words = [sys.executable, "-m", "i2i", "serve", *map(str, arguments), "--port", "0", "--provider", "cpu"]
        settings = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
        self.process = subprocess.Popen(words, env=settings, stderr=subprocess.PIPE, text=True, cwd="/")
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        try:
            wait_for(lambda: self.process.poll() is not None or any(line.startswith("ready") for line in self.lines))
        except BaseException:
            self.end(signal.SIGKILL)
            raise
        found = re.search(r"http://127.0.0.1:(\d+)", "\n".join(self.lines))
        self.port = int(found[1]) if found else 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.end(signal.SIGKILL)

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.lines.extend(line.rstrip("\n") for line in self.process.stderr)

    def end(self, number: int | None = None) -> int:
        """Send a signal, and return the exit status."""
        if number is not None:
            self.process.send_signal(number)
        try:
            return self.process.wait(30)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self._reader.join()
            assert self.process.stderr is not None
            self.process.stderr.close()


class Load:
    """Clients that send images until they are stopped; ``failed`` counts those that got no whole answer.

    The end of the block stops them too: those of a failed test would take the cores from all tests after it.
    """

    def __init__(self, port: int, clients: int = 4) -> None:
        self.statuses: Counter[int] = Counter()
        self.failed: list[str] = []
        self.over = False
        self._port = port
        self._threads = [threading.Thread(target=self._send) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _send(self) -> None:
        while not self.over:
            try:
                answer = ask(self._port, "POST", "/v1/translate/tiny", DATA)
            except (OSError, http.client.HTTPException) as error:  # the latter for an answer that is cut
                self.failed.append(type(error).__name__)
                return
            self.statuses[answer.status] += 1

    def stop(self) -> None:
        self.over = True
        for thread in self._threads:
            thread.join()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny.inverter(tmp_path / "tiny.onnx")


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """The folder where a service would leave files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


def test_sigterm_under_load_finishes_what_was_accepted(model: Path, temporary: Path) -> None:
    with Command(model, TMPDIR=str(temporary)) as command, Load(command.port) as load:
        wait_for(lambda: load.statuses[200] > 20)
        status = command.end(signal.SIGTERM)
    assert status == 0
    assert set(load.statuses) <= {200, 503}
    # New connections after the end; reset those that the system had taken and the service had not.
    assert set(load.failed) <= {"ConnectionRefusedError", "ConnectionResetError"}
    logged = [json.loads(line) for line in command.lines if line.startswith("{")]
    assert Counter(line["status"] for line in logged if line["path"].startswith("/v1")) == load.statuses
    assert "stopping: finishing what was accepted" in command.lines
    assert list(temporary.iterdir()) == []


def test_a_kill_under_load_leaves_no_file_and_a_free_address(model: Path, temporary: Path) -> None:
    with Command(model, TMPDIR=str(temporary)) as command, Load(command.port) as load:
        wait_for(lambda: load.statuses[200] > 20)
        assert command.end(signal.SIGKILL) == -signal.SIGKILL
    assert set(load.statuses) == {200}
    assert list(temporary.iterdir()) == []
    assert sorted(path.name for path in model.parent.iterdir()) == ["temporary", "tiny.onnx"]


def test_sighup_loads_a_changed_model(model: Path) -> None:
    with Command(model) as command:
        before = ask(command.port, "GET", "/v2/models/tiny").json["versions"]
        os.replace(tiny.inverter(model.with_suffix(".new"), weights=-2), model)
        command.process.send_signal(signal.SIGHUP)
        wait_for(lambda: ask(command.port, "GET", "/v2/models/tiny").json["versions"] != before)
        wait_for(lambda: any("note: model tiny: loaded" in line for line in command.lines))
        assert command.end(signal.SIGINT) == 0


def test_a_sighup_during_loading_is_heeded_after_it(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service, called = Service([str(model)], Settings(provider="cpu")), list[str]()
    load = service.store.load
    monkeypatch.setattr(service.store, "load", lambda: (load(), called.append("load")))
    monkeypatch.setattr(service.store, "refresh", lambda settled: called.append("refresh"))

    async def start() -> None:
        with server._signals(service, None, called.append):  # type: ignore[arg-type]
            assert signal.getsignal(signal.SIGHUP) != signal.SIG_DFL  # which would end the test process
            signal.raise_signal(signal.SIGHUP)  # in this thread, at once
            await asyncio.sleep(0.1)
            await service.start()
            for _ in range(50):
                await asyncio.sleep(0.02 * (len(called) < 2))
        await asyncio.to_thread(service.close)

    asyncio.run(start())
    assert called == ["load", "refresh"]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["none.onnx"], 2, "error: none.onnx: no such model file"),
        (["{model}", "--token-file", "{model}.none"], 2, "No such file or directory"),
        (["{model}", "--host", "203.0.113.1"], 1, "error: 203.0.113.1:0: Cannot assign requested address"),
        (["{model}", "--max-body", "much"], 2, "expected a size such as 500MB or 4GB"),
    ],
)
def test_what_stops_the_start(model: Path, arguments: list[str], status: int, message: str, i2i_inside) -> None:
    words = [each.format(model=model) for each in arguments]
    done = i2i_inside("serve", *words, "--port", "0")
    assert (done.returncode, message in done.stderr) == (status, True), done.stderr


def test_what_is_not_installed_is_named_with_its_extra(model: Path, i2i_inside, monkeypatch) -> None:
    for name in [name for name in sys.modules if name.startswith("i2i.serving.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    done = i2i_inside("serve", model)
    assert (done.returncode, 'pip install "i2i[serve]"' in done.stderr) == (2, True), done.stderr


@pytest.mark.slow
def test_minutes_of_mixed_load_leave_the_memory_flat(model: Path) -> None:
    """The half hour of ``tools/benchmark.py soak``, shorter; it measures when nothing is in work."""
    tool = ROOT / "tools" / "benchmark.py"
    options = ["--model", f"first={model}", "--model", f"second={model}", "--minutes", "3", "--warm-up", "60"]
    done = subprocess.run([sys.executable, str(tool), "soak", *options], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
