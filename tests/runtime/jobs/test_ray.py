"""Folder jobs on Ray: the function that its tasks run, and jobs on a cluster of this machine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fsspec
import numpy as np
import psutil
import pytest

from i2i.images import Image, decode_image, encode_image, read_image, write_image
from i2i.runtime import Model, Options
from i2i.runtime.jobs.folder import Outcome, Summary, translate_folders
from i2i.runtime.jobs.journal import JOURNAL
from i2i.runtime.jobs.opening import JobPlaces
from i2i.runtime.jobs.places import LocalResults, State
from i2i.runtime.jobs.planning import FolderTarget
from i2i.runtime.jobs.ray import chunk, engine
from i2i.runtime.jobs.ray.chunk import Made, Row, Shipped, ShippedModel
from i2i.runtime.jobs.ray.engine import OnRay
from tests import tiny
from tests.conftest import ROOT, Command

TOKEN = {
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": "0123456789abcdef" * 4,
}  # or Ray would write one to the home folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model(tiny.inverter(tmp_path_factory.mktemp("model") / "invert.onnx"), "cpu", 2, side_by_side=True)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number in range(6):
        path = tmp_path / "in" / f"{number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, Image(pixels(number)))
    return tmp_path / "in"


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    if chunk._current is not None:
        chunk._current[1].close()
        chunk._current = None


def pixels(seed: int, side: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)


def shipped(model: Model, source: Path | str, *targets: Path | str, **options: object) -> Shipped:
    for target in targets:
        if isinstance(target, Path):  # where the job has its journal
            target.mkdir(parents=True, exist_ok=True)
            (target / JOURNAL).touch()
    return Shipped(source, targets, Options(**options), (ShippedModel.of(model),) * len(targets))  # type: ignore[arg-type]


def rows(source: Path, *targets: Path) -> list[Row]:
    """Return the rows of all images, of which no job has made a result."""
    found = []
    for path in sorted(source.rglob("*.png")):
        name = path.relative_to(source).as_posix()
        there = [target / name for target in targets]
        before = tuple((s.id, s.time) if (s := state(each)) else None for each in there)
        found.append(Row(path, name, "", State.of(path.stat()), before, (False,) * len(targets)))
    return found


def state(path: Path) -> State | None:
    return State.of(path.stat()) if path.exists() else None


def statuses(made: list[Made]) -> dict[tuple[str, int], str]:
    return {(each.row.name, each.target): each.outcome.status for each in made}


def test_a_chunk_that_is_run_again_makes_only_what_is_left(model: Model, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "0").mkdir(parents=True)
    shutil.copy(photos / "0" / "4.png", out / "0" / "4.png")  # an old file, which the job may replace
    todo, setup = rows(photos, out), shipped(model, photos, out)
    first = chunk.translate("a", lambda: setup, todo[:3])  # and then its worker dies
    assert set(statuses(first).values()) == {"done"}
    assert all(each.size == (out / each.row.name).stat().st_size for each in first)
    before = {each.row.name: (out / each.row.name).stat().st_mtime_ns for each in first}
    again = chunk.translate("a", lambda: setup, todo)
    assert [status for (name, _), status in statuses(again).items() if name in before] == ["skipped"] * 3
    assert list(statuses(again).values()).count("done") == 3
    assert {name: (out / name).stat().st_mtime_ns for name in before} == before
    assert all(each.size == (out / each.row.name).stat().st_size for each in again)
    np.testing.assert_array_equal(read_image(out / "0" / "4.png").pixels, 255 - pixels(4))


def test_targets_that_an_earlier_job_has_made_are_left(model: Model, photos: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    todo = [row._replace(done=(True, False)) for row in rows(photos, one, two)]
    made = chunk.translate("b", lambda: shipped(model, photos, one, two), todo)
    assert [path.name for path in one.iterdir()] == [JOURNAL]
    assert len(list(two.rglob("*.png"))) == 6
    assert all(each.outcome.status == ("skipped", "done")[each.target] for each in made)
    assert len(made) == 12


def test_a_model_that_is_not_on_the_other_machine_is_sent(model: Model, photos: Path, tmp_path: Path) -> None:
    other = tmp_path / "there" / "m.onnx"
    other.parent.mkdir()
    shutil.copy(model.path, other)
    setup = shipped(Model(other, "cpu").tiled(64), photos, tmp_path / "out", quality=80)
    tiny.inverter(other, weights=-0.5)  # another file under its name
    assert statuses(chunk.translate("c", lambda: setup, rows(photos, tmp_path / "out"))).popitem()[1] == "done"
    np.testing.assert_array_equal(read_image(tmp_path / "out" / "1" / "1.png").pixels, 255 - pixels(1))
    other.unlink()
    assert setup.models[0].opened(tmp_path).tile.how == 64
    assert setup.models[0].opened(tmp_path).threads == 1


def test_a_chunk_of_a_remote_folder(model: Model) -> None:
    files = fsspec.filesystem("memory")
    files.store.clear()
    for number in range(3):
        files.pipe_file(f"/in/{number}.png", encode_image(Image(pixels(number)), "PNG"))
    setup = shipped(model, "memory://in", "memory://out")
    todo = [Row(f"memory://in/{n}.png", f"{n}.png", f"/in/{n}.png", State(1, 1), (None,), (False,)) for n in range(3)]
    todo.append(Row("memory://in/gone.png", "gone.png", "/in/gone.png", State(1, 1), (None,), (False,)))
    made = chunk.translate("d", lambda: setup, todo[1:])
    assert statuses(made) == {("1.png", 0): "done", ("2.png", 0): "done", ("gone.png", 0): "failed"}
    assert [each.outcome.note for each in made if each.outcome.note] == ["memory://in/gone.png: not found"]
    again = statuses(chunk.translate("d", lambda: setup, todo))
    assert again == {("0.png", 0): "done", ("1.png", 0): "skipped", ("2.png", 0): "skipped", ("gone.png", 0): "failed"}
    for number in range(3):
        content = files.cat_file(f"/out/{number}.png")
        np.testing.assert_array_equal(decode_image(content, "result").pixels, 255 - pixels(number))
    files.store.clear()


def test_a_folder_that_a_machine_does_not_share_is_an_error(
    model: Model, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its results would be lost on that machine."""
    setup = shipped(model, photos, tmp_path / "out")
    (tmp_path / "out" / JOURNAL).unlink()
    monkeypatch.setattr(chunk.time, "sleep", lambda _: None)
    with pytest.raises(chunk.ClusterError, match=r"out on \S+ is another folder than that of the job: mount it there"):
        chunk.translate("e", lambda: setup, rows(photos, tmp_path / "out"))


def test_options_that_do_not_go_together(photos: Path, model: Model, i2i_inside: Command) -> None:
    for words, reason in {
        ("--address", "ray://h:1"): "--address is that of a Ray cluster: add --on ray",
        ("--on", "ray", "--shard", "1/2"): "--on ray divides a folder of images by itself",
        ("--on", "ray", "--watch"): "--on ray divides a folder of images by itself",
    }.items():
        done = i2i_inside("translate", photos, photos.parent / "out", "-m", model.path, *words)
        assert done.returncode == 2
        assert reason in done.stderr


def test_without_ray_one_sentence_names_the_extra(
    photos: Path, model: Model, i2i_inside: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    done = i2i_inside("translate", photos, photos.parent / "out", "-m", model.path, "--on", "ray")
    assert done.returncode == 2
    assert done.stderr.endswith('error: this needs ray, which is not installed: pip install "i2i[ray]"\n')


def command(*words: object, path: Path | None = None) -> subprocess.Popen[str]:
    paths = [str(ROOT), *([] if path is None else [str(path)])]
    environment = {**os.environ, **TOKEN, "PYTHONPATH": os.pathsep.join(paths)}
    environment.pop("RAY_ADDRESS", None)
    program = [sys.executable, "-m", "i2i", "translate", *map(str, words), "--on", "ray"]
    return subprocess.Popen(program, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def lines(out: Path) -> list[str]:
    """Return the names of the journal's entries of complete results."""
    with open(out / JOURNAL) as file:
        return [entry["name"] for entry in map(json.loads, file) if "size" in entry]


def made(out: Path) -> dict[str, tuple[int, int]]:
    """Return inode and time of each result."""
    found = {}
    for path in out.rglob("*.png"):
        status = path.stat()
        found[path.relative_to(out).as_posix()] = (status.st_ino, status.st_mtime_ns)
    return found


@pytest.mark.timeout(120)
def test_a_folder_on_ray(model: Model, photos: Path, tmp_path: Path) -> None:
    """It continues a job of this process, and is continued by one."""
    out = tmp_path / "out"
    (photos / "bad.png").write_bytes(b"bad")
    assert translate_folders([(model, out)], photos, Options(shard="1/2")).done > 0
    before = made(out)
    output, errors = (process := command(photos, out, "-m", model.path, "--workers", 1)).communicate()
    assert process.returncode == 1, errors
    assert f"{out}: {6 - len(before)} translated, {len(before)} done before, 1 failed" in output
    assert f"failed: {photos / 'bad.png'}: not an image" in errors
    assert before.items() <= made(out).items()
    assert not list(out.rglob("*.part"))
    for number in range(6):
        result = read_image(out / f"{number % 2}" / f"{number}.png")
        np.testing.assert_array_equal(result.pixels, 255 - pixels(number))
    assert translate_folders([(model, out)], photos) == Summary(total=7, skipped=6, failed=1)


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Return the processes that run a task of a job."""
    found = []
    for child in psutil.Process(process.pid).children(recursive=True):
        try:
            if child.cmdline()[:1] == ["ray::task"] or child.name().startswith("ray::task"):
                found.append(child)
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return found


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_workers_that_are_killed_lose_nothing_and_double_nothing(model: Model, tmp_path: Path) -> None:
    source, out, count = tmp_path / "in", tmp_path / "out", 400
    for number in range(count):
        path = source / f"{number % 3}" / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, Image(pixels(number, 300)))
    process = command(source, out, "-m", model.path, "--workers", 2)
    killed, seen = 0, {}
    while process.poll() is None and killed < 4:
        if out.is_dir() and len(made(out)) >= 60 * (killed + 1):
            running = workers_of(process)
            if running:
                running[killed % len(running)].send_signal(signal.SIGKILL)
                seen |= made(out)
                killed += 1
        time.sleep(0.01)
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    assert killed == 4, "the job was over before the kills"
    assert f"{count} translated, 0 done before, 0 failed" in output
    assert len(made(out)) == count
    assert seen.items() <= made(out).items()  # what was there was not made again
    assert sorted(lines(out)) == sorted(made(out))  # one line for each
    for number in range(0, count, 7):
        result = read_image(out / f"{number % 3}" / f"{number:03}.png")
        np.testing.assert_array_equal(result.pixels, 255 - pixels(number, 300))
    assert translate_folders([(model, out)], source) == Summary(total=count, skipped=count)
    assert not list(out.rglob("*.part"))


WITHOUT = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "i2i":
            raise ModuleNotFoundError("No module named 'i2i'", name="i2i")
if "default_worker" in " ".join(sys.orig_argv):
    sys.meta_path.insert(0, Missing())
"""
POISON = """
import os, sys
def poisoned(event, arguments):
    if event == "open" and "poison" in str(arguments[0]):
        os._exit(1)
if "default_worker" in " ".join(sys.orig_argv):
    sys.addaudithook(poisoned)
"""


@pytest.mark.slow
def test_an_image_that_ends_every_worker_is_named(model: Model, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(POISON)
    shutil.copy(photos / "0" / "0.png", photos / "0" / "poison.png")
    out = tmp_path / "out"
    output, errors = (
        process := command(photos, out, "-m", model.path, "--workers", 1, path=tmp_path / "site")
    ).communicate()
    assert process.returncode == 1, errors
    assert "6 translated, 0 done before, 1 failed" in output
    assert f"failed: {photos / '0' / 'poison.png'}: the worker that translated it died 4 times" in errors
    assert sorted(lines(out)) == sorted(made(out))


@pytest.mark.slow
def test_a_full_disk_stops_the_job(model: Model, photos: Path, tmp_path: Path) -> None:
    """An error of a task that concerns the whole job."""
    hook = POISON.replace(
        '    if event == "open" and "poison" in str(arguments[0]):\n        os._exit(1)',
        """
    if event == "os.rename" and str(arguments[1]).endswith(".png"):
        raise OSError(28, "No space left on device")""",
    )
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(hook)
    _, errors = (
        process := command(photos, tmp_path / "out", "-m", model.path, "--workers", 1, path=tmp_path / "site")
    ).communicate()
    assert process.returncode == 75
    assert "No space left on device: stopped here; run the same command again to go on" in errors
    assert not made(tmp_path / "out")


@pytest.mark.slow
def test_workers_without_i2i_are_one_sentence(model: Model, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(WITHOUT)
    _, errors = (
        process := command(photos, tmp_path / "out", "-m", model.path, "--workers", 1, path=tmp_path / "site")
    ).communicate()
    assert process.returncode == 2
    assert "error: the Ray cluster: a worker cannot import 'i2i': install the same i2i and extras on every" in errors


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_signals_end_a_job(model: Model, tmp_path: Path, number: signal.Signals) -> None:
    for seed in range(300):
        path = tmp_path / "in" / f"{seed:03}.png"
        path.parent.mkdir(exist_ok=True)
        write_image(path, Image(pixels(seed, 300)))
    process = command(tmp_path / "in", tmp_path / "out", "-m", model.path, "--workers", 1)
    while process.poll() is None and (not (tmp_path / "out").is_dir() or len(made(tmp_path / "out")) < 20):
        time.sleep(0.01)
    process.send_signal(number)
    _, errors = process.communicate()
    assert process.returncode == 128 + number, errors
    seen = made(tmp_path / "out")
    done = translate_folders([(model, tmp_path / "out")], tmp_path / "in")
    assert (done.skipped, done.done) == (len(seen), 300 - len(seen))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs process groups")
def test_a_machine_of_a_cluster_that_dies(model: Model, tmp_path: Path) -> None:
    """Two nodes on this machine, started as docs/scale.md shows; the second one ends with all of its processes."""
    source, out, count = tmp_path / "in", tmp_path / "out", 300
    for number in range(count):
        path = source / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, Image(pixels(number, 300)))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    first, second = (
        node(f"--head --port={port} --include-dashboard=false"),
        None,
    )
    try:
        wait_for(port)
        second = node(f"--address=127.0.0.1:{port}")
        time.sleep(8)  # until it has joined
        process = command(source, out, "-m", model.path, "--address", f"127.0.0.1:{port}")
        while process.poll() is None and (not out.is_dir() or len(made(out)) < count // 3):
            time.sleep(0.01)
        os.killpg(second.pid, signal.SIGKILL)
        seen = made(out)
        output, errors = process.communicate()
    finally:
        for each in (first, second):
            if each is not None:
                os.killpg(each.pid, signal.SIGKILL)
                each.communicate()
    assert process.returncode == 0, errors
    assert f"{count} translated, 0 done before, 0 failed" in output
    assert len(seen) < count, "the job was over before the machine died"
    assert seen.items() <= made(out).items()
    assert sorted(lines(out)) == sorted(made(out))
    assert len(made(out)) == count


def node(options: str) -> subprocess.Popen[str]:
    """Start a node of one core, all of whose processes are in one group."""
    program = Path(sys.executable).with_name("ray")
    words = [str(program), "start", *options.split(), "--num-cpus=1", "--block", "--disable-usage-stats"]
    environment = {**os.environ, **TOKEN, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def wait_for(port: int) -> None:
    for _ in range(600):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise AssertionError("the first node has not started")


@pytest.mark.slow
def test_a_cluster_that_cannot_be_reached(model: Model, photos: Path, tmp_path: Path) -> None:
    _, errors = (
        process := command(photos, tmp_path / "out", "-m", model.path, "--address", "127.0.0.1:1")
    ).communicate()
    assert process.returncode == 2
    assert "error: 127.0.0.1:1: the cluster cannot be reached: " in errors


def test_relative_paths_are_those_of_the_machine_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    put: list[Shipped] = []
    ray = SimpleNamespace(put=put.append, remote=lambda **_: lambda task: task)
    job = JobPlaces(Path("in"), [LocalResults(Path("out"))])
    engine._Chunks(ray, job, [], Options(mask=Path("masks")))
    assert (put[0].source, put[0].targets) == (tmp_path / "in", (tmp_path / "out",))
    assert put[0].options.mask == tmp_path / "masks"


def test_ray_is_not_started_where_all_is_done(
    model: Model, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    (photos / "gone.png").symlink_to("nowhere.png")
    assert translate_folders([(model, tmp_path / "out")], photos) == Summary(total=7, done=6, failed=1)
    reported: list[Outcome] = []

    def report(outcome: Outcome, _: Summary) -> None:
        reported.append(outcome)

    done = translate_folders([(model, tmp_path / "out")], photos, report=report, engine=OnRay())
    assert done == Summary(total=7, skipped=6, failed=1)
    assert [each.note for each in reported if each.note] == [f"{photos / 'gone.png'}: No such file or directory"]


@pytest.mark.parametrize(("count", "parts"), [(1, 6), (5, 6), (1000, 6), (1000, 300)])
def test_chunks_become_small_and_leave_nothing_out(tmp_path: Path, model: Model, count: int, parts: int) -> None:
    found: list[list[str]] = []

    def planned(job: JobPlaces, names: Sequence[str], targets: Sequence[FolderTarget], options: Options) -> Any:
        for rows in engine._planned(job, names, targets, options, lambda: parts):
            assert isinstance(rows, list)
            found.append([row.name for row in rows])
        yield from ()

    (tmp_path / "in").mkdir()
    for number in range(count):
        (tmp_path / "in" / f"{number:04}.png").touch()
    translate_folders([(model, tmp_path / "out")], tmp_path / "in", engine=planned)
    assert [name for names in found for name in names] == [f"{number:04}.png" for number in range(count)]
    sizes = [len(names) for names in found]
    assert sizes == sorted(sizes, reverse=True)
    assert max(sizes) == max(min(2, count), min(64, count // parts))
    assert sizes[-1] <= 2
