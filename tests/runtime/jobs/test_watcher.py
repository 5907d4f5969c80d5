"""A folder that is being filled while it is translated."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from i2i.images import Image, encode_image, read_image, write_image
from i2i.runtime import Model, Options
from i2i.runtime.jobs import sharding, workers
from i2i.runtime.jobs.folder import Outcome, Summary, translate_folder, translate_folders
from i2i.runtime.jobs.journal import JOURNAL, Journal
from i2i.runtime.jobs.places import LocalResults
from i2i.runtime.jobs.watcher import FolderWatcher, Watch, is_being_written
from tests import tiny
from tests.conftest import ROOT


def image(level: int) -> Image:
    return Image(np.full((6, 5, 3), level, np.uint8))


def wait_for(what: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


LOOK, PATIENCE = 0.02, 0.06  # seconds, where a test does not give others
NO_JOURNAL = SimpleNamespace(keep=lambda name: None, forget=lambda name: None)


class Watched:
    """A job that watches ``photos`` in a thread, and what it reports."""

    def __init__(self, place: Path, watch: Watch | None = None, **options: object) -> None:
        self.photos, self.out = place / "photos", place / "out"
        self.photos.mkdir(exist_ok=True)
        self.outcomes: list[Outcome] = []
        self.summary = Summary()
        self._stop = False
        self._end: BaseException | None = None
        model = Model(tiny.inverter(place / "invert.onnx"), "cpu", 2, side_by_side=True)
        watch = watch or Watch(LOOK, PATIENCE)
        arguments = ([(model, self.out)], self.photos, Options(**options), self._report, watch, self.summary)
        self._thread = threading.Thread(target=self._work, args=arguments, daemon=True)
        self._thread.start()

    def _report(self, outcome: Outcome, summary: Summary) -> None:
        self.outcomes.append(outcome)
        if self._stop:
            raise KeyboardInterrupt

    def _work(self, *arguments: object) -> None:
        try:
            translate_folders(*arguments)  # type: ignore[arg-type]
        except BaseException as error:
            self._end = error

    def stop(self, last: str = "zz-last.png") -> None:
        self._stop = True
        write_image(self.photos / last, image(1))
        self._thread.join(20)
        assert not self._thread.is_alive()
        assert isinstance(self._end, KeyboardInterrupt), self._end

    def notes(self) -> dict[str, str]:
        return {outcome.source.name: outcome.note for outcome in self.outcomes if outcome.status == "failed"}


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    (tmp_path / "photos").mkdir()
    write_image(tmp_path / "photos" / "first.png", image(10))
    job = Watched(tmp_path)
    wait_for(lambda: (job.out / "first.png").exists())
    yield job
    job.stop()
    assert not list(job.out.rglob("*.part"))


def test_files_are_taken_as_they_come_and_when_they_change(watched: Watched) -> None:
    (watched.photos / "new folder").mkdir()
    start = time.monotonic()
    write_image(watched.photos / "new folder" / "second.png", image(20))
    wait_for(lambda: (watched.out / "new folder" / "second.png").exists())
    assert time.monotonic() - start < 15  # under one on a quiet machine
    write_image(watched.photos / "first.png", image(30))
    wait_for(lambda: (read_image(watched.out / "first.png").pixels == 225).all())
    time.sleep(6 * LOOK)
    names = sorted(outcome.source.name for outcome in watched.outcomes)
    assert names == ["first.png", "first.png", "second.png"]  # and not over and over


def test_a_file_that_changes_back_is_translated_again(watched: Watched, tmp_path: Path) -> None:
    """A BMP, since all its results have the same size."""
    source, kept = watched.photos / "a.bmp", tmp_path / "kept"
    write_image(source, image(10))
    wait_for(lambda: watched.summary.done == 2)
    watched.stop()
    again = Watched(tmp_path)
    try:
        wait_for(lambda: again.summary.skipped == 3)  # with the last one of the first job
        shutil.copy2(source, kept)
        write_image(source, image(30))
        wait_for(lambda: (read_image(again.out / "a.bmp").pixels == 225).all())
        os.replace(kept, source)
        wait_for(lambda: (read_image(again.out / "a.bmp").pixels == 245).all())
    finally:
        again.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="only there it is known who has a file open")
def test_a_file_with_a_writer_that_pauses_is_not_taken_half_done(watched: Watched) -> None:
    data = encode_image(image(50), "BMP")
    with open(watched.photos / "slow.bmp", "wb") as file:
        for half in (data[: len(data) // 2], data[len(data) // 2 :]):
            file.write(half)
            file.flush()
            time.sleep(6 * LOOK)
            assert not (watched.out / "slow.bmp").exists()
    wait_for(lambda: (watched.out / "slow.bmp").exists())
    assert (read_image(watched.out / "slow.bmp").pixels == 205).all()
    assert not watched.notes()


class Taken:
    """Stands in for ``is_being_written`` where the system does not tell; records the files that are taken."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, path: Path) -> bool:
        self.names.append(path.name)
        return False


def test_a_growing_file_waits(tmp_path: Path) -> None:
    """Its writer pauses for many scans without holding it open, and no failure is reported."""
    taken = Taken()
    job = Watched(tmp_path, Watch(LOOK, 60, taken))
    data = encode_image(image(50), "PNG")
    path = job.photos / "slow.png"
    for part in (1, 2):  # each is taken, and fails
        path.write_bytes(data[: len(data) * part // 3])
        wait_for(lambda: taken.names.count("slow.png") >= part)  # noqa: B023
        time.sleep(3 * LOOK)
    path.write_bytes(data)
    wait_for(lambda: (job.out / "slow.png").exists())
    wait_for(lambda: job.summary.done)
    assert not job.notes()
    assert job.summary == Summary(total=1, done=1)
    job.stop()


def test_a_failure_of_a_file_that_is_completed_later_is_taken_back(tmp_path: Path) -> None:
    job = Watched(tmp_path, Watch(LOOK, 0, Taken()))
    data = encode_image(image(50), "PNG")
    (job.photos / "slow.png").write_bytes(data[:-20])
    wait_for(job.notes)
    assert job.summary == Summary(total=1, failed=1)
    (job.photos / "slow.png").write_bytes(data)
    wait_for(lambda: job.summary.done)
    assert job.summary == Summary(total=1, done=1)
    retracted, done = job.outcomes[-2:]
    assert (retracted.status, done.status) == ("retracted", "done")
    assert retracted.note == f"{job.photos / 'slow.png'}: it failed before and is translated now"
    job.stop()


def test_unsettled_failures_are_reported_at_the_end(tmp_path: Path) -> None:
    taken = Taken()
    job = Watched(tmp_path, Watch(LOOK, 60, taken))
    (job.photos / "bad.png").write_bytes(b"")
    wait_for(lambda: "bad.png" in taken.names)
    time.sleep(3 * LOOK)
    assert job.summary.failed == 0
    job.stop()
    assert job.summary == Summary(total=2, done=1, failed=1)
    assert "bad.png" in job.notes()


def test_a_bad_file_is_named_once_and_taken_again_when_it_is_mended(watched: Watched) -> None:
    (watched.photos / "bad.png").write_bytes(b"")
    wait_for(lambda: "bad.png" in watched.notes())
    time.sleep(4 * PATIENCE)
    assert watched.summary == Summary(total=2, done=1, failed=1)
    write_image(watched.photos / "bad.png", image(60))
    wait_for(lambda: watched.summary.done == 2)
    assert watched.summary == Summary(total=2, done=2)


def test_a_failure_with_one_of_two_models_is_counted_for_that_one(tmp_path: Path) -> None:
    """The other model does not translate the image again, and no result is counted twice."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes(b"")
    source = tmp_path / "photos"
    watcher = FolderWatcher(source, [], Options(), lambda name: True, Watch(patience=0))
    watcher._targets = [SimpleNamespace(journal=NO_JOURNAL)] * 2  # type: ignore[list-item]
    watcher._problem = lambda name, output: ""  # type: ignore[method-assign]
    watcher._taken["a.png"] = (0, 0)
    outcome = {status: Outcome(source / "a.png", status) for status in ("done", "failed", "skipped")}

    def settled(*statuses: str) -> list[str]:
        watcher._start("a.png")
        return [one.status for status in statuses for one in watcher.settle(outcome[status])]

    assert settled("done", "failed") == ["done"]
    assert settled("skipped", "failed") == ["failed"]
    watcher._taken["a.png"] = (1, 1)
    assert settled("done", "done") == ["retracted", "done", "done"]
    assert list(watcher.unsettled()) == []


def test_a_file_that_fails_and_was_deleted_meanwhile_ends_nothing(tmp_path: Path) -> None:
    target: Any = SimpleNamespace(folder=tmp_path / "out", journal=NO_JOURNAL)
    watcher = FolderWatcher(tmp_path, [target], Options(), lambda name: True)
    watcher._problem = lambda name, output: ""  # type: ignore[method-assign]
    watcher._start("a.png")  # and no scan has found it since
    failed = Outcome(tmp_path / "a.png", "failed")
    assert list(watcher.settle(failed)) == []
    assert list(watcher.unsettled()) == [failed]


@pytest.mark.timeout(120)
def test_a_model_is_not_run_again_because_another_one_failed(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    write_image(tmp_path / "photos" / "a.png", image(0))
    good, bad = tiny.inverter(tmp_path / "good.onnx"), tiny.not_a_number(tmp_path / "bad.onnx")
    outcomes: list[str] = []

    def report(outcome: Outcome, _: Summary) -> None:
        outcomes.append(outcome.status)
        if outcome.status == "failed":
            raise KeyboardInterrupt

    pairs = [(Model(path, "cpu", 1, side_by_side=True), tmp_path / path.stem) for path in (good, bad)]
    with pytest.raises(KeyboardInterrupt):
        translate_folders(pairs, tmp_path / "photos", None, report, Watch(LOOK, PATIENCE))
    assert outcomes == ["done", "failed"]


def test_a_result_may_be_replaced_whose_source_was_deleted_while_in_work(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "out").mkdir()
    results = LocalResults(tmp_path / "out")
    target: Any = SimpleNamespace(folder=results.path, results=results, journal=Journal(results, "key"))
    watcher = FolderWatcher(tmp_path / "photos", [target], Options(), lambda _: True, Watch(is_being_written=Taken()))
    source = tmp_path / "photos" / "snap.png"

    def arrives() -> str:
        write_image(source, image(10))
        assert watcher.scan({}) == []
        assert watcher.scan({}) == ["snap.png"]
        return watcher._start("snap.png").problem

    assert arrives() == ""
    source.unlink()
    assert watcher.scan({}) == []
    write_image(results.path / "snap.png", image(245))
    assert [one.status for one in watcher.settle(Outcome(source, "done"))] == ["done"]
    assert watcher.scan({}) == []
    assert arrives() == ""


def test_a_result_of_another_folder_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "monday").mkdir()
    write_image(tmp_path / "monday" / "a.png", image(10))
    model = Model(tiny.inverter(tmp_path / "invert.onnx"), "cpu", 1)
    translate_folder(model, tmp_path / "monday", tmp_path / "out")
    (tmp_path / "photos").mkdir()
    write_image(tmp_path / "photos" / "early.png", image(1))
    job = Watched(tmp_path)
    wait_for(lambda: (job.out / "early.png").exists())  # one that is there before it begins is refused as a whole
    write_image(job.photos / "a.png", image(20))
    wait_for(job.notes)
    note = f"{job.photos / 'a.png'}: it would replace {job.out / 'a.png'}, the result of an image in "
    assert job.notes()["a.png"] == f"{note}{tmp_path / 'monday'}"
    assert (read_image(job.out / "a.png").pixels == 245).all()
    job.stop()


def test_ctrl_c_waits_for_the_images_in_work_and_counts_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "photos").mkdir()
    for name in ("quick.png", "slow.png", "bad.png"):
        write_image(tmp_path / "photos" / name, image(10))
    (tmp_path / "photos" / "bad.png").write_bytes(b"bad")
    together, interrupted = threading.Barrier(3), threading.Event()
    real = workers.read_header

    def read_header(path: Path, *rest: Any) -> Any:
        together.wait(60)
        if path.name != "quick.png":
            interrupted.wait(60)
        return real(path, *rest)

    def report(outcome: Outcome, _: Summary) -> None:
        if not interrupted.is_set():
            interrupted.set()
            raise KeyboardInterrupt

    monkeypatch.setattr(workers, "read_header", read_header)
    model, summary = Model(tiny.inverter(tmp_path / "invert.onnx"), "cpu", 3, side_by_side=True), Summary()
    with pytest.raises(KeyboardInterrupt):
        translate_folders(
            [(model, tmp_path / "out")], tmp_path / "photos", Options(workers=3), report, Watch(LOOK, 60), summary
        )
    assert summary == Summary(total=3, done=2, failed=1)


def test_files_that_would_overwrite_others_are_refused_as_they_arrive(watched: Watched) -> None:
    (watched.out / "theirs.png").write_bytes(b"somebody's")
    (watched.out / "back").symlink_to(watched.photos)
    write_image(watched.photos / "theirs.png", image(70))
    (watched.photos / "back").mkdir()
    write_image(watched.photos / "back" / "first.png", image(80))
    wait_for(lambda: len(watched.notes()) == 2)
    assert "no earlier job wrote it" in watched.notes()["theirs.png"]
    assert "originals are never overwritten" in watched.notes()["first.png"]
    assert (watched.out / "theirs.png").read_bytes() == b"somebody's"
    (watched.out / "theirs.png").unlink()
    wait_for(lambda: watched.summary.done == 2)
    assert (read_image(watched.out / "theirs.png").pixels == 185).all()
    assert watched.summary.failed == 1
    assert (read_image(watched.photos / "first.png").pixels == 10).all()


def test_two_sources_of_one_result(tmp_path: Path) -> None:
    job = Watched(tmp_path, format="PNG")
    write_image(job.photos / "a.bmp", image(10))
    wait_for(lambda: (job.out / "a.png").exists())
    write_image(job.photos / "a.tif", image(20))
    wait_for(lambda: job.notes())
    assert "as a.bmp is; rename one" in job.notes()["a.tif"]
    time.sleep(6 * LOOK)
    assert (read_image(job.out / "a.png").pixels == 245).all()
    (job.photos / "a.bmp").unlink()
    wait_for(lambda: job.summary.done == 2)
    assert (read_image(job.out / "a.png").pixels == 235).all()
    assert job.summary == Summary(total=2, done=2)
    job.stop()


def test_two_sources_of_one_result_in_different_shards(tmp_path: Path) -> None:
    """The result of the other shard is not replaced, though a journal in this folder lists it."""
    first, second = sharding.parse("1/2"), sharding.parse("2/2")
    name = next(str(i) for i in range(100) if first.holds(f"{i}.bmp") and second.holds(f"{i}.tif"))
    (tmp_path / "photos").mkdir()
    write_image(tmp_path / "photos" / f"{name}.bmp", image(10))
    model = Model(tiny.inverter(tmp_path / "invert.onnx"), "cpu", 1)
    translate_folder(model, tmp_path / "photos", tmp_path / "out", Options(format="PNG", shard="1/2"))
    early = next(early for i in range(100) if second.holds(early := f"early-{i}.png"))
    write_image(tmp_path / "photos" / early, image(1))
    job = Watched(tmp_path, format="PNG", shard="2/2")
    wait_for(lambda: (job.out / early).exists())  # two that are there before it begins are refused as a whole
    write_image(job.photos / f"{name}.tif", image(20))
    wait_for(job.notes)
    assert f"as {name}.bmp is; rename one" in job.notes()[f"{name}.tif"]
    job.stop(next(last for i in range(100) if second.holds(last := f"last-{i}.png")))
    assert (read_image(job.out / f"{name}.png").pixels == 245).all()


def test_files_open_for_writing_are_detected(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"x")
    assert not is_being_written(path)
    assert not is_being_written(tmp_path / "nowhere.png")
    with open(path, "ab") as file:
        assert is_being_written(path) == (sys.platform == "linux")
        file.write(b"y")
    assert not is_being_written(path)


HOLDING = """
import fcntl, sys, time
from pathlib import Path
from i2i.runtime.jobs.watcher import FolderWatcher, is_being_written
real = fcntl.fcntl
def slow(file, command, value):
    real(file, command, value)
    if (command, value) == (fcntl.F_SETLEASE, fcntl.F_RDLCK):
        print("held", flush=True)
        time.sleep(0.3)
fcntl.fcntl = slow
print(is_being_written(Path(sys.argv[1])))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only there are leases")
def test_a_broken_lease_does_not_end_the_process(tmp_path: Path) -> None:
    """The default signal of a broken lease would end the process; another one is used."""
    path = tmp_path / "a.png"
    path.write_bytes(b"x")
    process = subprocess.Popen([sys.executable, "-c", HOLDING, path], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    with open(path, "ab") as file:  # waits until it is given up
        file.write(b"y")
    assert process.communicate(timeout=60)[0] == "False\n"
    assert process.returncode == 0


def test_ctrl_c_ends_it_with_its_counts(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    write_image(tmp_path / "photos" / "a.png", image(10))
    tiny.inverter(tmp_path / "invert.onnx")
    words = [sys.executable, "-m", "i2i", "translate", "photos", "out", "-m", "invert.onnx", "--watch"]
    heed = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731
    process = subprocess.Popen(
        words, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, preexec_fn=heed, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    wait_for(lambda: (tmp_path / "out" / "a.png").exists(), 60)  # Python starts slowly on a busy machine
    write_image(tmp_path / "photos" / "b.png", image(20))
    done = lambda: b'{"name": "b.png", "job"' in (tmp_path / "out" / JOURNAL).read_bytes()  # noqa: E731
    wait_for(done, 60)
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert out.startswith("out: 2 translated, 0 done before, 0 failed")
    assert "watching photos until Ctrl-C" in errors
    assert "Traceback" not in errors


def test_a_folder_that_comes_and_cannot_be_read_is_named_once(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.scandir

    locked = True

    def refusing(path: Path) -> object:
        if Path(path).name == "locked" and locked:
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", refusing)
    (watched.photos / "locked").mkdir()
    wait_for(lambda: watched.notes())
    time.sleep(6 * LOOK)
    assert watched.notes() == {"locked": f"{watched.photos / 'locked'}: the folder cannot be read: Permission denied"}
    assert watched.summary.failed == 1
    locked = False
    write_image(watched.photos / "locked" / "second.png", image(20))
    wait_for(lambda: watched.summary.done == 2)
    assert watched.summary == Summary(total=2, done=2)


def test_an_overwriting_watch_ended_by_ctrl_c_starts_again(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    write_image(tmp_path / "photos" / "first.png", image(10))
    for _ in range(2):
        job = Watched(tmp_path, overwrite=True)
        wait_for(lambda: job.outcomes)  # noqa: B023
        job.stop()
        assert job.outcomes[0].status == "done"


def test_an_overwriting_watch_ended_in_its_backlog_continues(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for number in range(40):
        write_image(tmp_path / "photos" / f"{number}.png", image(10))
    (tmp_path / "photos" / "bad.png").write_bytes(b"")

    def ended(until: int) -> list[str]:
        """Return the status of each result, with Ctrl-C after ``until`` results."""
        reported: list[str] = []

        def report(outcome: Outcome, _: Summary) -> None:
            reported.append(outcome.status)
            if len(reported) == until:
                raise KeyboardInterrupt

        model = Model(tiny.inverter(tmp_path / "invert.onnx"), "cpu", 1, side_by_side=True)
        options = Options(overwrite=True, workers=1)
        with pytest.raises(KeyboardInterrupt):
            translate_folders([(model, tmp_path / "out")], tmp_path / "photos", options, report, Watch(LOOK, PATIENCE))
        return reported

    assert ended(until=2).count("done") >= 2  # with those that were in work
    reported = ended(until=41)
    assert reported.count("skipped") >= 2
    assert reported.count("failed") == 1
    assert ended(until=41).count("done") == 40


def test_deleted_files_are_not_waited_for(tmp_path: Path) -> None:
    watcher = FolderWatcher(tmp_path, [], Options(), lambda name: True, backlog=["a.png"])
    assert watcher.caught_up()
    write_image(tmp_path / "a.png", image(10))
    assert not watcher.caught_up()
