"""A folder that several processes share, each with its own card; here each of them runs on the processor."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from multiprocessing.util import Finalize
from pathlib import Path

import numpy as np
import pytest

from i2i.images import Image, write_image
from i2i.runtime import Model, Options, ProviderError
from i2i.runtime.jobs import gpus
from i2i.runtime.jobs.folder import Outcome, Summary, translate_folder
from i2i.runtime.jobs.journal import Journal
from i2i.runtime.jobs.places import LocalResults, State
from i2i.runtime.jobs.sharding import Shard
from i2i.runtime.system import host
from i2i.runtime.video.folder import translate_videos
from tests import tiny
from tests.conftest import ROOT, Command
from tests.runtime.video.clips import make


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model(tiny.inverter(tmp_path_factory.mktemp("models") / "inverter.onnx"), "cpu", 1)


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "chosen", lambda wanted, _: [] if wanted is None else ["4", "7"])


def pictures(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        write_image(folder / f"{number}.png", Image(np.full((8, 9, 3), number % 256, np.uint8)))
    return folder


@pytest.mark.usefixtures("two")
def test_images_are_shared_out(model: Model, tmp_path: Path) -> None:
    source, out = pictures(tmp_path / "in", 12), tmp_path / "out"
    (source / "bad.png").write_bytes(b"bad")
    seen: list[Outcome] = []
    summary = translate_folder(model, source, out, Options(gpus=2), lambda outcome, _: seen.append(outcome))
    assert summary == Summary(total=13, done=12, failed=1)
    assert sorted(outcome.source.name for outcome in seen) == sorted(path.name for path in source.iterdir())
    assert sorted(out.glob(".i2i-job*")) == [out / f".i2i-job.{part}-of-2.jsonl" for part in (1, 2)]
    translate_folder(model, source, tmp_path / "alone", Options())
    for number in range(12):
        assert (out / f"{number}.png").read_bytes() == (tmp_path / "alone" / f"{number}.png").read_bytes()
    (source / "bad.png").unlink()
    assert translate_folder(model, source, out) == Summary(total=12, skipped=12)  # by one process, too
    write_image(source / "new.png", Image(np.zeros((4, 4, 3), np.uint8)))
    assert translate_folder(model, source, out, Options(gpus="all")) == Summary(total=13, done=1, skipped=12)


@pytest.mark.usefixtures("two")
def test_videos_are_shared_out(model: Model, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(4):
        make(tmp_path / "in" / f"{number}.mp4", times=range(0, 512 * (number + 2), 512))
    (tmp_path / "in" / "bad.mp4").touch()
    summary = translate_videos(model, tmp_path / "in", tmp_path / "out", Options(gpus=2))
    assert summary == Summary(total=5, done=4, failed=1)
    assert sorted(path.name for path in (tmp_path / "out").glob("*.mp4")) == [f"{number}.mp4" for number in range(4)]
    (tmp_path / "in" / "bad.mp4").unlink()
    assert translate_videos(model, tmp_path / "in", tmp_path / "out") == Summary(total=4, skipped=4)


@pytest.mark.usefixtures("two")
def test_an_overwriting_job_continues_where_it_was_and_starts_again_once_finished(model: Model, tmp_path: Path) -> None:
    source, out, reported = pictures(tmp_path / "in", 40), tmp_path / "out", []

    def report(outcome: Outcome, _: Summary) -> None:
        reported.append(outcome.status)
        if len(reported) == 10:
            raise KeyboardInterrupt

    options = Options(gpus=2, overwrite=True)
    with pytest.raises(KeyboardInterrupt):
        translate_folder(model, source, out, options, report)
    done = len(list(out.glob("*.png")))
    assert 10 <= done < 40
    assert translate_folder(model, source, out, options) == Summary(total=40, done=40 - done, skipped=done)
    assert translate_folder(model, source, out, options) == Summary(total=40, done=40)


def test_processes_that_share_a_job_count_the_results_of_each_other(tmp_path: Path) -> None:
    results, shards = LocalResults(tmp_path), [Shard(1, 2), Shard(2, 2)]
    write_image(tmp_path / "a.png", Image(np.zeros((4, 4, 3), np.uint8)))
    state = State.of((tmp_path / "a.png").stat())

    def begun() -> tuple[Journal, float]:
        parent = Journal(results, "key", again=True)
        return parent, parent.since(shards)

    def part(number: int, since: float) -> Journal:
        return Journal(results, "key", shard=shards[number], again=True, since=since)

    _, since = begun()
    with part(0, since) as first:
        first.done("a.png", state)
    with part(1, since):
        """It begins later, and is killed as well."""
    parent, again = begun()
    assert again == since
    with part(1, again) as second:
        assert second.is_done("a.png", state)
    parent.finish_parts(shards)
    _, new = begun()
    assert new > since
    with part(1, new) as second:
        assert not second.is_done("a.png", state)


def _cards(folder: Path, number: int, names: object, count: object) -> None:
    card = os.environ["CUDA_VISIBLE_DEVICES"]
    (folder / card).touch()
    end = time.monotonic() + 300
    while len(list(folder.iterdir())) < 2 and time.monotonic() < end:  # until the other has begun too
        time.sleep(0.02)
    for name in names:  # type: ignore[attr-defined]
        count(Outcome(Path(name), card))  # type: ignore[operator]
        time.sleep(0.05)


def _fails(number: int, names: object, count: object) -> None:
    for name in names:  # type: ignore[attr-defined]
        if name == "3":
            raise OSError(28, "No space left on device", "x.png")
        count(Outcome(Path(name), "done"))  # type: ignore[operator]
        time.sleep(0.05)


def _dies(number: int, names: object, count: object) -> None:
    for name in names:  # type: ignore[attr-defined]
        if name == "3":
            os._exit(9)
        time.sleep(0.05)


def _lingers(number: int, names: Iterator[str], count: object) -> None:
    list(names)
    Finalize(None, time.sleep, (0.5,), exitpriority=100)  # of its process, after its work


def _shares(number: int, names: object, count: object) -> None:
    for name in names:  # type: ignore[attr-defined]
        own_cores, own = host.cores(), host.available_memory()
        host.share(1)
        count(Outcome(Path(name), f"{own_cores} {own} {host.available_memory()}"))  # type: ignore[operator]
        host.share(3)


def test_each_process_counts_its_share_of_processors_and_memory() -> None:
    found: list[str] = []
    gpus.run(["0", "1", "2"], ["a", "b"], _shares, lambda one: found.append(one.status))
    for status in found:
        own_cores, own, free = map(int, status.split())
        assert own_cores == max(1, host.cores() // 3)
        assert own == pytest.approx(free / 3, rel=0.3)
    assert len(found) == 2


def test_each_process_sees_its_card_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    found: dict[str, str] = {}
    names, part = [str(number) for number in range(40)], partial(_cards, tmp_path)
    gpus.run(["4", "7"], names, part, lambda one: found.update({one.source.name: one.status}))
    assert len(found) == 40
    assert set(found.values()) == {"4", "7"}
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "4,7"


def test_an_error_ends_the_job_and_is_raised(model: Model) -> None:
    done: list[Outcome] = []
    with pytest.raises(OSError, match="No space left on device"):
        gpus.run(["0", "1"], [str(number) for number in range(1000)], _fails, done.append)
    assert 3 <= len(done) < 100


def test_a_process_that_is_killed_is_named() -> None:
    with pytest.raises(gpus.GpuError, match=r"^i2i-gpu-\d: this process was ended \(9\).*the same command continues$"):
        gpus.run(["0", "1"], [str(number) for number in range(1000)], _dies, print)


def test_a_process_that_has_not_quite_ended_is_left_to_end(capfd: pytest.CaptureFixture[str]) -> None:
    gpus.run(["0", "1"], ["a", "b"], _lingers, print)
    assert capfd.readouterr().err == ""


PROGRAM = """
import sys
from i2i.runtime.jobs import gpus
gpus.chosen = lambda wanted, _: ["0", "1"] if wanted else []
if __name__ == "__main__":
    from i2i.cli import main
    main(sys.argv[1:])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_ctrl_c_leaves_whole_files_and_ends_all(model: Model, tmp_path: Path) -> None:
    source, out = pictures(tmp_path / "in", 2000), tmp_path / "out"
    (tmp_path / "program.py").write_text(PROGRAM)
    words = ["translate", source, out, "-m", model.path, "--gpus", "2", "--provider", "cpu"]
    process = subprocess.Popen(
        [sys.executable, tmp_path / "program.py", *map(str, words)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    while len(list(out.glob("*.png"))) < 5:
        assert process.poll() is None, process.stderr.read()  # type: ignore[union-attr]
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert b"Traceback" not in error
    done = len(list(out.glob("*.png")))
    time.sleep(0.5)
    assert len(list(out.glob("*.png"))) == done  # none goes on
    assert 5 <= done < 2000
    assert not list(out.glob(".i2i-*.part"))
    assert translate_folder(model, source, out) == Summary(total=2000, done=2000 - done, skipped=done)


def test_cards_that_are_not_there_are_refused(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "cuda_devices", list)
    with pytest.raises(ProviderError, match=r"^gpus is all, and the NVIDIA driver shows no card"):
        translate_folder(model, pictures(tmp_path / "in", 1), tmp_path / "out", Options(gpus="all"))
    monkeypatch.setattr(gpus, "cuda_devices", lambda: ["A", "B"])
    with pytest.raises(ProviderError, match=r"^gpus is 3, and the NVIDIA driver shows 2 cards"):
        gpus.chosen(3, [])
    with pytest.raises(ValueError, match=r"^gpus is all, and inverter\.onnx runs on the processor"):
        gpus.chosen("all", [model])
    assert gpus.chosen(None, [model]) == []
    assert gpus.chosen("all", []) == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,GPU-8")
    assert gpus.chosen("2", []) == ["5", "GPU-8"]
    with pytest.raises(ValueError, match="gpus is 'many'; expected a number from 1 on, or all"):
        Options(gpus="many")


def test_the_command_line_refuses_what_has_no_parts(model: Model, tmp_path: Path, i2i_inside: Command) -> None:
    source = pictures(tmp_path / "in", 1)
    for words in ([source / "0.png"], [source, "--watch"]):
        done = i2i_inside("translate", *words, "-m", model.path, "--gpus", "all")
        assert (done.returncode, done.stderr) == (
            2,
            "error: --gpus is for folders of images or videos, and not for --watch\n",
        )
