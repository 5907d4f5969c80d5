"""The augmentation program on a few drawn digits, and its labels, classifiers and table by hand."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from i2i.evaluation import label_images
from tests.tools.test_digits import TOOLS, folder  # noqa: F401

pytestmark = pytest.mark.usefixtures("one_thread")
TINY = {"seen": 30, "steps": 2, "batch": 4, "generated": 6, "classifier_steps": 2, "networks": {"ngf": 2, "ndf": 2}}


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(TOOLS)
    for name in ("digits", "generators"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    spec = importlib.util.spec_from_file_location("augmentation", TOOLS / "augmentation.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "SETTINGS", TINY)
    return module


def bars(program: ModuleType, count: int, seed: int = 0) -> object:
    """Images whose digit is the height of a bar."""
    labels = np.arange(count) % 10
    images = np.random.default_rng(seed).integers(0, 60, (count, 28, 28)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[2 * label : 2 * label + 3, 4:24] = 255
    return program.digits(images, labels)


def test_everything_is_trained_once_and_tested(
    program: ModuleType,
    folder: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    out = tmp_path / "out"
    command = ["augmentation.py", "--data", folder, "--out", out, "--labels", 10, "--seeds", 3]
    monkeypatch.setattr(sys, "argv", list(map(str, command)))
    assert program.main() == 0
    first = capsys.readouterr().out
    results = program.read_results(out / "results.jsonl")
    assert [result["row"] for result in results] == list(program.ROWS)
    assert all(0 <= result["accuracy"] <= 1 and result["settings"] == TINY for result in results)
    assert len(list(out.glob("seed-3-*/made/*.png"))) == TINY["generated"]
    assert len(list(out.glob("seed-3-*/seen/*.png"))) == TINY["seen"]
    assert program.main() == 0
    assert program.read_results(out / "results.jsonl") == results
    assert first.endswith(capsys.readouterr().out)
    monkeypatch.setattr(sys, "argv", [*map(str, command), "--table", "--steps", "9"])
    assert program.main() == 1
    assert "has no results of the settings" in capsys.readouterr().err


def test_the_judge_is_the_classifier_and_its_labels_are_read_back(program: ModuleType, tmp_path: Path) -> None:
    training = bars(program, 100)
    settings = TINY | {"classifier_steps": 60, "batch": 32}
    classifier = program.train_classifier(training, None, 0, settings)
    assert program.accuracy(classifier, training) > 0.9
    program.write_judge(classifier, tmp_path / "judge.onnx")
    program.write_images(training, 20, tmp_path / "images")
    table = label_images(tmp_path / "images", "pseudo", judge=tmp_path / "judge.onnx")
    found = program.read_labelled(tmp_path / "images", table)
    assert torch.allclose(found.images, training.images[:20], atol=1e-6)
    with torch.no_grad():
        assert torch.equal(found.labels.argmax(1), classifier(training.images[:20]).argmax(1))
    assert torch.equal(found.labels.sum(1), torch.ones(20))


@pytest.mark.slow
def test_generated_images_are_learned_by_their_labels(program: ModuleType) -> None:
    """Labelled images of two digits alone; the others are known from the additional ones, or the new class is gone."""
    training, test = bars(program, 200), bars(program, 100, 1)
    settings = TINY | {"classifier_steps": 80, "batch": 32}
    few = training.part(training.labels < 2)
    alone = program.accuracy(program.train_classifier(few, None, 0, settings), test)
    taught = training._replace(labels=torch.eye(10)[training.labels])
    assert alone < 0.3 < 0.9 < program.accuracy(program.train_classifier(few, taught, 0, settings), test)
    new = training._replace(labels=torch.eye(11)[torch.full((200,), 10)])
    classifier = program.train_classifier(training, new, 0, settings)
    assert classifier(test.images).shape == (100, 10)


def test_labelled_images_are_balanced(program: ModuleType) -> None:
    found = program.labelled(bars(program, 100), 30)
    assert found.labels.bincount().tolist() == [3] * 10


def test_the_table_by_hand(program: ModuleType) -> None:
    results = [
        {"labels": count, "seed": seed, "row": row, "accuracy": 0.5 + 0.1 * seed + count / 10_000, "settings": TINY}
        for count in (100, 2000) for seed in (0, 1, 2) for row in program.ROWS
    ]  # fmt: skip
    lines = program.table(json.loads(json.dumps(results))).splitlines()
    assert lines[0] == "| trained on | 100 labels | 2,000 labels |"
    assert lines[2] == "| alone | 61.00 ± 10.00 | 80.00 ± 10.00 |"
    assert [line.split(" | ")[0] for line in lines[2:7]] == [f"| {row}" for row in program.ROWS]
