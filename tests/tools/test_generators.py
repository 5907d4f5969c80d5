"""The generators program on a few drawn digits: training, judging, and the figures by hand."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from tests.tools.test_digits import TOOLS, folder  # noqa: F401

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program as a module, with tiny networks."""
    monkeypatch.syspath_prepend(TOOLS)
    spec = importlib.util.spec_from_file_location("generators", TOOLS / "generators.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "generators", module)
    spec.loader.exec_module(module)
    small = {"ngf": 2, "ndf": 2, "hidden": 4, "filters": 2}
    games = {
        name: (method, {key: small.get(key, value) for key, value in options.items()})
        for name, (method, options) in module.GAMES.items()
    }
    monkeypatch.setattr(module, "GAMES", games)
    return module


@pytest.mark.slow
def test_games_are_trained_once_and_judged(
    program: ModuleType,
    folder: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    out = tmp_path / "out"
    command = ["generators.py", "--data", folder, "--out", out, "--steps", 2, "--batch", 2, "--images", 12, "--quiet"]
    command += ["--samples", 80, "--classifier-steps", 3, "--games", "dcgan-wgan-gp", "infogan"]
    monkeypatch.setattr(sys, "argv", list(map(str, command)))
    assert program.main() == 0
    first = capsys.readouterr().out
    rows = [line.split(" | ") for line in first.splitlines() if line.startswith(("| dcgan", "| infogan", "| training"))]
    assert [cells[0] for cells in rows[-3:]] == ["| training images", "| dcgan-wgan-gp", "| infogan"]
    assert len(list((out / "images").iterdir())) == 12
    assert {path.name for path in (out / "sheets").iterdir()} == {"dcgan-wgan-gp.png", "infogan.png"}
    assert sum(line.startswith(tuple(f"| {i} |" for i in range(10))) for line in first.splitlines()) == 10
    counts = [line.split("|")[2:-1] for line in first.splitlines() if line[2:3].isdigit()]
    assert sum(int(cell) for line in counts for cell in line) == 80
    written = (out / "infogan" / "run.json").read_text()
    assert program.main() == 0
    assert (out / "infogan" / "run.json").read_text() == written
    assert capsys.readouterr().out == first


def test_the_figures_of_a_verdict_by_hand(program: ModuleType) -> None:
    verdict = program.Verdict(np.array([3, 3, 7, 7]), np.array([0.95, 0.9, 0.99, 0.2]), np.zeros((4, 64)))
    assert verdict.sure == 0.5
    assert verdict.entropy == pytest.approx(np.log(2) / np.log(10))
    assert verdict.shares.tolist() == [0, 0, 0, 0.5, 0, 0, 0, 0.5, 0, 0]
    collapsed = program.Verdict(np.array([4, 4]), np.ones(2), np.zeros((2, 64)))
    assert (collapsed.entropy, collapsed.shares.min()) == (0, 0)
    even = program.Verdict(np.arange(10), np.ones(10), np.zeros((10, 64)))
    assert (even.entropy, even.shares.min()) == (pytest.approx(1), 0.1)


def test_the_distance_does_not_depend_on_the_scale_of_the_features(program: ModuleType) -> None:
    rng = np.random.default_rng(0)
    features, real = rng.random((20, 64)), rng.random((30, 64))
    rows = {
        program.row("x", program.Verdict(np.arange(20) % 10, np.ones(20), scale * features), scale * real)
        for scale in (1.0, 4.0)
    }
    assert len(rows) == 1


def test_the_matrix_and_its_purity_by_hand(program: ModuleType) -> None:
    matrix = program.confusion(np.array([0, 0, 0, 1, 1, 2]), np.array([5, 5, 8, 1, 0, 1]))
    assert matrix.shape == (3, 10)
    assert (matrix[0, 5], matrix[0, 8], matrix[1, 0], matrix[1, 1], matrix[2, 1], matrix.sum()) == (2, 1, 1, 1, 1, 6)
    assert program.purity(matrix) == pytest.approx((2 + 1 + 1) / 6)
    assert "purity 0.667" in program.matrix_table("infogan", matrix)


def test_the_classifier_learns_digits_and_is_kept(program: ModuleType, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(100) % 10
    images = rng.integers(0, 60, (100, 28, 28)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[2 * label : 2 * label + 3, 4:24] = 255  # a bar whose height is the digit
    training = program.digits(images, labels)
    path = tmp_path / "classifier.pt"
    verdict = program.judged(program.trained_classifier(training, 80, path), training.images)
    assert (verdict.digit == labels).mean() > 0.95
    assert verdict.features.shape == (100, 64)
    again = program.judged(program.trained_classifier(training, 10_000_000, path), training.images)
    assert np.array_equal(again.features, verdict.features)
    logits = program.trained_classifier(training, 0, path)(training.images)
    assert torch.allclose(torch.from_numpy(verdict.probability), logits.softmax(1).amax(1))
