"""One folder translated by many processes: no file is missed, repeated or damaged."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from i2i.images import Image, read_image, write_image
from i2i.runtime import Model, Options, translate_folder
from i2i.runtime.jobs.folder import Summary
from i2i.runtime.jobs.journal import JOURNAL, Journal
from i2i.runtime.jobs.places import LocalResults
from i2i.runtime.jobs.sharding import Shard, from_environment, parse
from tests import tiny
from tests.conftest import ROOT

NAMES = [f"sub {n % 7}/imagé {n:04}.png" for n in range(500)] + ["not utf-8 \udcff.png", "new\nline.png"]


@pytest.mark.parametrize("count", range(1, 8))
def test_shards_are_disjoint_and_cover_everything(count: int) -> None:
    parts = [{name for name in NAMES if Shard(index, count).holds(name)} for index in range(1, count + 1)]
    assert set().union(*parts) == set(NAMES)
    assert sum(map(len, parts)) == len(NAMES)
    assert min(map(len, parts)) > 0.6 * len(NAMES) / count  # no machine idles
    backwards = [{name for name in reversed(NAMES) if Shard(index, count).holds(name)} for index in range(1, count + 1)]
    assert backwards == parts


def test_a_name_stays_in_its_shard() -> None:
    """In every process and release: another one may continue a job."""
    assert [next(i for i in range(1, 6) if Shard(i, 5).holds(name)) for name in ("a.png", "b/c.png", "日本.png")] == [
        3, 2, 5,
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["0/4", "5/4", "1/0", "x", "1", "-1/3", "1/2/3", "1.5/3"])
def test_an_invalid_shard_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"shard"):
        parse(text)
    with pytest.raises(ValueError, match=r"shard"):
        Options(shard=text)
    assert str(parse(" 2 / 4 ")) == "2/4"


ARRAY = {"SLURM_ARRAY_TASK_ID": "5", "SLURM_ARRAY_TASK_MIN": "3", "SLURM_ARRAY_TASK_COUNT": "4"}
INDEXED = {"JOB_COMPLETION_INDEX": "0", "JOB_COMPLETIONS": "6"}
RANKS = {"RANK": "1", "WORLD_SIZE": "2"}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, None),
        (ARRAY, "3/4 SLURM_ARRAY_TASK_ID"),
        (ARRAY | {"SLURM_ARRAY_TASK_MAX": "6", "SLURM_ARRAY_TASK_STEP": "1"}, "3/4 SLURM_ARRAY_TASK_ID"),
        (
            {"SLURM_ARRAY_TASK_ID": "20", "SLURM_ARRAY_TASK_MIN": "0", "SLURM_ARRAY_TASK_COUNT": "3"}
            | {"SLURM_ARRAY_TASK_STEP": "10", "SLURM_ARRAY_TASK_MAX": "20"},
            "3/3 SLURM_ARRAY_TASK_ID",
        ),
        (ARRAY | {"SLURM_ARRAY_TASK_COUNT": "1", "SLURM_ARRAY_TASK_MIN": "5"}, None),
        (INDEXED, "1/6 JOB_COMPLETION_INDEX"),
        (RANKS, "2/2 RANK"),
        ({"RANK": "0", "WORLD_SIZE": "1"}, None),
        ({"RANK": "gold"}, None),
        (ARRAY | RANKS, "6/8 SLURM_ARRAY_TASK_ID and RANK"),
    ],
)
def test_the_shard_comes_from_the_scheduler(variables: dict[str, str], expected: str | None) -> None:
    shard = from_environment(variables)
    assert (None if shard is None else f"{shard} {shard.source}") == expected


def test_nested_shards_are_disjoint() -> None:
    found = {
        str(from_environment(ARRAY | {"SLURM_ARRAY_TASK_ID": str(task), "RANK": str(rank), "WORLD_SIZE": "2"}))
        for task in range(3, 7)
        for rank in range(2)
    }
    assert found == {f"{index}/8" for index in range(1, 9)}


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"JOB_COMPLETION_INDEX": "1"}, "set JOB_COMPLETIONS to the job's completions"),
        ({"SLURM_ARRAY_TASK_ID": "1"}, "SLURM_ARRAY_TASK_COUNT is not"),
        (ARRAY | {"SLURM_ARRAY_TASK_MAX": "9"}, "has gaps"),
        ({**ARRAY, "SLURM_ARRAY_TASK_ID": "8"}, "part 5 of 4"),
        ({"RANK": "2", "WORLD_SIZE": "2"}, "part 2 of 2"),
        ({"RANK": "a", "WORLD_SIZE": "2"}, "no number"),
    ],
)
def test_incomplete_variables_are_errors(variables: dict[str, str], said: str) -> None:
    """Otherwise each process would translate the whole folder."""
    with pytest.raises(ValueError, match=said):
        from_environment(variables)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model(tiny.inverter(tmp_path_factory.mktemp("model") / "invert.onnx"), "cpu", 2, side_by_side=True)


def draw(folder: Path, count: int) -> Path:
    for number in range(count):
        path = folder / f"{number % 3}" / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, Image(np.full((6, 5, 3), number, np.uint8)))
    return folder


def test_the_journals_of_shards_are_read_together(model: Model, tmp_path: Path) -> None:
    source, out = draw(tmp_path / "in", 40), tmp_path / "out"
    done = [translate_folder(model, source, out, Options(shard=f"{index}/3")).done for index in (3, 1)]
    records = sorted(path.name for path in out.glob(".i2i*"))
    assert records == [".i2i-job.1-of-3.jsonl", ".i2i-job.3-of-3.jsonl"]
    rest = translate_folder(model, source, out)  # the whole, when one machine is missing
    assert rest == Summary(total=40, done=40 - sum(done), skipped=sum(done))
    assert translate_folder(model, source, out, Options(shard="2/5")).done == 0
    assert translate_folder(model, source, out, Options(shard="1/1")).skipped == 40
    for number in range(40):
        assert (read_image(out / f"{number % 3}" / f"{number:03}.png").pixels == 255 - number).all()


def test_a_later_job_in_another_journal_counts(model: Model, tmp_path: Path) -> None:
    source, out = draw(tmp_path / "in", 9), tmp_path / "out"
    translate_folder(model, source, out)
    translate_folder(model, source, out, Options(background=0, shard="1/2", overwrite=True))
    translate_folder(model, source, out, Options(background=0, shard="2/2"))
    assert translate_folder(model, source, out, Options(background=0)).skipped == 9
    with pytest.raises(ValueError, match="background was 0 and is edge"):
        translate_folder(model, source, out)
    assert translate_folder(model, source, out, Options(overwrite=True)).done == 9
    assert translate_folder(model, source, out, Options(shard="2/2")).done == 0


def killed_after_one(model: Model, source: Path, out: Path, shard: str | None = None) -> None:
    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        translate_folder(model, source, out, Options(shard=shard, overwrite=True, workers=1), kill)


def test_an_overwriting_job_starts_again_if_others_ran_since_it_was_killed(model: Model, tmp_path: Path) -> None:
    """Jobs with the same number of shards do not count, since each of them does its own part."""
    source, out = draw(tmp_path / "in", 6), tmp_path / "out"

    def again(shard: str | None = None) -> Summary:
        return translate_folder(model, source, out, Options(shard=shard, overwrite=True))

    killed_after_one(model, source, out)
    parts = [again("1/2"), again("2/2")]
    assert sum(part.done for part in parts) == 6
    assert again() == Summary(total=6, done=6)
    killed_after_one(model, source, out, "1/2")
    assert again().done == 6
    assert again("1/2") == Summary(total=parts[0].total, done=parts[0].total)
    killed_after_one(model, source, out, "1/2")
    assert again("2/2").skipped == 0
    assert again("1/2").skipped >= 1


def test_clashes_are_found_before_any_shard_begins(model: Model, tmp_path: Path) -> None:
    """Otherwise two machines would write one file."""
    (tmp_path / "in").mkdir()
    for name in ("a.png", "a.bmp"):
        write_image(tmp_path / "in" / name, Image(np.zeros((4, 4, 3), np.uint8)))
    for index in (1, 2):
        with pytest.raises(ValueError, match="would both be written"):
            translate_folder(model, tmp_path / "in", tmp_path / "out", Options(format="PNG", shard=f"{index}/2"))


@pytest.mark.parametrize("parts", [("1/3", "2/3", "3/3"), (None, None)], ids=["shards", "the same job twice"])
def test_parallel_processes_damage_and_repeat_nothing(
    model: Model, tmp_path: Path, parts: tuple[str | None, ...]
) -> None:
    source, out = draw(tmp_path / "in", 90), tmp_path / "out"
    words = [sys.executable, "-m", "i2i", "translate", source, out, "-m", model.path]
    processes = [
        subprocess.Popen(
            [*words, *(["--shard", part] if part else [])],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for part in parts
    ]  # fmt: skip
    said = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0] * len(parts), said
    lines = [line for path in out.glob(".i2i-job*.jsonl") for line in path.read_bytes().splitlines()]
    names = [entry["name"] for entry in map(json.loads, lines) if "size" in entry]
    assert set(names) == {f"{number % 3}/{number:03}.png" for number in range(90)}
    if parts[0]:
        assert len(names) == 90
    for number in range(90):
        assert (read_image(out / f"{number % 3}" / f"{number:03}.png").pixels == 255 - number).all()
    assert not list(out.rglob("*.part"))
    assert translate_folder(model, source, out).skipped == 90


def test_a_journal_of_many_files_takes_little_memory(tmp_path: Path) -> None:
    """A job uses less than 1 KB of memory for each file."""
    import tracemalloc

    count = 20_000
    with open(tmp_path / JOURNAL, "w") as file:
        file.write(json.dumps({"job": "a" * 16, "at": 1.0}) + "\n")
        for number in range(count):
            name = f"sub/{number:06}.png"
            file.write(json.dumps({"name": name}) + "\n")
            entry = {
                "name": name,
                "job": "a" * 16,
                "source": [100_000 + number, 10**18 + number],
                "size": 99_999 + number,
            }
            file.write(json.dumps(entry) + "\n")
    tracemalloc.start()
    record = Journal(LocalResults(tmp_path), "b" * 16)
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert record.owns("sub/019999.png")
    assert held / count < 500
    assert peak / count < 700
