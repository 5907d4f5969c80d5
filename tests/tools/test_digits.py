"""The digits program on a few drawn digits: held-out images, measurements, and resuming."""

from __future__ import annotations

import gzip
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import torch

from i2i.translators import Translator

TOOLS = Path(__file__).resolve().parents[2] / "tools" / "reproduce"

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program as a module, with settings that are soon done."""
    monkeypatch.syspath_prepend(TOOLS)
    spec = importlib.util.spec_from_file_location("digits", TOOLS / "digits.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    small = {"game_every": 1, "batch": 2, "labelled": 4, "classifier": 2, "networks": {"ngf": 2, "ndf": 2, "lr": 1e-3}}
    monkeypatch.setattr(module, "SETTINGS", module.SETTINGS | small)
    monkeypatch.setattr(module, "OPTIONS", module.OPTIONS | {"cut": module.OPTIONS["cut"] | {"generator": "resnet_1"}})
    monkeypatch.setattr(module, "HELD_OUT", 12)
    return module


def drawn(n: int, side: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """n digits in a common typeface, uint8 [n, side, side]."""
    labels = np.random.default_rng(seed).integers(0, 10, n).astype(np.int64)
    images = np.zeros((n, side, side), np.uint8)
    for image, label in zip(images, labels, strict=True):
        cv2.putText(image, str(label), (side // 5, side - 3), cv2.FONT_HERSHEY_SIMPLEX, side / 30, 255, 1)
    return images, labels


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as of the real digits: 40 and 10 of MNIST, 30 of USPS."""
    for split, n in (("train", 40), ("t10k", 10)):
        images, labels = drawn(n, 28, n)
        for what, values, header in (
            ("images-idx3", images, b"\0\0\x08\x03" + np.array([n, 28, 28], ">u4").tobytes()),
            ("labels-idx1", labels.astype(np.uint8), b"\0\0\x08\x01" + np.array([n], ">u4").tobytes()),
        ):
            path = tmp_path / "data" / "mnist" / f"{split}-{what}-ubyte.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(gzip.compress(header + values.tobytes()))
    images, labels = drawn(30, 16, 0)
    (tmp_path / "data" / "usps").mkdir()
    np.savez(tmp_path / "data" / "usps" / "usps_train.npz", images=(images / 255).astype(np.float32), labels=labels)
    return tmp_path / "data"


def run(program: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["digits.py", *map(str, arguments)])
    return program.main()


def test_every_method_is_trained_once_and_the_table_says_what_was_measured(
    program: ModuleType, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    out, sheets = tmp_path / "results.jsonl", tmp_path / "sheets"
    given = ("--data", folder, "--out", out, "--device", "cpu", "--steps", 2)
    assert run(program, monkeypatch, *given, "--seeds", 0, "--directions", "mnist2usps", "--sheets", sheets) == 0
    results = [json.loads(line) for line in out.read_text().splitlines()]
    assert [result["method"] for result in results] == list(program.METHODS)
    assert {result["device"] for result in results} == {"cpu"}
    assert all(0 <= result["accuracy"] <= 1 and result["images"] == 12 for result in results)
    assert {path.name for path in sheets.iterdir()} == {
        f"{method}-mnist2usps-0.png" for method in program.METHODS if method != "source"
    }
    given = (*given, "--methods", "unit", "--seeds", 0, 1)
    assert run(program, monkeypatch, *given) == 0
    again = [json.loads(line) for line in out.read_text().splitlines()]
    assert again[: len(results)] == results
    assert [(r["direction"], r["seed"], r["images"]) for r in again[len(results) :]] == [
        ("usps2mnist", 0, 10), ("mnist2usps", 1, 12), ("usps2mnist", 1, 10),
    ]  # fmt: skip
    before = out.read_text()
    assert run(program, monkeypatch, *given) == 0
    assert out.read_text() == before
    capsys.readouterr()
    assert run(program, monkeypatch, "--out", out, "--table") == 0
    lines = capsys.readouterr().out.splitlines()
    there = [r["accuracy"] for r in again if r["method"] == "unit" and r["direction"] == "mnist2usps"]
    row = next(line for line in lines if line.startswith("| unit, steps 2 |"))
    assert f"| {np.mean(there):.4f} ± {np.std(there, ddof=1):.4f} |" in row
    assert row.split(" | ")[3] == "0, 1"
    assert len(lines) == 2 + len(program.METHODS) + 2


def test_results_of_other_test_sets_and_settings_have_rows_of_their_own(program: ModuleType) -> None:
    def result(accuracy: float, seed: int = 0, method: str = "unit", **other: object) -> dict:
        settings = program.SETTINGS | {"options": program.OPTIONS["unit"]} | other.pop("settings", {})
        usual = {"direction": "mnist2usps", "measured_on": "test", "images": 12, "seconds": 30.0, "device": "cpu"}
        usual |= {"processor_seconds": 90.0, "settings": settings}
        return {"method": method, "seed": seed, "accuracy": accuracy} | usual | other

    augment = program.SETTINGS["augment"]
    results = [
        result(0.8), result(0.9, 2), result(0.7, 1, direction="usps2mnist", seconds=6.0, device="cuda"),
        result(0.1, measured_on="development"), result(0.2, measured_on="mine.npz"),
        result(0.3, settings={"steps": 7}), result(0.4, settings={"networks": {"ngf": 2, "ndf": 2, "lr": 0.5}}),
        result(0.5, method="unit, not augmented", settings={"augment": dict.fromkeys(augment, 0.0)}),
        result(0.6, settings={"augment": augment | {"shear": 0.5}}),
        result(0.15, settings={"options": {"discriminator": "unit_2"}}),
    ]  # fmt: skip
    program.PUBLISHED.clear()
    assert program.table(json.loads(json.dumps(results))).splitlines()[2:] == [
        "| unit | 0.8500 ± 0.0707 | 0.7000 | 0, 2 / 1 | 30 on cpu (90); 6 on cuda (90) |",
        "| unit, on development | 0.1000 | – | 0 / – | 30 on cpu (90) |",
        "| unit, on mine.npz | 0.2000 | – | 0 / – | 30 on cpu (90) |",
        "| unit, steps 7 | 0.3000 | – | 0 / – | 30 on cpu (90) |",
        "| unit, networks lr 0.5 | 0.4000 | – | 0 / – | 30 on cpu (90) |",
        "| unit, not augmented | 0.5000 | – | 0 / – | 30 on cpu (90) |",
        "| unit, augment shear 0.5 | 0.6000 | – | 0 / – | 30 on cpu (90) |",
        "| unit, options discriminator unit_2 | 0.1500 | – | 0 / – | 30 on cpu (90) |",
    ]
    names = [line.split(" | ")[:2] for line in program.table([result(0.1), result(0.2, 1, images=9)]).splitlines()[2:]]
    assert names == [["| unit, 12 test images", "0.1000"], ["| unit, 9 test images", "0.2000"]]


def test_the_test_images_are_no_training_images_and_labels_of_the_target_are_not_read(
    program: ModuleType, folder: Path
) -> None:
    domains = program.read_domains(folder)
    training, test = domains["usps"]
    assert (len(training.images), len(test.images)) == (18, 12)
    everything = torch.cat([training.images, test.images]).flatten(1)
    with np.load(folder / "usps" / "usps_train.npz") as archive:
        expected = program.digits(archive["images"], archive["labels"]).images.flatten(1)
    assert sorted(map(tuple, everything.tolist())) == sorted(map(tuple, expected.tolist()))
    source, target = domains["mnist"][0], training
    settings = program.SETTINGS | {"steps": 2, "options": program.OPTIONS["unit"]}
    _, classifier = program.train("unit", source, target, 0, settings)
    unlabelled = target._replace(labels=torch.full_like(target.labels, -1))
    _, same = program.train("unit", source, unlabelled, 0, settings)
    _, other = program.train("unit", source, target, 1, settings)
    weights, again, others = (dict(net.named_parameters()) for net in (classifier, same, other))
    assert all(torch.equal(weights[key], again[key]) for key in weights)
    assert not torch.equal(weights["0.weight"], others["0.weight"])
    assert not classifier.training


def made(program: ModuleType, method: str) -> tuple[Translator | None, torch.nn.Module]:
    torch.manual_seed(0)
    translator = program.METHODS[method](**program.SETTINGS["networks"], **program.OPTIONS[method])
    return translator, program.Learner(translator, 2, 1e-3)


def test_every_parameter_is_moved_by_exactly_one_player(program: ModuleType) -> None:
    for method in program.METHODS:
        translator, learner = made(program, method)
        players = (translator.players() if translator else {}) | learner.players()
        owned = [id(p) for player in players.values() for p in player.net.parameters()]
        there = {id(p) for one in (translator, learner) if one for p in one.parameters()}
        assert len(set(owned)) == len(owned) == len(there), method


def test_half_of_what_the_classifier_learns_is_translated_and_teaches_the_translator_nothing(
    program: ModuleType,
) -> None:
    images, labels = torch.rand(4, 1, 28, 28) * 2 - 1, torch.arange(4)
    for method in program.METHODS:
        translator, learner = made(program, method)
        learner.eval()
        v = learner({"labelled": images, "labels": labels})
        assert torch.equal(v["labelled"][2:], images[2:])
        assert torch.equal(v["labels"], labels)
        assert not v["labelled"].requires_grad
        if translator is None:
            assert torch.equal(v["labelled"], images)
        else:
            with torch.no_grad():
                expected = translator.eval().exports()["a2b"](images[:2])
            assert torch.allclose(v["labelled"][:2], expected, atol=1e-6)
            assert not torch.allclose(expected, images[:2], atol=1e-2)
        loss = learner.classifier_loss(v)["label"]
        probabilities = learner.C(v["labelled"]).softmax(1)[torch.arange(4), labels]
        assert loss.item() == pytest.approx(-probabilities.log().mean().item(), rel=1e-5)


def test_the_game_is_played_at_every_nth_step_of_the_classifier(
    program: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    domains, played = program.read_domains(folder), []
    real = program.play

    def play(one: Translator, moves: dict, given: dict, step: int, rate: float) -> dict:
        played.append((type(one).__name__, step, rate, len(given.get("x", given.get("labelled")))))
        return real(one, moves, given, step, rate)

    monkeypatch.setattr(program, "play", play)
    settings = program.SETTINGS | {"steps": 4, "game_every": 3, "options": program.OPTIONS["direct"]}
    program.train("direct", domains["mnist"][0], domains["usps"][0], 0, settings)
    assert [name for name, *_ in played] == ["Direct", "Learner", "Learner", "Learner", "Direct", "Learner"]
    assert [step for name, step, *_ in played if name == "Direct"] == [0, 1]
    assert [rate for name, _, rate, _ in played if name == "Learner"] == [1, 1, 1, 0.5]
    assert {(name, n) for name, *_, n in played} == {("Direct", 2), ("Learner", 4)}


def test_other_test_sets_and_their_errors(
    program: ModuleType, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    images, labels = drawn(7, 20, 3)
    np.savez(tmp_path / "mine.npz", images=images, labels=labels)
    out = tmp_path / "results.jsonl"
    given = ("--data", folder, "--out", out, "--methods", "source", "--seeds", 0, "--steps", 1, "--device", "cpu")
    given = (*given, "--test", tmp_path / "mine.npz")
    with pytest.raises(SystemExit):
        run(program, monkeypatch, *given)
    assert "one of --directions" in capsys.readouterr().err
    assert run(program, monkeypatch, *given, "--directions", "usps2mnist") == 0
    result = json.loads(out.read_text())
    assert (result["images"], result["measured_on"]) == (7, "mine.npz")
    for wrong in ((images[0], labels), (images, labels[:3]), (images.astype(np.float32), labels), (images, labels + 5)):
        with pytest.raises(ValueError, match="expected"):
            program.digits(*wrong)
    (folder / "mnist" / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(b"nonsense"))
    with pytest.raises(ValueError, match=r"t10k-labels-idx1-ubyte\.gz is no idx file"):
        program.read_domains(folder)


def test_accuracy_and_augmentation(program: ModuleType) -> None:
    class Says(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.eye(10)[(images.amax((1, 2, 3)) * 10 + 1).long()]

    images = torch.arange(4.0)[:, None, None, None].expand(4, 1, 2, 2) / 10 + 0.05
    assert program.accuracy(Says(), program.Digits(images, torch.tensor([1, 2, 3, 9]))) == 0.75
    x = torch.rand(3, 1, 28, 28) * 2 - 1
    still = program.augmented(x, **dict.fromkeys(program.SETTINGS["augment"], 0.0))
    assert torch.allclose(still, x, atol=1e-5)
    moved = program.augmented(torch.ones(64, 1, 28, 28), **program.SETTINGS["augment"])
    assert moved.min() == -1  # black comes in
    assert moved.max() <= 1 + 1e-6
