"""Signals of schedulers: a folder job finishes the images in work, and is continued by the same command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from i2i.cli.signals import interrupting
from i2i.images import Image, write_image
from i2i.runtime import Model, translate_folder
from tests import tiny
from tests.conftest import ROOT

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")


@pytest.mark.parametrize("watch", [False, True])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_the_images_in_work_are_finished(tmp_path: Path, number: signal.Signals, watch: bool) -> None:
    model, source, out, count = tiny.inverter(tmp_path / "m.onnx"), tmp_path / "in", tmp_path / "out", 300
    source.mkdir()
    for seed in range(count):
        pixels = np.random.default_rng(seed).integers(0, 256, (200, 200, 3), np.uint8)
        write_image(source / f"{seed:03}.png", Image(pixels))
    words = ["translate", str(source), str(out), "-m", str(model), *(["--watch"] if watch else [])]
    process = subprocess.Popen(
        [sys.executable, "-m", "i2i", *words], env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while process.poll() is None and len(list(out.glob("*.png"))) < 5:
        time.sleep(0.005)
    process.send_signal(number)
    _, errors = process.communicate()
    assert process.returncode == 128 + number, errors
    done = len(list(out.glob("*.png")))
    assert 5 <= done < count
    assert not list(out.glob("*.part"))
    summary = translate_folder(Model(model, "cpu", side_by_side=True), source, out)
    assert (summary.skipped, summary.done) == (done, count - done)


def test_signals_of_a_host_program_stay_with_it() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    try:
        with interrupting():
            signal.raise_signal(signal.SIGTERM)
        assert heard == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)
    with pytest.raises(SystemExit) as caught, interrupting():
        signal.raise_signal(signal.SIGUSR1)
    assert caught.value.code == 128 + signal.SIGUSR1
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
    with pytest.raises(KeyboardInterrupt), interrupting():
        raise KeyboardInterrupt
