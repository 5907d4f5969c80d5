"""Translation of folders: results, properties that are kept, and second runs."""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
import pytest
from PIL import ImageCms

from i2i.images import Image, read_image, write_image
from i2i.runtime import Model, ModelError, Options, translate_folder
from i2i.runtime.jobs import folder, workers
from i2i.runtime.jobs.folder import MixedError, Outcome, Summary
from i2i.runtime.jobs.image_file import StoppedError
from i2i.runtime.jobs.journal import JOURNAL, Journal
from tests import tiny


def picture(*shape: int, seed: int = 0, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, shape, dtype)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model(tiny.inverter(tmp_path_factory.mktemp("model") / "invert.onnx"), "cpu", 2, side_by_side=True)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Six images in a tree, of several formats and sizes."""
    root = tmp_path / "photos"
    names = ["a.png", "b.bmp", "sub/c.tif", "sub/deep er/d.webp", "sub/e.PNG", "f.ppm"]
    for seed, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        format = "PNG" if name.endswith("PNG") else None
        write_image(root / name, Image(picture(9 + seed, 8, 3, seed=seed)), format, quality=100)
    return root


def run(model: Model, source: Path, target: Path, **options: object) -> tuple[Summary, list[Outcome]]:
    outcomes: list[Outcome] = []
    summary = translate_folder(model, source, target, Options(**options), lambda outcome, _: outcomes.append(outcome))
    return summary, outcomes


def files(root: Path) -> dict[str, bytes]:
    """Every file by its relative name, hidden ones included, the record aside."""
    paths = (path for path in root.rglob("*") if path.is_file() and path.name != JOURNAL)
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


def test_tree_names_formats_and_pixels(model: Model, photos: Path, tmp_path: Path) -> None:
    before = files(photos)
    summary, _ = run(model, photos, tmp_path / "out")
    assert summary == Summary(total=6, done=6)
    assert set(files(tmp_path / "out")) == set(before)
    assert files(photos) == before
    for name in before:
        original, result = read_image(photos / name), read_image(tmp_path / "out" / name)
        assert result.format == original.format
        if name != "sub/deep er/d.webp":  # lossy at the quality of 95
            np.testing.assert_array_equal(result.pixels, 255 - original.pixels)


def test_another_format_changes_the_suffix(model: Model, photos: Path, tmp_path: Path) -> None:
    summary, _ = run(model, photos, tmp_path / "out", format="jpeg", quality=50)
    assert summary.done == 6
    assert "sub/deep er/d.jpg" in files(tmp_path / "out")
    assert read_image(tmp_path / "out" / "a.jpg").format == "JPEG"
    with pytest.raises(ValueError, match="cannot write HEIC files; choose one of PNG, JPEG"):
        Options(format="heic")


def test_the_format_is_that_of_the_content_and_a_gif_becomes_a_png(model: Model, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    write_image(source / "really_png.jpg", Image(picture(8, 8, 3), picture(8, 8)), "PNG")
    PIL.Image.fromarray(picture(8, 8)).save(source / "x.gif")
    write_image(source / "x.png", Image(picture(8, 8, 3)))
    assert run(model, source, tmp_path / "out")[0].done == 3
    assert read_image(tmp_path / "out" / "really_png.jpg").format == "PNG"
    assert read_image(tmp_path / "out" / "really_png.jpg").alpha is not None
    assert read_image(tmp_path / "out" / "x.gif.png").format == "PNG"


def test_orientation_alpha_grey_depth_and_profile_survive(model: Model, tmp_path: Path) -> None:
    source, icc = tmp_path / "in", ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    source.mkdir()
    write_image(source / "alpha.png", Image(picture(6, 5, 3), picture(6, 5, seed=1)))
    write_image(source / "grey.png", Image(picture(6, 5, 1)))
    write_image(source / "deep.png", Image(picture(6, 5, 3, dtype=np.uint16) // 257 * 257, None))
    write_image(source / "profile.png", Image(picture(6, 5, 3)))
    with_profile(source / "profile.png", icc)
    turned = cv2.imencode(".jpg", picture(40, 24, 3))[1].tobytes()
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    (source / "turned.jpg").write_bytes(
        turned[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + turned[2:]
    )
    assert run(model, source, tmp_path / "out", background=0)[0].done == 5
    read = {path.stem: (read_image(path), read_image(tmp_path / "out" / path.name)) for path in source.iterdir()}

    original, result = read["alpha"]
    np.testing.assert_array_equal(result.alpha, original.alpha)
    opaque = original.alpha == 255
    np.testing.assert_array_equal(result.pixels[opaque], 255 - original.pixels[opaque])
    original, result = read["grey"]
    assert result.channels == 1
    np.testing.assert_array_equal(result.pixels, 255 - original.pixels)
    original, result = read["deep"]
    assert result.bits == 16
    np.testing.assert_array_equal(result.pixels, 65535 - original.pixels)
    assert read["profile"][0].icc == read["profile"][1].icc == icc
    original, result = read["turned"]
    assert original.pixels.shape == result.pixels.shape == (24, 40, 3)  # upright
    assert float(np.abs(result.pixels.astype(int) - (255 - original.pixels.astype(int))).mean()) < 12  # noise in JPEG
    assert b"Exif" not in (tmp_path / "out" / "turned.jpg").read_bytes()


def with_profile(path: Path, icc: bytes) -> None:
    with PIL.Image.open(path) as image:
        image.load()
    image.save(path, icc_profile=icc)


def test_a_16_bit_model_keeps_every_level(tmp_path: Path) -> None:
    deep = Model(tiny.inverter(tmp_path / "deep.onnx", tiny.DEEP_GREY), "cpu", 1, side_by_side=True)
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1)
    (tmp_path / "in").mkdir()
    write_image(tmp_path / "in" / "ramp.png", Image(ramp))
    write_image(tmp_path / "in" / "ramp.tif", Image(ramp))
    assert run(deep, tmp_path / "in", tmp_path / "out")[0].done == 2
    for name in ("ramp.png", "ramp.tif"):
        np.testing.assert_array_equal(read_image(tmp_path / "out" / name).pixels, 65535 - ramp)


def test_grey_gains_colour_only_from_the_model(tmp_path: Path) -> None:
    tinting = Model(tiny.tinted(tmp_path / "tint.onnx"), "cpu", 1, side_by_side=True)
    (tmp_path / "in").mkdir()
    write_image(tmp_path / "in" / "grey.png", Image(np.full((4, 4, 1), 9, np.uint8), icc=b"grey profile"))
    assert run(tinting, tmp_path / "in", tmp_path / "out")[0].done == 1
    result = read_image(tmp_path / "out" / "grey.png")
    np.testing.assert_array_equal(result.pixels[0, 0], [10, 11, 12])
    assert result.icc is None  # a profile of grey does not describe colours


BAD = {
    "empty.png": b"",
    "page.jpg": b"<html>not found</html>",
    "random.webp": np.random.default_rng(0).bytes(400),
    "huge.png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\x7f\xff\xff\xff\x7f\xff\xff\xff\x08\x02\0\0\0\xfc\x18\xed\xa3",
}


def test_a_bad_file_is_named_and_the_others_go_on(model: Model, photos: Path, tmp_path: Path) -> None:
    for name, content in BAD.items():
        (photos / name).write_bytes(content)
    half = (photos / "a.png").read_bytes()
    (photos / "half.png").write_bytes(half[: len(half) // 2])
    (photos / "dangling.png").symlink_to("nowhere.png")
    summary, outcomes = run(model, photos, tmp_path / "out")
    assert (summary.total, summary.done, summary.failed) == (12, 6, 6)
    failed = {outcome.source.name: outcome.note for outcome in outcomes if outcome.status == "failed"}
    assert set(failed) == {*BAD, "half.png", "dangling.png"}
    assert all(
        note.startswith(f"{photos / name}: ") and len(note) > len(f"{photos / name}: ") + 5
        for name, note in failed.items()
    )
    assert len(files(tmp_path / "out")) == 6


def test_a_result_that_is_not_finite_leaves_no_picture(tmp_path: Path) -> None:
    poisoned = Model(tiny.checkerboard(tmp_path / "m.onnx"), "cpu", 2, side_by_side=True)
    (tmp_path / "in").mkdir()
    write_image(tmp_path / "in" / "white.png", Image(np.full((20, 20, 3), 255, np.uint8)))
    write_image(tmp_path / "in" / "other.png", Image(picture(20, 20, 3)))
    summary, outcomes = run(poisoned, tmp_path / "in", tmp_path / "out")
    assert (summary.done, summary.failed) == (1, 1)
    assert any("white.png: non-finite output" in outcome.note for outcome in outcomes)
    assert set(files(tmp_path / "out")) == {"other.png"}


def vanished(source: Path) -> None:
    source.unlink()


def beyond_the_memory(source: Path) -> None:
    raise MemoryError


@pytest.mark.parametrize(
    ("event", "reason"),
    [(vanished, "No such file or directory"), (beyond_the_memory, "it does not fit into the memory")],
)
def test_a_file_that_is_gone_or_too_large_is_an_error_of_that_file(
    model: Model, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, event: Callable, reason: str
) -> None:
    real = workers.read_image

    def read(source: Path, *rest: object) -> Image:
        if source.name == "b.bmp":
            event(source)
        return real(source, *rest)

    monkeypatch.setattr(workers, "read_image", read)
    summary, outcomes = run(model, photos, tmp_path / "out")
    assert (summary.done, summary.failed) == (5, 1)
    (note,) = [outcome.note for outcome in outcomes if outcome.note]
    assert note.startswith(f"{photos / 'b.bmp'}: {reason}")


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="needs POSIX permissions")
def test_folders_and_files_without_permission_are_named() -> None:
    import tempfile

    place = Path(tempfile.mkdtemp())  # pytest's own folders are closed to other users
    nobody = 65534
    try:
        for name in ("open.png", "closed.png", "locked/inside.png"):
            (place / "in" / name).parent.mkdir(parents=True, exist_ok=True)
            write_image(place / "in" / name, Image(picture(4, 4, 3)))
        (place / "out").mkdir()
        model = Model(tiny.inverter(place / "invert.onnx"), "cpu", 1, side_by_side=True)
        if os.geteuid() == 0:  # nothing is closed to root
            for path in (place, *place.rglob("*")):
                os.chown(path, nobody, nobody)
        (place / "in" / "closed.png").chmod(0)
        (place / "in" / "locked").chmod(0)
        user = os.geteuid()
        if user == 0:
            os.seteuid(nobody)
        try:
            summary, outcomes = run(model, place / "in", place / "out")
        finally:
            os.seteuid(user)
        assert (summary.total, summary.done, summary.failed) == (3, 1, 2)
        notes = sorted(outcome.note for outcome in outcomes if outcome.status == "failed")
        assert notes[0] == f"{place / 'in' / 'closed.png'}: Permission denied"
        assert notes[1].startswith(f"{place / 'in' / 'locked'}: ")
        assert "Permission denied" in notes[1]
    finally:
        (place / "in" / "locked").chmod(0o700)
        shutil.rmtree(place)


def test_run_again_it_does_only_what_is_not_done(model: Model, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(model, photos, out)
    first = {name: (out / name).stat().st_mtime_ns for name in files(out)}
    summary, _ = run(model, photos, out)
    assert summary == Summary(total=6, skipped=6)
    assert {name: (out / name).stat().st_mtime_ns for name in files(out)} == first

    os.utime(photos / "a.png", ns=(1, 1))  # a source that changed, by its time ...
    when = (photos / "b.bmp").stat().st_mtime_ns
    write_image(photos / "b.bmp", Image(picture(30, 30, 3)))  # ... and by its size
    os.utime(photos / "b.bmp", ns=(when, when))
    (out / "sub" / "c.tif").unlink()  # a result that is gone, or cut
    (out / "f.ppm").write_bytes(b"")
    summary, outcomes = run(model, photos, out)
    assert (summary.done, summary.skipped) == (4, 2)
    assert {outcome.source.name for outcome in outcomes if outcome.status == "done"} == {
        "a.png",
        "b.bmp",
        "c.tif",
        "f.ppm",
    }
    np.testing.assert_array_equal(read_image(out / "b.bmp").pixels, 255 - picture(30, 30, 3))


def test_results_of_another_model_or_setting_are_refused(model: Model, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(model, photos, out)
    other = Model(tiny.inverter(tmp_path / "other.onnx", weights=-0.5), "cpu", 1, side_by_side=True)
    before = files(out)
    with pytest.raises(MixedError, match=r"out has .*: model was invert\.onnx and is other\.onnx\. .* --overwrite to"):
        run(other, photos, out)
    with pytest.raises(MixedError, match="format was None and is PNG; quality was 95 and is 80"):
        run(model, photos, out, quality=80, format="png")
    assert files(out) == before
    assert run(other, photos, out, overwrite=True)[0].done == 6
    assert int(read_image(out / "a.png").pixels.min()) >= 127
    assert run(other, photos, out)[0].skipped == 6  # it is now the job of this folder
    assert run(other, photos, out, quality=80, overwrite=True)[0].done == 6
    assert run(other, photos, out, quality=80)[0].skipped == 6
    with pytest.raises(MixedError, match="quality was 80 and is 95"):
        run(other, photos, out)


def test_a_job_with_overwrite_is_continued_without_it(model: Model, photos: Path, tmp_path: Path) -> None:
    def interrupt(outcome: Outcome, summary: Summary) -> None:
        raise KeyboardInterrupt

    run(model, photos, tmp_path / "out")
    options = Options(quality=80, overwrite=True, workers=1)
    with pytest.raises(KeyboardInterrupt):
        translate_folder(model, photos, tmp_path / "out", options, interrupt)
    summary, _ = run(model, photos, tmp_path / "out", quality=80)
    assert summary.done >= 1
    assert summary.skipped >= 1
    assert run(model, photos, tmp_path / "out", quality=80)[0].skipped == 6
    shutil.rmtree(tmp_path / "out" / "sub")
    for name in "a.png", "b.bmp", "f.ppm":
        (tmp_path / "out" / name).unlink()
    assert run(model, photos, tmp_path / "out")[0].done == 6  # nothing is there to be mixed with


def test_a_job_with_overwrite_continues_after_a_kill_and_starts_again_once_finished(
    model: Model, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    def skipped_until_killed(**options: Any) -> int:
        """One more image is translated."""
        reported: list[str] = []
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(Journal, "done", killed)
            settings = Options(overwrite=True, workers=1, **options)
            with pytest.raises(KeyboardInterrupt):
                translate_folder(model, photos, out, settings, lambda one, _: reported.append(one.status))
        assert set(reported) <= {"skipped"}
        return len(reported)

    run(model, photos, out)
    monkeypatch.setattr("i2i.runtime.jobs.journal.time.time", lambda: 1000.0)  # the clock may even have gone back
    assert [skipped_until_killed() for _ in range(3)] == [0, 1, 2]
    assert run(model, photos, out, overwrite=True)[0] == Summary(total=6, done=3, skipped=3)
    assert run(model, photos, out, overwrite=True)[0].done == 6
    assert [skipped_until_killed(), skipped_until_killed(quality=80), skipped_until_killed()] == [0, 0, 0]
    run(model, photos, out)  # finishes it otherwise
    assert [skipped_until_killed(), skipped_until_killed()] == [0, 1]


@pytest.mark.timeout(60)
def test_closing_the_outcomes_ends_a_job_with_waiting_outcomes(
    model: Model, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(outcome: Outcome, summary: Summary) -> None:
        time.sleep(0.2)  # in which the others are done with theirs
        raise KeyboardInterrupt

    monkeypatch.setattr(workers, "PENDING_OUTCOMES", 1)
    with pytest.raises(KeyboardInterrupt):
        translate_folder(model, photos, tmp_path / "out", report=interrupt)
    assert run(model, photos, tmp_path / "out")[0].failed == 0


def test_work_waits_while_outcomes_are_not_taken(
    model: Model, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    def slow(outcome: Outcome, summary: Summary) -> None:
        time.sleep(0 if made else 0.3)  # in which a thread could do all
        made.append(len(files(tmp_path / "out")))

    monkeypatch.setattr(workers, "PENDING_OUTCOMES", 1)
    assert translate_folder(model, photos, tmp_path / "out", Options(workers=1), slow).done == 6
    assert made[0] <= 3  # one that is reported, one that waits, and one with the thread


def test_the_journal_states_model_and_settings_of_each_result(model: Model, photos: Path, tmp_path: Path) -> None:
    run(model, photos, tmp_path / "out", quality=90)
    lines = [json.loads(line) for line in (tmp_path / "out" / JOURNAL).read_text().splitlines()]
    head = lines[0]
    assert abs(head.pop("at") - time.time()) < 60
    assert head == {
        "job": folder.job_key(model, Options(quality=90)),
        "source": str(photos),
        "model": "invert.onnx",
        "to": None,
        "format": None,
        "quality": 90,
        "background": "edge",
        "metadata": False,
        "tile": "auto",
    }
    assert {line["name"] for line in lines[1:] if "size" in line} == set(files(photos))


def test_half_a_journal_line_and_half_a_file_are_removed(model: Model, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(model, photos, out)
    whole = files(out)
    record = out / JOURNAL
    record.write_bytes(record.read_bytes()[:-30])  # as a kill leaves it
    (out / "sub" / ".i2i-abc.part").write_bytes(b"half")
    (out / "a.png").unlink()
    summary, _ = run(model, photos, out)
    assert (summary.done, summary.skipped) == (1, 5)
    assert files(out) == whole
    beginnings = [line for line in record.read_bytes().splitlines() if line.startswith(b'{"job"') and b'"at"' in line]
    assert len(beginnings) == 2  # not at the end of the half line
    assert run(model, photos, out)[0].skipped == 6


def test_a_file_finished_before_the_kill_is_not_made_again(model: Model, photos: Path, tmp_path: Path) -> None:
    """A kill between a file and the line that says so; with ``--overwrite`` also one before it was replaced."""
    out = tmp_path / "out"

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    def killed(**options: object) -> set[str]:
        before = {path: path.stat().st_mtime_ns for path in out.rglob("*.*") if path.suffix != ".jsonl"}
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(Journal, "done", interrupted)
            with pytest.raises(KeyboardInterrupt):
                run(model, photos, out, workers=1, **options)
        after = {path: path.stat().st_mtime_ns for path in out.rglob("*.*") if path.suffix != ".jsonl"}
        return {path.relative_to(out).as_posix() for path in after if after[path] != before.get(path)}

    assert killed() == {"a.png"}
    assert run(model, photos, out)[0] == Summary(total=6, done=5, skipped=1)
    assert killed(quality=80, overwrite=True) == {"a.png"}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(workers.image_file, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(model, photos, out, workers=1, quality=80)
    with open(out / JOURNAL) as record:
        (name,) = {line["name"] for line in map(json.loads, record) if "begun" in line and line["before"]} - {"a.png"}
    assert run(model, photos, out, quality=80)[0] == Summary(total=6, done=5, skipped=1)
    (out / name).write_bytes(b"")
    assert run(model, photos, out, quality=80)[0].done == 1


@pytest.mark.parametrize("how", ["touched", "put back"])
def test_an_old_file_is_not_taken_for_the_one_that_was_begun(
    model: Model, photos: Path, tmp_path: Path, how: str
) -> None:
    """A kill before the old file was replaced, and then something happens to that."""
    out = tmp_path / "out"
    run(model, photos, out)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(workers.image_file, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            run(model, photos, out, workers=1, quality=80, overwrite=True)
    old = out / "a.png"
    if how == "touched":  # the same inode, another time
        os.utime(old)
    else:  # from a backup that keeps times: another inode, the same time
        shutil.copy2(old, tmp_path / "copy")
        os.replace(tmp_path / "copy", old)
    assert run(model, photos, out, quality=80)[0] == Summary(total=6, done=6)


def test_the_result_of_a_killed_job_is_refused_under_other_settings(model: Model, photos: Path, tmp_path: Path) -> None:
    """The journal has only the line written before the result."""
    out = tmp_path / "out"

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Journal, "done", killed)
        with pytest.raises(KeyboardInterrupt):
            run(model, photos, out, workers=1)
    assert set(files(out)) == {"a.png"}
    with pytest.raises(MixedError, match="quality was 95 and is 80"):
        run(model, photos, out, quality=80)
    (out / "a.png").unlink()
    assert run(model, photos, out, quality=80)[0].done == 6


def test_a_clock_that_goes_back_changes_nothing(
    model: Model, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    run(model, photos, out)
    monkeypatch.setattr("i2i.runtime.jobs.journal.time.time", lambda: 1000.0)
    assert run(model, photos, out, quality=80, overwrite=True)[0].done == 6
    assert run(model, photos, out, quality=80)[0].skipped == 6
    with pytest.raises(MixedError, match="quality was 80 and is 95"):
        run(model, photos, out)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS], ids=["full", "quota", "read-only"])
def test_a_full_disk_stops_the_job_and_leaves_nothing_half_written(
    model: Model, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    real = os.replace
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(number, os.strerror(number))))
    with pytest.raises(StoppedError, match=f"{os.strerror(number)}: stopped here; run the same command again"):
        run(model, photos, tmp_path / "out")
    assert files(tmp_path / "out") == {}
    monkeypatch.setattr(os, "replace", real)
    assert run(model, photos, tmp_path / "out")[0].done == 6


@pytest.mark.parametrize("step", ["__enter__", "begin", "done"])
def test_a_journal_that_cannot_be_written_stops_the_job(
    model: Model, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Journal, step, full)
        with pytest.raises(StoppedError, match="stopped here"):
            run(model, photos, tmp_path / "out")
    there = len(files(tmp_path / "out"))
    assert bool(there) == (step == "done")
    assert run(model, photos, tmp_path / "out")[0] == Summary(total=6, done=6 - there, skipped=there)


def test_an_interrupt_ends_the_threads_and_the_next_run_goes_on(model: Model, photos: Path, tmp_path: Path) -> None:
    def interrupt(outcome: Outcome, summary: Summary) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        translate_folder(model, photos, tmp_path / "out", report=interrupt)
    assert not [name for name in files(tmp_path / "out") if name.endswith(".part")]
    done = len(files(tmp_path / "out"))
    assert run(model, photos, tmp_path / "out")[0] == Summary(total=6, done=6 - done, skipped=done)


@pytest.mark.parametrize("batch", [1, 4])
def test_a_device_gets_images_of_one_size_together(
    model: Model, tmp_path: Path, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The code path of a GPU, on a model that claims to run on one."""
    (tmp_path / "in").mkdir()
    for number in range(30):
        write_image(tmp_path / "in" / f"{number:02}.png", Image(picture(8 + number % 2, 8, 3, seed=number)))
    sizes = []

    def counting(images: np.ndarray) -> np.ndarray:
        sizes.append(len(images))
        if len(sizes) == 1:
            time.sleep(0.3)  # meanwhile others gather
        return 255 - images

    device = Model(model.path, "cpu", 1)
    monkeypatch.setattr(device, "on_cpu", False)
    monkeypatch.setattr(device, "run", counting)
    assert run(device, tmp_path / "in", tmp_path / "out", batch=batch)[0].done == 30
    assert sum(sizes) == 30
    assert max(sizes) == batch
    for number in range(30):
        expected = 255 - picture(8 + number % 2, 8, 3, seed=number)
        np.testing.assert_array_equal(read_image(tmp_path / "out" / f"{number:02}.png").pixels, expected)


def test_a_batch_that_fails_is_tried_image_by_image() -> None:
    """As on a device with memory for one image and not for eight; only images that fail alone count as failed."""
    from concurrent.futures import ThreadPoolExecutor

    from i2i.runtime.memory.batcher import Batcher

    def small_device(images: np.ndarray) -> np.ndarray:
        if len(images) > 1 or images[0, 0, 0, 0] == 13:
            raise ModelError("cuda memory does not hold this image")
        return 255 - images

    batcher = Batcher(small_device, lambda _: 8, 20)
    with ThreadPoolExecutor(20) as threads:
        asked = [threads.submit(batcher, np.full((2, 2, 3), number, np.uint8)) for number in range(20)]
    batcher.close()
    for number, future in enumerate(asked):
        if number == 13:
            with pytest.raises(ModelError):
                future.result()
        else:
            np.testing.assert_array_equal(future.result(), 255 - number)


def test_large_images_run_alone(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    now, most, lock = [0], {False: 0, True: 0}, threading.Lock()
    real: Callable = Model.run

    def watched(self: Model, batch: np.ndarray) -> np.ndarray:
        large = batch.shape[1] > 512
        with lock:
            now[0] += 1
            most[large] = max(most[large], now[0])
        time.sleep(0.05)
        result = real(self, batch)
        with lock:
            now[0] -= 1
        return result

    monkeypatch.setattr(Model, "run", watched)
    (tmp_path / "in").mkdir()
    for number in range(4):
        write_image(tmp_path / "in" / f"{number}-large.bmp", Image(np.zeros((600, 600, 3), np.uint8)))
        write_image(tmp_path / "in" / f"z{number}.bmp", Image(np.zeros((60, 60, 3), np.uint8)))
    assert run(model, tmp_path / "in", tmp_path / "out")[0].done == 8
    assert most == {False: 2, True: 1}


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("batch", 0),
        ("max_pixels", 0),
        ("quality", 101),
        ("background", 256),
        ("background", -1),
        ("background", "grey"),
    ],
)
def test_invalid_options_are_refused(option: str, value: int) -> None:
    """A background of 256 would wrap around to 0."""
    with pytest.raises(ValueError, match=f"{option} is {value}; expected"):
        Options(**{option: value})  # type: ignore[arg-type]


def test_the_key_of_a_job_is_what_decides_the_bytes(model: Model, tmp_path: Path) -> None:
    options = Options()
    key = folder.job_key(model, options)
    assert key == folder.job_key(model, replace(options, overwrite=True, batch=3, max_pixels=5))
    assert key == folder.job_key(model, replace(options, background="edge"))  # which the model was trained with
    others = [replace(options, quality=1), replace(options, background=0), replace(options, format="PNG")]
    assert len({key, *(folder.job_key(model, other) for other in others)}) == 4
