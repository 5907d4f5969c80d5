"""Names and folders by which a result would replace another file."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from i2i.images import Image, read_image, write_image
from i2i.runtime import Model, Options, translate_folder
from i2i.runtime.jobs import planning
from i2i.runtime.jobs.folder import MixedError, Summary
from i2i.runtime.jobs.journal import JOURNAL, Journal
from i2i.runtime.jobs.options import output_name
from i2i.runtime.jobs.places import LocalResults, State
from tests import tiny

PIXELS = np.zeros((4, 4, 3), np.uint8)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model(tiny.inverter(tmp_path_factory.mktemp("model") / "invert.onnx"), "cpu", 1, side_by_side=True)


def put(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(root / name, Image(PIXELS), "PNG")
    return root


def names(source: Path, target: Path, format: str | None = None) -> list[str]:
    return [
        output_name(name, format) for name in planning.plan(source, [target], lambda name: output_name(name, format))
    ]


def test_two_sources_of_one_output_are_refused_before_any_work(model: Model, tmp_path: Path) -> None:
    source = put(tmp_path / "in", "a.jpg", "a.png", "sub/a.png", "b.bmp")
    assert names(source, tmp_path / "out") == ["a.jpg", "a.png", "b.bmp", "sub/a.png"]
    with pytest.raises(ValueError, match=r"a\.jpg and .*a\.png would both be written as a\.png"):
        translate_folder(model, source, tmp_path / "out", Options(format="PNG"))
    assert not (tmp_path / "out").exists()


def test_names_that_differ_in_case_clash_where_case_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = put(tmp_path / "in", "a.png", "A.png")
    if len(list(source.iterdir())) == 1:
        pytest.skip("this file system ignores case")
    assert names(source, tmp_path / "out") == ["A.png", "a.png"]
    monkeypatch.setattr(planning, "ignores_case", lambda folder: True)
    with pytest.raises(ValueError, match="both be written"):
        names(source, tmp_path / "out")


@pytest.mark.parametrize(
    "name",
    [
        "naïve 日本.png",
        " spaces .png",
        "-dash.png",
        "new\nline.png",
        "n" * 251 + ".png",
        b"\xff\xfe.png".decode("utf-8", "surrogateescape"),
    ],
    ids=["unicode", "spaces", "dash", "newline", "255 bytes", "not UTF-8"],
)
def test_any_name_comes_out_as_it_went_in(model: Model, tmp_path: Path, name: str) -> None:
    source = put(tmp_path / "in", "x.png")
    (source / "x.png").rename(source / name)
    (source / "bad.png").write_bytes(b"")
    for expected in ((1, 0), (0, 1)):
        notes = []
        summary = translate_folder(
            model, source, tmp_path / "out", report=lambda outcome, _, notes=notes: notes.append(outcome.note)
        )
        assert (summary.done, summary.skipped, summary.failed) == (*expected, 1)
        assert (tmp_path / "out" / name).exists()
        assert all("\n" not in note and note.encode() is not None for note in notes)


def test_the_output_may_lie_within_the_input(model: Model, tmp_path: Path) -> None:
    source = put(tmp_path / "in", "a.png", "sub/b.png")
    for _ in range(2):
        translate_folder(model, source, source / "translated")
    assert names(source, source / "translated") == ["a.png", "sub/b.png"]
    assert not (source / "translated" / "translated").exists()


def test_a_loop_of_links_ends(model: Model, tmp_path: Path) -> None:
    source = put(tmp_path / "in", "a.png", "sub/b.png")
    (source / "sub" / "loop").symlink_to(source)
    assert names(source, tmp_path / "out") == ["a.png", "sub/b.png"]


@pytest.mark.parametrize("how", ["same", "link", "dots"])
def test_the_input_folder_is_no_output_folder(model: Model, tmp_path: Path, how: str) -> None:
    source = put(tmp_path / "in", "a.png")
    (tmp_path / "link").symlink_to(source)
    before = (source / "a.png").read_bytes()
    target = {"same": source, "link": tmp_path / "link", "dots": tmp_path / "in" / ".." / "in"}[how]
    with pytest.raises(ValueError, match="originals are never overwritten"):
        translate_folder(model, source, target, Options(overwrite=True))
    assert (source / "a.png").read_bytes() == before


def test_an_output_that_leads_back_to_a_source_is_refused(model: Model, tmp_path: Path) -> None:
    source = put(tmp_path / "in", "sub/a.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sub").symlink_to(source / "sub")
    with pytest.raises(ValueError, match="is one of the files to translate"):
        translate_folder(model, source, tmp_path / "out", Options(overwrite=True))
    # The folder above: in/in/x.png would become in/x.png, which is a source too.
    source = put(tmp_path / "top" / "in", "x.png", "in/x.png")
    with pytest.raises(ValueError, match="is one of the files to translate"):
        translate_folder(model, source, tmp_path / "top", Options(overwrite=True))


def test_a_link_in_the_output_is_replaced_and_not_followed(model: Model, tmp_path: Path) -> None:
    source = put(tmp_path / "in", "a.png")
    before = (source / "a.png").read_bytes()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.png").symlink_to(source / "a.png")
    translate_folder(model, source, tmp_path / "out", Options(overwrite=True))
    assert (source / "a.png").read_bytes() == before
    assert not (tmp_path / "out" / "a.png").is_symlink()


def test_files_that_no_job_wrote_are_not_replaced(model: Model, tmp_path: Path) -> None:
    source, other = put(tmp_path / "in", "a.png", "b.png"), put(tmp_path / "other", "a.png")
    with pytest.raises(ValueError, match=r"already contains 1 file .* no earlier job wrote \(a\.png\)"):
        translate_folder(model, source, other)
    assert not (other / "b.png").exists()
    assert translate_folder(model, source, other, Options(overwrite=True)).done == 2


def test_results_of_another_folder_are_not_replaced(model: Model, tmp_path: Path) -> None:
    monday, out = put(tmp_path / "monday", "a.png", "b.png"), tmp_path / "out"
    translate_folder(model, monday, out)
    tuesday = tmp_path / "tuesday"
    tuesday.mkdir()
    write_image(tuesday / "a.png", Image(PIXELS + 9), "PNG")
    write_image(tuesday / "c.png", Image(PIXELS), "PNG")
    message = rf"^{out} has a result a\.png of an image in {monday}, and that of {tuesday} would replace it"
    with pytest.raises(MixedError, match=message):
        translate_folder(model, tuesday, out)
    assert (read_image(out / "a.png").pixels == 255).all()
    assert translate_folder(model, tuesday, out, Options(overwrite=True)).done == 2
    assert translate_folder(model, tuesday, out).skipped == 2
    with pytest.raises(MixedError, match=rf"of an image in {tuesday}, and that of {monday}"):
        translate_folder(model, monday, out)


def test_a_folder_that_was_moved_is_the_same(model: Model, tmp_path: Path) -> None:
    source, out = put(tmp_path / "in", "a.png", "b.png"), tmp_path / "out"
    translate_folder(model, source, out)
    (out / "b.png").unlink()
    assert translate_folder(model, source.rename(tmp_path / "moved"), out) == Summary(total=2, done=1, skipped=1)


def test_a_journal_that_states_no_source_refuses_none(model: Model, tmp_path: Path) -> None:
    out = tmp_path / "out"
    translate_folder(model, put(tmp_path / "in", "a.png"), out)
    lines = [json.loads(line) for line in (out / JOURNAL).read_text().splitlines()]
    assert lines[0].pop("source") == str(tmp_path / "in")
    (out / JOURNAL).write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert translate_folder(model, put(tmp_path / "other", "a.png"), out).done == 1


def test_the_journal_has_no_password(tmp_path: Path) -> None:
    journal = Journal(LocalResults(tmp_path), "key", folder="sftp://me:secret@host/photos")
    assert journal.folder == "sftp://host/photos"


def test_a_file_instead_of_a_folder_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "a.png")
    with pytest.raises(ValueError, match="no such folder"):
        names(tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(ValueError, match="the results of a folder need a folder"):
        names(tmp_path, tmp_path / "a.png")


def test_a_file_that_another_process_writes_meanwhile_is_known(tmp_path: Path) -> None:
    """Two jobs on one folder: its file is there after this one has read the record, and noted before."""
    results = LocalResults(tmp_path)
    ours, theirs = Journal(results, "key"), Journal(results, "key")
    with theirs:
        theirs.begin("a.png", State.of(os.stat(tmp_path)))
        put(tmp_path, "a.png")
    planning.refuse_unknown_files(["a.png"], results, ours)
    put(tmp_path, "b.png")
    with pytest.raises(ValueError, match=r"no earlier job wrote \(b\.png\)"):
        planning.refuse_unknown_files(["a.png", "b.png"], results, ours)
