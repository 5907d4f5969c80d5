"""Standard streams that are closed, full or None: the job is done, and its exit status is right."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from i2i import cli
from i2i.cli import streams
from i2i.images import Image, read_image, write_image
from tests import tiny
from tests.conftest import ROOT
from tests.runtime.video.clips import make

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a shell and /dev/full")

NO_TEXT = ("<&-", ">&-", "2>&-", "2>/dev/full", ">/dev/full", "<&- >&- 2>&-", ">/dev/full 2>/dev/full", "| true")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the model n.onnx and the folders a and b of three images."""
    folder = tmp_path_factory.mktemp("streams")
    tiny.inverter(folder / "n.onnx")
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (16, 16, 3), np.uint8)
        for domain in ("a", "b"):
            (folder / domain).mkdir(exist_ok=True)
            write_image(folder / domain / f"{number}.png", Image(255 - pixels if domain == "b" else pixels))
    return folder


def shell(place: Path, words: str, redirect: str) -> subprocess.CompletedProcess[str]:
    """Run ``i2i WORDS REDIRECT`` in bash; the status is that of i2i, even in a pipe."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error::ResourceWarning"}
    line = f"set -o pipefail; {sys.executable} -m i2i {words} {redirect}"
    return subprocess.run(
        ["bash", "-c", line], cwd=place, env=env, capture_output=True, text=True, timeout=120, check=False
    )


def inverted(place: Path, result: Path, name: str = "0") -> bool:
    return bool((read_image(result).pixels == read_image(place / "b" / f"{name}.png").pixels).all())


@pytest.mark.parametrize("redirect", NO_TEXT)
def test_a_folder_is_translated_without_streams(place: Path, tmp_path: Path, redirect: str) -> None:
    done = shell(place, f"translate a {tmp_path}/o -m n.onnx --provider cpu", redirect)
    assert (done.returncode, "Traceback" in done.stderr, "Exception ignored" in done.stderr) == (0, False, False)
    assert all(inverted(place, tmp_path / "o" / f"{name}.png", name) for name in "012")
    full = ">/dev/full" in redirect.split()
    assert ("warning: standard output: No space left on device" in done.stderr) == (full and "2>" not in redirect)


@pytest.mark.parametrize("redirect", ["<&- >&- 2>&-", ">/dev/full 2>/dev/full"])
def test_a_failed_image_is_status_1_without_streams(place: Path, tmp_path: Path, redirect: str) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    assert shell(place, f"translate {tmp_path} {tmp_path}/o -m n.onnx --provider cpu", redirect).returncode == 1
    assert shell(place, "translate nowhere -m n.onnx", redirect).returncode == 2


@pytest.mark.parametrize(
    ("words", "redirect"),
    [
        ("--help", "<&- >&- 2>&-"),
        ("--help", "2>/dev/full"),
        ("--help", ">/dev/full"),
        ("models", ">/dev/full"),
        ("describe n.onnx", ">/dev/full"),
        ("doctor --provider cpu", "<&- >&- 2>&-"),
    ],
)
def test_commands_that_only_print(place: Path, words: str, redirect: str) -> None:
    done = shell(place, words, redirect)
    assert done.returncode == 0
    lost = "warning: standard output: No space left on device; the text written to it is lost\n"
    assert done.stderr.endswith(lost) == (redirect == ">/dev/full")


def without_streams(words: str, monkeypatch: pytest.MonkeyPatch) -> object:
    """Run ``i2i WORDS`` as a frozen program without a console does it; return the exit status.

    In this process, since PyTorch takes long to import.
    """
    pytest.importorskip("torch")
    with monkeypatch.context() as patch:
        patch.setattr(cli, "_own_process", False)  # ``main`` sets it
        for name in ("stdin", "stdout", "stderr"):
            patch.setattr(sys, name, None)
        with pytest.raises(SystemExit) as end:
            cli.main(words.split())
    return end.value.code


def test_training_without_streams(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train = f"train cyclegan --a {place}/a --b {place}/b --steps 1 --size 16 --out {tmp_path}/run --set ngf=2"
    small = "--set ndf=2 --set generator=resnet_1 --set discriminator=patch_1"
    assert without_streams(f"{train} {small}", monkeypatch) == 0
    assert len(list((tmp_path / "run" / "weights").glob("*.safetensors"))) == 2


def test_a_check_without_streams(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert without_streams(f"check --a {place}/a --b {place}/b", monkeypatch) == 0


@pytest.mark.parametrize("redirect", ["2>&-", "2>/dev/full"])
def test_a_result_on_standard_output_needs_no_other_stream(place: Path, tmp_path: Path, redirect: str) -> None:
    done = shell(place, "translate a/0.png - -m n.onnx --provider cpu", f">{tmp_path}/x.png {redirect}")
    assert done.returncode == 0
    assert inverted(place, tmp_path / "x.png")


@pytest.mark.parametrize(
    ("redirect", "reason"),
    [(">&-", "not open"), (">/dev/full", "No space left on device"), ("| true", "Broken pipe")],
)
@pytest.mark.parametrize("source", ["a/0.png", "clip.mkv"])
def test_a_result_that_cannot_be_written_is_one_sentence(place: Path, source: str, redirect: str, reason: str) -> None:
    if not (place / "clip.mkv").exists():
        make(place / "clip.mkv")
    done = shell(place, f"translate {source} - -m n.onnx --provider cpu", redirect)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"error: standard output: {reason}"
    assert "Traceback" not in done.stderr


def test_standard_input_that_is_not_open(place: Path, tmp_path: Path) -> None:
    done = shell(place, f"translate - {tmp_path}/x.png -m n.onnx --provider cpu", "<&-")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, "error: standard input: not open")


FROZEN = """
import os, sys
sys.stdin = sys.stdout = sys.stderr = None
for number in range(3):
    os.close(number)
from i2i.cli import main
try:
    main(sys.argv[1:])
finally:
    names = [os.readlink(f"/proc/self/fd/{number}") for number in range(3)]
    open("names", "w").write(" ".join(names))
"""


def test_a_frozen_program_has_no_streams(place: Path, tmp_path: Path) -> None:
    """Files must not take the numbers of standard streams either, since C libraries print on them."""
    words = ["translate", str(place / "a"), "o", "-m", str(place / "n.onnx"), "--provider", "cpu"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", FROZEN, *words], cwd=tmp_path, env=env, timeout=60, check=False)
    assert done.returncode == 0
    assert inverted(place, tmp_path / "o" / "0.png")
    assert (tmp_path / "names").read_text() == "/dev/null /dev/null /dev/null"


def test_the_streams_of_an_embedding_program_are_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    before = sys.stdin, sys.stdout, sys.stderr
    with streams.protected():
        assert isinstance(sys.stdout.buffer, streams.Lossy)
    assert (sys.stdin, sys.stdout, sys.stderr) == before


def test_a_pipe_that_takes_few_bytes_gets_all() -> None:
    class Narrow:
        taken = b""

        def write(self, data: memoryview) -> int:
            self.taken += bytes(data[:3])
            return min(3, len(data))

        def flush(self) -> None: ...

    narrow = Narrow()
    streams.write_all(narrow, b"0123456789")  # type: ignore[arg-type]
    assert narrow.taken == b"0123456789"
