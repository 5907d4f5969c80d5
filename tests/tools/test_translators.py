"""The program of the tables of translators: on drawings, and its rank correlations on figures whose ranks are known."""

from __future__ import annotations

import importlib.util
import json
import math
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest

import i2i
from i2i.images import Image, read_image, write_image
from tests.evaluation.conftest import drawing, features  # noqa: F401

pytest.importorskip("torch")
pytest.importorskip("scipy")
TOOL = Path(__file__).resolve().parents[2] / "tools" / "reproduce" / "translators.py"


@pytest.fixture
def program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("translators", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def emoji(tmp_path: Path) -> Path:
    """Negatives as the other domain; the pair 2 of the test split has an image that was trained on."""
    for name, numbers in (("train", range(20, 40)), ("test", range(8))):
        for side in "AB":
            (tmp_path / f"emoji/{name}{side}").mkdir(parents=True)
            for number in numbers:
                pixels = drawing(number, 32)
                image = Image(pixels if side == "A" else 255 - pixels)
                write_image(tmp_path / f"emoji/{name}{side}/{number:02}.png", image)
    write_image(tmp_path / "emoji/trainB/99.png", Image(255 - drawing(2, 32)))
    return tmp_path / "emoji"


def row(seed: int | None, step: int = 1, **values: float) -> dict[str, Any]:
    found: dict[str, Any] = {"method": f"m{seed}", "figures": {name: {"value": v} for name, v in values.items()}}
    return found if seed is None else found | {"seed": seed, "step": step, "weights": "best"}


def test_metrics_that_rank_as_the_truth_does_agree(program: ModuleType) -> None:
    """KID is better when lower, PSNR when higher; equal weights under two names count once."""
    rows = [row(n, KID=value, PSNR=20 - n, L1=n) for n, value in enumerate((1.0, 2.0, 4.0, 3.0))]
    assert program.correlation(rows, "KID", "PSNR") == (pytest.approx(0.8), 4)  # 1 - 6 * 2 / (4 * 15)
    assert program.correlation(rows, "KID", "L1")[0] == pytest.approx(0.8)
    assert program.correlation(rows, "PSNR", "L1")[0] == pytest.approx(1)
    both = [*rows, rows[3], row(None, KID=0.5, PSNR=1, L1=50, edges=0.5)]
    text = program.agreement(both)
    assert text.startswith("4 networks, and 1 controls")
    assert "| KID | 0.80 / -0.10 | 0.80 / -0.10 |" in text  # ranks 2 3 5 4 1 against 1 2 3 4 5: 1 - 6 * 22 / 120
    assert "| edges (0 networks) |  /  |" in text
    averaged = [each | {"weights": weights} for each in rows[:4] for weights in ("best", "newest", "unaveraged")]
    assert program.agreement(averaged).startswith("8 networks, and 0 controls")


def test_a_cell_has_the_deviation_over_seeds_and_the_interval_of_the_first(program: ModuleType) -> None:
    group = [row(n, KID=value) for n, value in enumerate((10.0, 12.0, 17.0))]
    for each in group:
        each["figures"]["KID"] |= {"low": each["figures"]["KID"]["value"] - 1, "high": 20.0}
    assert program.cell(group, "KID") == "13.00 ± 3.61 [9.00, 20.00]"
    assert math.isnan(program.value(group[0], "PSNR"))


def test_pairs_with_a_training_image_are_left_out(program: ModuleType, emoji: Path, tmp_path: Path) -> None:
    assert program.without_trained(emoji, tmp_path / "copy") == 1
    for side in "AB":
        names = sorted(path.stem for path in (tmp_path / f"copy/test{side}").iterdir())
        assert names == ["00", "01", "03", "04", "05", "06", "07"]
    for copy in (emoji, emoji / "copy", emoji.parent):
        with pytest.raises(ValueError, match="give another --out"):
            program.without_trained(emoji, copy)
    assert (emoji / "testA").is_dir()


@pytest.mark.slow
def test_the_program_trains_measures_and_takes_what_is_finished(
    program: ModuleType, emoji: Path, tmp_path: Path, features: str, monkeypatch: pytest.MonkeyPatch,  # noqa: F811
    capsys: pytest.CaptureFixture[str], one_thread: None,
) -> None:  # fmt: skip
    small = {"ngf": 2, "ndf": 2, "generator": "resnet_1", "discriminator": "patch_1", "steps": 2}
    small |= {"eval_every": 1, "eval_features": features, "val_share": 0.3}
    task = {"runs": {("cyclegan", 0): "c"}, "direction": "a2b", "size": 32, "settings": small, "pairs_of_test": True}
    task["unaveraged"] = True
    monkeypatch.setattr(program, "TASKS", {"emoji": task})
    out = tmp_path / "results.json"
    words = {"--emoji": emoji, "--runs": tmp_path / "runs", "--out": out, "--features": features}
    monkeypatch.setattr(sys, "argv", [str(TOOL), *(str(word) for pair in words.items() for word in pair)])
    program.main()
    found = json.loads(out.read_text())["emoji"]
    assert (found["left_out_pairs"], [w for w in found["warnings"] if "trained on" in w]) == (1, [])
    rows = found["rows"]
    assert [each["method"] for each in rows] == [
        "cyclegan", "the input itself", "the mean training image", "cyclegan", "cyclegan", "a random training image",
        "the input, blurred",
    ]  # fmt: skip
    assert [rows[n].get("weights") for n in (0, 3, 4)] == ["newest", "best", "unaveraged"]
    assert rows[0]["step"] == rows[4]["step"] == 2
    averaged, itself = (onnx.load(out.with_suffix("") / f"models/c-a2b-{n}.onnx") for n in ("newest", "unaveraged"))
    assert averaged.graph.initializer != itself.graph.initializer
    assert {"KID", "edges", "cycle-L1", "L1", "perceptual"} <= rows[0]["figures"].keys()
    expected = np.mean([np.abs(255 - 2.0 * drawing(n)).mean() / 255 for n in (0, 1, 3, 4, 5, 6, 7)])
    assert rows[1]["figures"]["L1"]["value"] == pytest.approx(expected)
    assert read_image(tmp_path / "results-emoji.png").width > 4 * 192
    assert "## emoji: 7 images, 1 left out" in capsys.readouterr().out
    state = tmp_path / "runs/c/state"
    before = {path.name: path.stat().st_mtime_ns for path in state.iterdir()}
    runs = program.trained("emoji", emoji, tmp_path / "runs", True)
    assert runs == {("cyclegan", 0): tmp_path / "runs" / "c"}
    assert {path.name: path.stat().st_mtime_ns for path in state.iterdir()} == before  # it is not trained again
    monkeypatch.setattr(program.i2i, "evaluate", None)  # and what was measured not measured again
    work, options = out.with_suffix(""), {"features": features, "provider": "cpu"}
    again, _, _ = program.measured(work / "emoji", "emoji", runs, work, options)
    assert again == rows[:5]
    small["ngf"] = 3
    with pytest.raises(ValueError, match="ngf"):
        program.trained("emoji", emoji, tmp_path / "runs", True)


def test_photos_have_controls_and_data_without_a_test_split_is_refused_before_training(
    program: ModuleType, emoji: Path, tmp_path: Path, features: str, monkeypatch: pytest.MonkeyPatch,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    task = {"direction": "a2b", "size": 32, "paired": False}
    images = program.from_data(emoji, None, None, "test", "a2b", False)
    rows = program.control_rows(images, emoji, tmp_path / "controls", task, {"features": features, "provider": "cpu"})
    assert [each["method"] for each in rows] == ["a random training image", "the input, blurred"]
    assert rows[0]["figures"].keys() & {"KID", "PSNR"} == {"KID"}
    monkeypatch.setattr(program.i2i, "train", None)
    words = [str(TOOL), "--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "out.json"), "--features", features]
    monkeypatch.setattr(sys, "argv", [*words, "--photos", str(emoji), "--only", "none of this name"])
    program.main()
    assert "photos: no run to measure" in capsys.readouterr().err
    for side in "AB":
        (emoji / f"test{side}").rename(emoji / f"val{side}")
    monkeypatch.setattr(sys, "argv", [*words, "--photos", str(emoji)])
    with pytest.raises(i2i.DataError, match="test"):
        program.main()
