"""Folders at URLs: the promises of a folder job hold there, over S3 and HTTP on this machine and in fsspec's memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

import i2i
from i2i.cli import explain
from i2i.errors import MAY_PASS
from i2i.images import Image, decode_image, encode_image, write_image
from i2i.runtime import Model, Options, translate_folder
from i2i.runtime.jobs import opening
from i2i.runtime.jobs.folder import MixedError, Outcome, StoppedError, Summary, translate_folders
from i2i.runtime.jobs.gpus import GpuError
from i2i.runtime.jobs.journal import Journal
from i2i.runtime.jobs.remote import location
from i2i.runtime.jobs.remote.location import RemoteError
from i2i.runtime.jobs.remote.staging import staging
from tests import tiny
from tests.conftest import ROOT, Command
from tests.runtime.jobs.remote_places import http_server, s3_server

NAMES = ["a.png", "b 1.png", "sub/c.png", "sub/deep er/d.png", "sub/%41.png", "z.bmp"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model(tiny.inverter(tmp_path_factory.mktemp("model") / "invert.onnx"), "cpu", 2, side_by_side=True)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Wait for nothing, and keep local copies where a test can look at them."""
    monkeypatch.setattr(location, "WAITS", (0.0, 0.0))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))


@pytest.fixture
def store() -> Iterator[MemoryFileSystem]:
    """The files of ``memory://``; those of the test's photos are in ``/in``."""
    files = fsspec.filesystem("memory")
    files.store.clear()
    files.pseudo_dirs[:] = [""]
    for seed, name in enumerate(NAMES):
        files.pipe_file(f"/in/{name}", data(seed, "BMP" if name.endswith("bmp") else "PNG"))
    yield files
    files.store.clear()


def pixels(seed: int, side: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side + seed % 3, 3), np.uint8)


def data(seed: int, format: str = "PNG", side: int = 8) -> bytes:
    return encode_image(Image(pixels(seed, side)), format)


def run(model: Model, source: object, target: object, **options: object) -> tuple[Summary, dict[str, str]]:
    """Return the counts, and the note of each image that failed by its URL."""
    failed: dict[str, str] = {}

    def report(outcome: Outcome, _: Summary) -> None:
        if outcome.status == "failed":
            failed[str(outcome.source)] = outcome.note

    return translate_folder(model, source, target, Options(**options), report), failed  # type: ignore[arg-type]


def results(store: MemoryFileSystem, root: str = "/out") -> dict[str, bytes]:
    """Return the results below a folder of the memory by name."""
    found = {path[len(root) + 1 :]: store.cat_file(path) for path in store.find(root)}
    return {name: content for name, content in found.items() if not name.startswith(".i2i-job")}


def inverted(content: bytes, seed: int) -> bool:
    return np.array_equal(decode_image(content, "result").pixels, 255 - pixels(seed))


def test_tree_names_and_pixels_and_what_is_done(model: Model, store: MemoryFileSystem, tmp_path: Path) -> None:
    assert run(model, "memory://in/", "memory://out/") == (Summary(total=6, done=6), {})
    found = results(store)
    assert sorted(found) == sorted(NAMES)
    assert all(inverted(found[name], seed) for seed, name in enumerate(NAMES))
    assert any(path.startswith("/out/.i2i-job+") for path in store.find("/out"))  # the journal is beside them
    assert run(model, "memory://in/", "memory://out/")[0] == Summary(total=6, skipped=6)

    store.pipe_file("/in/a.png", data(7))  # of the same size or not, it was written at another time
    store.rm_file("/out/z.bmp")
    assert run(model, "memory://in", "memory://out")[0] == Summary(total=6, done=2, skipped=4)
    assert inverted(results(store)["a.png"], 7)
    assert not list((tmp_path / "tmp").iterdir())


def test_between_a_url_and_this_machine(model: Model, store: MemoryFileSystem, tmp_path: Path) -> None:
    assert run(model, "memory://in", tmp_path / "down")[0].done == 6
    assert run(model, "memory://in", tmp_path / "down")[0].skipped == 6
    assert run(model, tmp_path / "down", "memory://up")[0].done == 6
    assert run(model, tmp_path / "down", "memory://up")[0].skipped == 6
    assert inverted((tmp_path / "down" / "sub" / "%41.png").read_bytes(), 4)
    assert results(store, "/up")["a.png"] == store.cat_file("/in/a.png")  # twice inverted
    assert run(model, f"file://{tmp_path}/down", f"file://{tmp_path}/plain")[0].done == 6
    assert (tmp_path / "plain" / ".i2i-job.jsonl").is_file()  # a local folder in every way


def test_a_folder_of_results_continues_where_it_was_copied_to(
    model: Model, store: MemoryFileSystem, tmp_path: Path
) -> None:
    """Journals in parts and in one file are read in both kinds of folders."""
    run(model, "memory://in", "memory://out")
    store.get("/out/", str(tmp_path / "copy") + "/", recursive=True)
    assert run(model, "memory://in", tmp_path / "copy")[0].skipped == 6
    store.rm_file("/in/a.png")
    store.pipe_file("/in/new.png", data(8))
    assert run(model, "memory://in", tmp_path / "copy")[0] == Summary(total=6, done=1, skipped=5)
    store.put(str(tmp_path / "copy") + "/", "/again", recursive=True)
    assert run(model, "memory://in", "memory://again")[0].skipped == 6


def test_a_result_put_before_a_kill_is_not_made_again(
    model: Model, store: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lines that say so are lost with the process; those written ahead are not."""
    puts: list[str] = []
    real = MemoryFileSystem.put_file

    def put(self: MemoryFileSystem, local: str, path: str, **more: object) -> None:
        real(self, local, path, **more)
        puts.append(path)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(MemoryFileSystem, "put_file", put)
    monkeypatch.setattr("i2i.runtime.jobs.folder.AHEAD", 4)
    for options in ({}, {"quality": 80, "overwrite": True}):
        puts.clear()
        with monkeypatch.context() as patched:
            patched.setattr(Journal, "done", killed)
            patched.setattr(opening, "TRANSFERS", 1)
            with pytest.raises(KeyboardInterrupt):
                run(model, "memory://in", "memory://out", workers=1, **options)
        made = len(puts)
        assert 1 <= made <= 2
        quality = {key: value for key, value in options.items() if key == "quality"}
        assert run(model, "memory://in", "memory://out", **quality)[0] == Summary(total=6, done=6 - made, skipped=made)
        assert sorted(puts) == [f"/out/{name}" for name in sorted(NAMES)]  # each once


def test_bad_files_are_named_by_their_urls(
    model: Model, store: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.pipe_file("/in/page.png", b"<html>")
    store.pipe_file("/in/gone.png", data(1))
    real = MemoryFileSystem.get_file

    def get(self: MemoryFileSystem, path: str, local: str, **more: object) -> None:
        if "gone" in path:
            raise FileNotFoundError(path)
        if path.endswith("a.png"):
            raise PermissionError("Access Denied")
        real(self, path, local, **more)

    monkeypatch.setattr(MemoryFileSystem, "get_file", get)
    summary, failed = run(model, "memory://in", "memory://out")
    assert (summary.done, summary.failed) == (5, 3)
    assert failed["memory://in/a.png"] == "memory://in/a.png: access denied: Access Denied"
    assert failed["memory://in/gone.png"] == "memory://in/gone.png: not found"
    assert failed["memory://in/page.png"].startswith("memory://in/page.png: this is HTML")
    assert len(failed) == 3
    monkeypatch.undo()
    assert run(model, "memory://in", "memory://out")[0] == Summary(total=8, done=2, skipped=5, failed=1)


def test_names_that_lead_out_of_a_folder_are_refused(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bucket may contain such keys."""
    entries = {"in": ["in/../evil.png", "in//x.png", "in/ok.png", "in/.hidden.png", "in/notes.txt"]}

    class Odd(MemoryFileSystem):
        protocol = "odd"

        def ls(self, path: str, detail: bool = True, **_: object) -> list[dict[str, object]]:
            return [{"name": name, "type": "file", "size": 9} for name in entries[path.strip("/")]]

        def get_file(self, path: str, local: str, **_: object) -> None:
            Path(local).write_bytes(data(0))

        @classmethod
        def _strip_protocol(cls, path: str) -> str:
            return path.removeprefix("odd://")

    fsspec.register_implementation("odd", Odd, clobber=True)
    summary, failed = run(model, "odd://in", tmp_path / "deep" / "out")
    assert (summary.done, summary.failed) == (1, 2)
    assert set(failed) == {"odd://in/../evil.png", "odd://in//x.png"}
    assert all("rename it" in note for note in failed.values())
    assert not list((tmp_path / "deep").glob("*.png"))


def test_collisions_and_originals_are_refused(model: Model, store: MemoryFileSystem) -> None:
    with pytest.raises(ValueError, match="the output folder is the input folder"):
        run(model, "memory://in", "memory://in/")
    assert run(model, "memory://in", "memory://in/out")[0].done == 6
    assert run(model, "memory://in", "memory://in/out")[0] == Summary(total=6, skipped=6)  # not its own results
    store.pipe_file("/in/in/a.png", data(1))
    with pytest.raises(ValueError, match=r"memory://in/a\.png is one of the files to translate"):
        run(model, "memory://in", "memory://")
    store.pipe_file("/in/a.jpg", data(1, "JPEG"))
    with pytest.raises(ValueError, match=r"a\.jpg and a\.png would both be written as a\.webp"):
        run(model, "memory://in", "memory://x", format="webp")
    store.pipe_file("/theirs/a.png", b"theirs")
    with pytest.raises(ValueError, match=r"memory://theirs already contains 1 file .* no earlier job wrote \(a\.png\)"):
        run(model, "memory://in", "memory://theirs")
    assert store.cat_file("/theirs/a.png") == b"theirs"


def test_results_of_other_settings_are_refused(model: Model, store: MemoryFileSystem) -> None:
    run(model, "memory://in", "memory://out")
    with pytest.raises(MixedError, match=r"memory://out has results .* quality was 95 and is 80"):
        run(model, "memory://in", "memory://out", quality=80)
    assert run(model, "memory://in", "memory://out", quality=80, overwrite=True)[0].done == 6
    assert run(model, "memory://in", "memory://out", quality=80)[0].skipped == 6


def test_shards_share_a_remote_folder(model: Model, store: MemoryFileSystem) -> None:
    done = [run(model, "memory://in", "memory://out", shard=f"{part}/3")[0].done for part in (1, 2, 3)]
    assert sum(done) == 6
    assert sorted(results(store)) == sorted(NAMES)
    assert run(model, "memory://in", "memory://out")[0].skipped == 6


def test_several_models_fetch_each_image_once(
    model: Model, store: MemoryFileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []
    real = MemoryFileSystem.get_file

    def get(self: MemoryFileSystem, path: str, local: str, **more: object) -> None:
        fetched.append(path)
        real(self, path, local, **more)

    monkeypatch.setattr(MemoryFileSystem, "get_file", get)
    other = Model(tiny.inverter(tmp_path / "half.onnx", weights=-0.5), "cpu", 1, side_by_side=True)
    pairs = [(model, "memory://out/one"), (other, tmp_path / "two")]
    assert translate_folders(pairs, "memory://in").done == 12  # type: ignore[arg-type]
    assert len(fetched) == len(set(fetched)) == 6
    assert translate_folders(pairs, "memory://in").skipped == 12  # type: ignore[arg-type]
    assert len(fetched) == 6
    assert set(results(store, "/out/one")) == set(NAMES)
    assert (tmp_path / "two" / "sub" / "c.png").is_file()


def test_few_files_are_on_the_disk_at_once(
    model: Model, store: MemoryFileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(100):
        store.pipe_file(f"/in/many/{number}.png", data(number))
    most, lock = [0], threading.Lock()
    real = MemoryFileSystem.get_file

    def get(self: MemoryFileSystem, path: str, local: str, **more: object) -> None:
        real(self, path, local, **more)
        with lock:
            names = [name for _, _, names in os.walk(tmp_path / "tmp") for name in names]
            most[0] = max(most[0], sum(name.endswith(".png") for name in names))

    monkeypatch.setattr(MemoryFileSystem, "get_file", get)
    monkeypatch.setattr(opening, "TRANSFERS", 3)
    assert run(model, "memory://in", "memory://out", workers=2)[0].done == 106
    assert 1 <= most[0] <= 2 * (2 + 3)  # sources and results


def test_the_network_is_waited_for_while_others_translate(
    model: Model, store: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one worker more than one file is on its way."""
    all_six = threading.Barrier(6)
    real = MemoryFileSystem.get_file

    def get(self: MemoryFileSystem, path: str, local: str, **more: object) -> None:
        all_six.wait(60)
        real(self, path, local, **more)

    monkeypatch.setattr(MemoryFileSystem, "get_file", get)
    assert run(model, "memory://in", "memory://out", workers=1)[0].done == 6


def test_what_no_file_can_pass_stops_the_job(
    model: Model, store: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError("Access Denied")

    with monkeypatch.context() as patched:
        patched.setattr(MemoryFileSystem, "put_file", denied)
        with pytest.raises(StoppedError) as caught:
            run(model, "memory://in", "memory://out")
    assert "access denied: Access Denied: stopped here; run the same command again" in str(caught.value)
    with monkeypatch.context() as patched:
        patched.setattr(MemoryFileSystem, "pipe_file", denied)
        with pytest.raises(RemoteError, match="memory://out: access denied: Access Denied"):
            run(model, "memory://in", "memory://out")
    with monkeypatch.context() as patched:
        patched.setattr(MemoryFileSystem, "ls", denied)
        with pytest.raises(RemoteError, match="memory://in: access denied: Access Denied"):
            run(model, "memory://in", "memory://out")
    assert run(model, "memory://in", "memory://out")[0].done == 6


def test_a_connection_that_fails_is_tried_again(
    model: Model, store: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: dict[str, int] = {}
    real = MemoryFileSystem.get_file

    def get(self: MemoryFileSystem, path: str, local: str, **more: object) -> None:
        calls[path] = calls.get(path, 0) + 1
        if calls[path] < 3 or path.endswith("a.png"):
            raise ConnectionResetError("Connection reset by peer")
        real(self, path, local, **more)

    monkeypatch.setattr(MemoryFileSystem, "get_file", get)
    summary, failed = run(model, "memory://in", "memory://out")
    assert (summary.done, failed) == (5, {"memory://in/a.png": "memory://in/a.png: Connection reset by peer"})
    assert set(calls.values()) == {3}


class Shared(LocalFileSystem):
    """A file system whose files are visible while they are written, as over SFTP."""

    protocol = "shared"
    events: tuple[tuple[str, str], ...] = ()

    def put_file(self, local: str, path: str, **more: object) -> None:
        Shared.events += (("put", path),)
        super().put_file(local, path, **more)

    def mv(self, old: str, new: str, **more: object) -> None:
        Shared.events += (("mv", new),)
        super().mv(old, new, **more)

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(path).removeprefix("shared://").rstrip("/")


def test_elsewhere_than_in_a_bucket_results_are_renamed_when_they_are_complete(
    model: Model, store: MemoryFileSystem, tmp_path: Path
) -> None:
    fsspec.register_implementation("shared", Shared, clobber=True)
    Shared.events = ()
    assert run(model, "memory://in", f"shared://{tmp_path}/out")[0].done == 6
    put = [path for event, path in Shared.events if event == "put"]
    moved = {path for event, path in Shared.events if event == "mv"}
    assert len(put) == 6
    assert all(path.endswith(".part") for path in put)
    assert moved >= {f"{tmp_path}/out/{name}" for name in NAMES}
    assert inverted((tmp_path / "out" / "sub" / "deep er" / "d.png").read_bytes(), 3)
    assert not list((tmp_path / "out").rglob("*.part"))
    assert run(model, "memory://in", f"shared://{tmp_path}/out")[0].skipped == 6


class Refusing(Shared):
    """Renaming replaces no file, as over SMB."""

    def mv(self, old: str, new: str, **more: object) -> None:
        if os.path.exists(new):
            raise FileExistsError(new)
        super().mv(old, new, **more)


class Silent(Shared):
    """Renaming replaces no file, without an error, as over WebHDFS."""

    def mv(self, old: str, new: str, **more: object) -> None:
        if not os.path.exists(new):
            super().mv(old, new, **more)


class Stuck(Shared):
    """Renaming does nothing."""

    def mv(self, old: str, new: str, **more: object) -> None:
        pass


@pytest.mark.parametrize("store_of_results", [Refusing, Silent])
def test_results_are_replaced_where_renaming_replaces_nothing(
    model: Model, store: MemoryFileSystem, tmp_path: Path, store_of_results: type[Shared]
) -> None:
    fsspec.register_implementation("shared", store_of_results, clobber=True)
    assert run(model, "memory://in", f"shared://{tmp_path}/out")[0].done == 6
    store.pipe_file("/in/a.png", data(7))
    assert run(model, "memory://in", f"shared://{tmp_path}/out")[0] == Summary(total=6, done=1, skipped=5)
    assert inverted((tmp_path / "out" / "a.png").read_bytes(), 7)
    assert not list((tmp_path / "out").rglob("*.part"))


def test_a_store_that_renames_nothing_is_named(model: Model, store: MemoryFileSystem, tmp_path: Path) -> None:
    fsspec.register_implementation("shared", Stuck, clobber=True)
    with pytest.raises(RemoteError, match=r"it was uploaded as \.i2i-.*\.part, and the store has not renamed it"):
        run(model, "memory://in", f"shared://{tmp_path}/out")


def test_over_ftp_one_file_is_transferred_at_a_time(model: Model, store: MemoryFileSystem, tmp_path: Path) -> None:
    busy, clashes = threading.Lock(), []

    class OneConnection(MemoryFileSystem):
        protocol = "ftp"

        def get_file(self, path: str, local: str, **more: object) -> None:
            if not busy.acquire(blocking=False):
                clashes.append(path)
                return
            time.sleep(0.02)
            super().get_file(path, local, **more)
            busy.release()

        @classmethod
        def _strip_protocol(cls, path: str) -> str:
            return MemoryFileSystem._strip_protocol(path.replace("ftp://", "memory://"))

    fsspec.register_implementation("ftp", OneConnection, clobber=True)
    assert run(model, "ftp://in", tmp_path / "out") == (Summary(total=6, done=6), {})
    assert not clashes


@pytest.mark.parametrize("key", ["LastModified", "modify", "modificationTime"])
def test_a_source_of_another_time_is_another_version(key: str) -> None:
    first, second = (location._state({"size": 3, key: time}) for time in ("20240101000000", "20240101000001"))
    assert first != second


def test_the_exit_status_says_whether_a_fault_may_pass(
    model: Model, store: MemoryFileSystem, i2i_inside: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["translate", "memory://in/", "memory://out/", "-m", model.path]
    errors = {ConnectionResetError("Connection reset by peer"): MAY_PASS, PermissionError("Access Denied"): 2}
    for error, status in errors.items():

        def fails(*_: object, error: Exception = error, **__: object) -> None:
            raise error

        for call in ("ls", "pipe_file"):
            with monkeypatch.context() as patched:
                patched.setattr(MemoryFileSystem, call, fails)
                done = i2i_inside(*words)
            assert done.returncode == status, done.stderr
        with monkeypatch.context() as patched:
            patched.setattr(MemoryFileSystem, "put_file", fails)
            done = i2i_inside(*words)
        assert done.returncode == MAY_PASS, done.stderr
        assert "run the same command again to go on" in done.stderr
    assert explain(StoppedError(28, "No space left on device", "x.png")) == (MAY_PASS, "x.png: No space left on device")
    assert explain(GpuError("a process was ended")) == (MAY_PASS, "a process was ended")


def test_a_full_disk_of_this_machine_stops_the_job(
    model: Model, store: MemoryFileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(MemoryFileSystem, "get_file", full)
        with pytest.raises(StoppedError, match="No space left on device: stopped here; run the same command again"):
            run(model, "memory://in", tmp_path / "out")
    assert run(model, "memory://in", tmp_path / "out")[0].done == 6


def test_s3_names_with_an_empty_part_are_refused(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import boto3

    with s3_server() as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        client = boto3.client(
            "s3", endpoint_url=variables["AWS_ENDPOINT_URL"], region_name="us-east-1", aws_access_key_id="key",
            aws_secret_access_key="secret",
        )  # fmt: skip
        for key in ("in/", "in/a/", "in/ok.png", "in/a/ok.png", "in/a//b.png", "top//c.png"):
            client.put_object(Bucket="bucket", Key=key, Body=data(0) if key.endswith("png") else b"")
        summary, failed = run(model, "s3://bucket/in", tmp_path / "out")
        assert (summary.done, summary.failed) == (2, 1)
        note = "no folder can contain a file of this name; rename it"
        assert failed == {"s3://bucket/in/a//": f"s3://bucket/in/a//: {note}"}
        assert set(run(model, "s3://bucket/top", tmp_path / "none")[1]) == {"s3://bucket/top//"}


def test_copies_of_a_killed_job_are_deleted(tmp_path: Path) -> None:
    left = tmp_path / "tmp" / "i2i-stage-left"
    left.mkdir()
    (left / "lock").touch()
    (left / "half.png").touch()
    with staging() as first, staging() as second:
        assert not left.exists()
        assert first.is_dir()  # in use, so the second leaves it
        assert second.is_dir()
    assert not first.exists()


STAGES = """
import sys
from i2i.runtime.jobs.remote.staging import staging
for _ in range(300):
    with staging() as place:
        (place / "file").touch()
"""


def test_a_folder_that_is_about_to_be_locked_is_not_deleted(tmp_path: Path) -> None:
    """Processes that begin together, as the workers of a cluster do."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "tmp")}
    together = [
        subprocess.Popen([sys.executable, "-c", STAGES], env=environment, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert [(process.communicate()[1], process.returncode) for process in together] == [("", 0)] * 3
    assert not list((tmp_path / "tmp").iterdir())


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("memory://nothing", "memory://nothing: not found"),
        ("memory://in/a.png/", "memory://in/a.png: a file, and a folder is expected"),
        ("nowhere://x", "nowhere://x: Protocol not known: nowhere"),
        ("gs://x/y", 'gs://x/y: Please install gcsfs to access Google Storage; `pip install "i2i[remote]"` covers s3'),
    ],
)
def test_a_url_that_cannot_be_opened(
    model: Model, store: MemoryFileSystem, tmp_path: Path, url: str, words: str
) -> None:
    with pytest.raises(RemoteError) as caught:
        run(model, url, tmp_path / "out")
    assert str(caught.value).startswith(words)


def test_from_python(model: Model, store: MemoryFileSystem, tmp_path: Path) -> None:
    assert str(i2i.translate("memory://in/", "memory://out/", model)) == "memory://out"
    assert len(results(store)) == 6
    store.pipe_file("/in/bad.png", b"bad")
    with pytest.raises(i2i.I2IError, match=r"1 of 7 images failed:\nmemory://in/bad\.png: not an image"):
        i2i.translate("memory://in/", tmp_path / "out", model)
    write_image(tmp_path / "one.png", Image(pixels(0)))
    with pytest.raises(ValueError, match="a URL is for the results of a folder"):
        i2i.translate(tmp_path / "one.png", "memory://out/", model)


def test_the_command(store: MemoryFileSystem, model: Model, tmp_path: Path, i2i_inside: Command) -> None:
    store.pipe_file("/in/bad.png", b"bad")
    words = ["translate", "memory://in/", "memory://out/", "-m", model.path]
    done = i2i_inside(*words)
    assert done.returncode == 1
    assert "memory://out: 6 translated, 0 done before, 1 failed" in done.stdout
    assert "failed: memory://in/bad.png: not an image" in done.stderr
    for refused, reason in {
        ("translate", "memory://in/", "-m", str(model.path)): "name the folder of the results",
        (*map(str, words), "--watch"): "--watch is for folders of this machine, and a URL is given",
        ("translate", str(model.path), "memory://out/"): "a URL is for the results of a folder of images",
        ("translate", "memory://in/", "memory://out/", "--videos"): "--videos is for folders",
        (*map(str, words), "--derive", str(tmp_path / "d")): "--derive is for folders of this machine",
    }.items():
        done = i2i_inside(*refused)
        assert done.returncode == 2
        assert reason in done.stderr


def test_without_fsspec_one_sentence_names_the_extra(
    store: MemoryFileSystem, model: Model, i2i_inside: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    monkeypatch.setitem(sys.modules, "fsspec", None)
    done = i2i_inside("translate", "memory://in/", "memory://out/", "-m", model.path)
    assert done.returncode == 2
    assert done.stderr.endswith('error: this needs fsspec, which is not installed: pip install "i2i[remote]"\n')


def test_an_http_listing(model: Model, tmp_path: Path) -> None:
    root = tmp_path / "www"
    for seed, name in enumerate(["a b.png", "sub/c.png", "sub/ü/d.png", "shaky.png", "secret.png", "../outside.png"]):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(root / name, Image(pixels(seed)))
    (root / "sub" / "bad.png").write_bytes(b"bad")
    page = '<a href="/">up</a><a href="../">up</a><a href="?C=N">sort</a><a href="e.png">e</a>'
    (root / "page").mkdir()
    (root / "page" / "index.html").write_text(page)
    write_image(root / "page" / "e.png", Image(pixels(9)))
    with http_server(root) as url:
        summary, failed = run(model, f"{url}/", tmp_path / "out")
        assert (summary.done, summary.failed) == (5, 2)
        assert failed[f"{url}/secret.png"] == f"{url}/secret.png: HTTP status 403 Forbidden (access denied)"
        assert failed[f"{url}/sub/bad.png"].startswith(f"{url}/sub/bad.png: not an image")
        found = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.png")}
        assert found == {"a b.png", "sub/c.png", "sub/ü/d.png", "shaky.png", "page/e.png"}
        assert run(model, f"{url}/", tmp_path / "out")[0] == Summary(total=7, skipped=5, failed=2)
        assert run(model, f"{url}/page", tmp_path / "page")[0].done == 1  # nothing above is visited
        with pytest.raises(RemoteError, match="results cannot be written there"):
            run(model, root, f"{url}/out")
        with pytest.raises(RemoteError, match="not found"):
            run(model, f"{url}/nowhere/", tmp_path / "none")


# Kills itself when so many results have been put.
KILLED = """
import os, signal, sys
from s3fs import S3FileSystem
left, real = int(sys.argv.pop(1)), S3FileSystem._put_file
async def put(self, local, path, *rest, **more):
    global left
    await real(self, local, path, *rest, **more)
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
S3FileSystem._put_file = put
from i2i.cli import main
main()
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs POSIX signals")
@pytest.mark.parametrize("kills", [(9,), pytest.param((1, 9, 11, 5), marks=pytest.mark.slow)], ids=len)
def test_s3_with_kills_in_the_middle(model: Model, tmp_path: Path, kills: tuple[int, ...]) -> None:
    """Each result is put exactly once, whatever was killed; a bucket with versions keeps every object that was put."""
    import boto3

    count = 40 * len(kills)
    for number in range(count):
        path = tmp_path / "in" / f"{number % 3}" / f"{number:02} ä.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, Image(pixels(number)))
    with s3_server() as variables:
        environment = {**os.environ, **variables, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "tmp")}
        client = boto3.client(
            "s3", endpoint_url=variables["AWS_ENDPOINT_URL"], region_name="us-east-1", aws_access_key_id="key",
            aws_secret_access_key="secret",
        )  # fmt: skip
        client.put_object(Bucket="bucket", Key="in/", Body=b"")  # as consoles make folders
        client.put_object(Bucket="bucket", Key="in/1/", Body=b"")
        client.put_bucket_versioning(Bucket="bucket", VersioningConfiguration={"Status": "Enabled"})

        def command(source: object, target: str, *program: str) -> subprocess.CompletedProcess[str]:
            words = [sys.executable, *(program or ("-m", "i2i")), "translate", str(source), target]
            return subprocess.run(
                [*words, "-m", str(model.path)], env=environment, capture_output=True, text=True, check=False
            )

        def versions() -> dict[str, int]:
            listed = client.list_object_versions(Bucket="bucket", Prefix="out/")
            keys = [version["Key"] for version in listed.get("Versions", ()) if ".i2i-job" not in version["Key"]]
            return {key: keys.count(key) for key in keys}

        done = command(tmp_path / "in", "s3://bucket/in/")
        assert done.returncode == 0, done.stderr
        for kill in kills:
            before = versions()
            done = command("s3://bucket/in/", "s3://bucket/out/", "-c", KILLED, str(kill))
            assert done.returncode == -signal.SIGKILL, done.stderr
            assert len(versions()) >= len(before) + kill
        left = count - len(versions())
        done = command("s3://bucket/in/", "s3://bucket/out/")
        assert done.returncode == 0, done.stderr
        assert f"s3://bucket/out: {left} translated, {count - left} done before, 0 failed" in done.stdout
        assert set(versions().values()) == {1}
        assert len(versions()) == count
        for number in range(count):
            key = f"out/{number % 3}/{number:02} ä.png"
            content = client.get_object(Bucket="bucket", Key=key)["Body"].read()
            np.testing.assert_array_equal(decode_image(content, key).pixels, pixels(number))  # twice inverted
        assert not list((tmp_path / "tmp").iterdir())  # nor what the killed ones left

        done = command("s3://nothing/in/", "s3://bucket/out/")
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.endswith("error: s3://nothing/in: not found: The specified bucket does not exist\n")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            del environment[name]
        environment |= {"AWS_EC2_METADATA_DISABLED": "true", "HOME": str(tmp_path)}
        done = command("s3://bucket/in/", "s3://bucket/out/")
        assert done.returncode == 2
        assert "error: s3://bucket/in: no credentials were found; set them" in done.stderr


SHARED_BY_TWO = """
from i2i.runtime.jobs import gpus
gpus.chosen = lambda wanted, _: ["0", "1"] if wanted else []
if __name__ == "__main__":
    from i2i.cli import main
    main()
"""


@pytest.mark.slow
def test_processes_of_several_cards_share_a_bucket(model: Model, tmp_path: Path) -> None:
    """Each on the processor here, with a journal of its own."""
    import boto3

    (tmp_path / "in").mkdir()
    for number in range(60):
        write_image(tmp_path / "in" / f"{number:02}.png", Image(pixels(number)))
    (tmp_path / "program.py").write_text(SHARED_BY_TWO)
    with s3_server() as variables:
        environment = {**os.environ, **variables, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "tmp")}
        for target, source in (("s3://bucket/in", tmp_path / "in"), ("s3://bucket/out", "s3://bucket/in")):
            words = [sys.executable, tmp_path / "program.py", "translate", source, target, "-m", model.path]
            words += ["--gpus", "2", "--provider", "cpu"]
            for counts in ("60 translated, 0 done before", "0 translated, 60 done before"):
                done = subprocess.run([*map(str, words)], env=environment, capture_output=True, text=True)
                assert done.returncode == 0, done.stderr
                assert f"{target}: {counts}, 0 failed" in done.stdout
        client = boto3.client(
            "s3", endpoint_url=variables["AWS_ENDPOINT_URL"], region_name="us-east-1", aws_access_key_id="key",
            aws_secret_access_key="secret",
        )  # fmt: skip
        keys = [each["Key"] for each in client.list_objects_v2(Bucket="bucket", Prefix="out/")["Contents"]]
        journals = {key.partition("+")[0] for key in keys if ".i2i-job" in key}
        assert journals == {"out/.i2i-job.1-of-2", "out/.i2i-job.2-of-2"}
        assert len([key for key in keys if key.endswith(".png")]) == 60
    assert not list((tmp_path / "tmp").iterdir())
