"""The program of the tables of students: a teacher of two steps, and what it measures of each network."""

from __future__ import annotations

import inspect
import json
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import i2i
from i2i.images import Image, read_image, write_image
from i2i.networks import cost
from i2i.translators import translator_class
from tests.evaluation.conftest import drawing, features  # noqa: F401
from tests.tools.test_translators import emoji  # noqa: F401

pytest.importorskip("torch")
pytest.importorskip("scipy")
PLACE = Path(__file__).resolve().parents[2] / "tools" / "reproduce"


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(PLACE)
    return import_module("students")


def test_sources_are_the_right_halves_of_pairs(program: Any, tmp_path: Path) -> None:
    (tmp_path / "pairs/train").mkdir(parents=True)
    pixels = drawing(1, 32)
    write_image(tmp_path / "pairs/train/7.png", Image(np.hstack([255 - pixels, pixels])))
    found = program.sources(tmp_path / "pairs", program.TASKS["facades"], tmp_path / "sources")
    assert np.array_equal(read_image(found / "7.png").pixels, pixels)
    assert program.sources(tmp_path, program.TASKS["emoji"], found) == tmp_path / "trainA"


@pytest.mark.slow
def test_students_are_trained_and_measured_beside_their_teacher(
    program: Any, emoji: Path, tmp_path: Path, features: str, monkeypatch: pytest.MonkeyPatch,  # noqa: F811
    capsys: pytest.CaptureFixture[str], one_thread: None,
) -> None:  # fmt: skip
    small = {"ngf": 2, "ndf": 2, "generator": "resnet_1", "discriminator": "patch_1", "upsample": "resize", "steps": 2}
    monkeypatch.setattr(program.translators, "RECIPES", {"small": {"method": "cyclegan", **small}})
    about = program.translators.TASKS["recipes"] | {"size": 32, "runs": {("small", 0): "teacher"}, "settings": {}}
    monkeypatch.setitem(program.translators.TASKS, "recipes", about)
    i2i.train("cyclegan", data=emoji, size=32, out=tmp_path / "teachers/teacher", background=255, **small)
    students = {f"{n} filters": {"generator": "mobile_resnet_1", "ngf": n} for n in (2, 1)}
    alone = {"generator": "mobile_resnet_1", "ngf": 1}
    task = replace(program.TASKS["emoji"], method="small", students=students, alone=alone)
    monkeypatch.setattr(program, "TASKS", {"emoji": task})
    out = tmp_path / "results.json"
    words = {"--emoji": emoji, "--teachers": tmp_path / "teachers", "--runs": tmp_path / "runs", "--out": out}
    words["--features"] = features
    monkeypatch.setattr(sys, "argv", ["students.py", *(str(word) for pair in words.items() for word in pair)])
    program.main()
    rows = {row["method"]: row for row in json.loads(out.read_text())["emoji"]["rows"]}
    assert {"teacher", "2 filters", "1 filters", "alone", "the input itself"} <= rows.keys()
    assert rows["1 filters"]["macs"] == rows["alone"]["macs"] < rows["2 filters"]["macs"] < rows["teacher"]["macs"]
    assert {"KID", "edges", "L1"} <= rows["1 filters"]["figures"].keys()
    assert rows["1 filters"]["milliseconds"] > 0
    assert "| teacher | 0.0" in capsys.readouterr().out
    states = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").glob("*/state/*")}
    program.main()
    assert states == {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").glob("*/state/*")}


@pytest.mark.parametrize("name", ["facades", "emoji"])
def test_what_trains_alone_is_the_network_of_the_smallest_student(program: Any, name: str) -> None:
    task = program.TASKS[name]
    method = program.translators.recipe(task.teachers, task.method)
    settings = task.about["settings"] | method | task.alone
    known = inspect.signature(translator_class(settings["method"])).parameters
    alone = translator_class(settings["method"])(3, 3, **{key: settings[key] for key in settings.keys() & known.keys()})
    student = translator_class("distill")(3, 3, **list(task.students.values())[-1])
    costs = [cost.macs(net, 3) for net in (alone.exports()["a2b"], student.exports()["a2b"])]
    assert costs[0] == costs[1]


def test_students_are_measured_in_the_direction_of_their_teacher(
    program: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A student translates A to B whatever its teacher does, while the data keep their sides."""
    asked: list[Any] = []
    monkeypatch.setattr(program.i2i, "evaluate", lambda *_, direction, **__: asked.append(direction) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        program.measured({}, tmp_path, tmp_path, program.TASKS["facades"].about, {}, True)
    assert asked == ["b2a"]
