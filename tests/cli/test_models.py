"""The default model of a command, the list of models, and the destination of results."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import CliRunner

import i2i
from i2i.cli import group
from i2i.images import Image, read_image, write_image
from i2i.reporting.markdown import escaped
from i2i.runtime.model import catalog
from tests.conftest import Command
from tests.runtime.model.test_catalog import a_run


def test_the_newest_finished_run_is_taken_and_named(tmp_path: Path, i2i_inside: Command) -> None:
    a_run(tmp_path / "runs" / "one", at=1e9)
    a_run(tmp_path / "runs" / "two", at=1e9 + 5)
    a_run(tmp_path / "runs" / "three", "running", at=1e9 + 9)
    (tmp_path / "in").mkdir()
    write_image(tmp_path / "in" / "a.png", Image(np.zeros((4, 4, 3), np.uint8)))

    done = i2i_inside("translate", "in", cwd=tmp_path)
    assert done.returncode == 0
    assert "model runs/two/onnx/a2b.onnx (the newest finished run, runs/two): horses -> zebras" in done.stderr
    assert done.stdout.startswith(f"{tmp_path / 'in-zebras'}: 1 translated")
    done = i2i_inside("translate", "in/a.png", "--to", "horses", "-m", "one", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "in/a-horses.png\n")
    assert int(read_image(tmp_path / "in" / "a-horses.png").pixels.min()) == 255
    done = i2i_inside("translate", "in/a.png", "out/", "--to", "b2a", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "out/a.png\n")
    done = i2i_inside("translate", "in", "--to", "cows", cwd=tmp_path)
    assert done.returncode == 2
    assert "does not translate to 'cows'; it translates to zebras (a2b), horses (b2a)" in done.stderr

    lines = i2i_inside("models", cwd=tmp_path).stdout.splitlines()
    assert lines[:3] == [
        "  runs/one  cyclegan  horses -> zebras, zebras -> horses  finished, step 7, a2b, b2a",
        "  runs/three  cyclegan  horses -> zebras, zebras -> horses  running, step 7, a2b, b2a",
        "* runs/two  cyclegan  horses -> zebras, zebras -> horses  finished, step 7, a2b, b2a",
    ]


def test_without_a_run_the_default_model_is_taken(tmp_path: Path, i2i_inside: Command) -> None:
    write_image(tmp_path / "a.png", Image(np.full((40, 50, 3), 200, np.uint8)))
    done = i2i_inside("translate", "a.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "(the default; no finished run under runs/)" in done.stderr
    assert read_image(tmp_path / done.stdout.strip()).pixels.shape == (40, 50, 3)
    assert "\n* " in "\n" + i2i_inside("models", cwd=tmp_path).stdout


def test_the_mark_is_that_of_what_translate_takes(tmp_path: Path, i2i_inside: Command) -> None:
    a_run(tmp_path / "elsewhere" / "one", at=1e9)
    done = i2i_inside("models", "--runs", "elsewhere", cwd=tmp_path)
    assert next(line for line in done.stdout.splitlines() if line.startswith("*")).startswith("* day2night")
    assert "  elsewhere/one  cyclegan" in done.stdout


def test_a_damaged_run_is_listed_with_what_is_wrong(tmp_path: Path, i2i_inside: Command) -> None:
    a_run(tmp_path / "runs" / "one", at=1e9)
    (a_run(tmp_path / "runs" / "two", at=1e9 + 5) / "weights" / "a2b.safetensors").write_bytes(b"")
    done = i2i_inside("models", cwd=tmp_path)
    assert done.returncode == 0
    assert "  runs/one  cyclegan  horses -> zebras, zebras -> horses" in done.stdout
    assert (
        "* runs/two  cyclegan  cannot be used  finished, step 7, runs/two/weights/a2b.safetensors: damaged"
        in done.stdout
    )
    write_image(tmp_path / "a.png", Image(np.zeros((4, 4, 3), np.uint8)))
    done = i2i_inside("translate", "a.png", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: runs/two/weights/a2b.safetensors: damaged")


def test_the_shipped_models_are_listed_with_size_licence_and_speed_here(tmp_path: Path, i2i_inside: Command) -> None:
    done = i2i_inside("models", "--provider", "cpu", cwd=tmp_path)
    lines, entries = done.stdout.splitlines(), catalog.weights()
    assert len(lines) == len(entries) > 0
    for mark, line, entry in zip("*" + " " * len(entries), lines, entries, strict=False):
        size = f"{entry.facts['size'] / 1e6:.1f} MB"
        found = re.fullmatch(
            rf"\{mark} (\S+) +{re.escape(size)} +([\d.e+]+) ms  {re.escape(entry.facts['licence'])}  (.+)", line
        )
        assert found, line
        assert (found[1], found[3]) == (entry.name, entry.facts["about"])
        assert 0.1 < float(found[2]) < 60_000
    assert "256x256 pixels, median of 3, measured now on this machine (cpu, " in done.stderr


@pytest.mark.parametrize("entry", catalog.weights(), ids=lambda entry: entry.name)
def test_the_card_of_a_shipped_model(entry: catalog.Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    facts = entry.facts
    done = CliRunner().invoke(group, ["models", entry.name, "--provider", "cpu"])
    assert done.exit_code == 0, done.output
    shown = done.stdout
    for key in ("about", "licence", "credit", "data", "sha256", "protocol"):
        assert escaped(facts[key]) in shown, key
    assert f"\n{facts['command']}\n```" in shown
    assert f"{facts['macs'] / 1e9:.3g} G MACs" in shown
    assert f"with seed {facts['seed']}" in shown
    assert "measured now on this machine (cpu, " in shown
    assert shown.endswith(f"picture: {entry.picture}\n")
    for candidates in facts["metrics"].values():
        for name, value in candidates["result"].items():
            assert f"| {escaped(name)} | {value} |" in shown

    done = CliRunner().invoke(group, ["models", entry.name, "-o", "cards"])
    assert (done.exit_code, done.stdout) == (0, f"cards/{entry.name}.md\n")
    assert (tmp_path / "cards" / entry.picture.name).read_bytes() == entry.picture.read_bytes()
    _, header, body = (tmp_path / "cards" / f"{entry.name}.md").read_text(encoding="utf-8").split("---\n", 2)
    card = yaml.safe_load(header)
    assert (card["library_name"], card["pipeline_tag"]) == ("i2i", "image-to-image")
    assert card["license"] == facts["licence"].lower()
    results = card["model-index"][0]["results"]
    assert {each["dataset"]["name"]: {m["name"]: m["value"] for m in each["metrics"]} for each in results} == {
        name: candidates["result"] for name, candidates in facts["metrics"].items()
    }
    assert f"![Before and after]({entry.picture.name})" in body
    assert "this machine" not in body


def test_a_terminal_shows_the_card_formatted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "100")
    entry = catalog.weights()[0]
    group.main(["models", entry.name, "--provider", "cpu"], standalone_mode=False)
    shown = capsys.readouterr().out
    assert entry.facts["licence"] in shown
    assert "```" not in shown
    assert "| --- |" not in shown


def test_a_wrong_name_lists_what_there_is(tmp_path: Path, i2i_inside: Command) -> None:
    a_run(tmp_path / "runs" / "one", at=1e9)
    known = ", ".join(entry.name for entry in catalog.weights())
    done = i2i_inside("translate", "a.png", "-m", "rest", cwd=tmp_path)
    assert done.returncode == 2
    write_image(tmp_path / "a.png", Image(np.zeros((4, 4, 3), np.uint8)))
    done = i2i_inside("translate", "a.png", "-m", "rest", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith(
        f"error: no model 'rest': it is no file, no folder of a run, and none of one, {known}\n"
    )
    done = i2i_inside("models", "rest", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, f"error: no model 'rest' comes with i2i; it is none of {known}\n")
    done = i2i_inside("models", "one", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, "error: one is a run: `i2i report one --format md` writes its card\n")
    done = i2i_inside("models", "-o", "cards", cwd=tmp_path)
    assert done.returncode == 2
    assert "give its name" in done.stderr


@pytest.mark.parametrize("entry", catalog.weights(), ids=lambda entry: entry.name)
def test_a_shipped_model_is_taken_by_its_name(entry: catalog.Weights, tmp_path: Path, i2i_inside: Command) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (37, 50, 3), np.uint8)
    write_image(tmp_path / "a.png", Image(pixels))
    (tmp_path / entry.name).mkdir()  # a folder that is no run
    done = i2i_inside("translate", "a.png", "-m", entry.name, "--provider", "cpu", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"a-{entry.name}.png\n"), done.stderr
    assert f"model {entry.path} (it comes with i2i): " in done.stderr
    expected = i2i.load(entry.path, provider="cpu").translate([Image(pixels)])[0].pixels
    assert np.array_equal(read_image(tmp_path / f"a-{entry.name}.png").pixels, expected)
    assert isinstance(i2i.load(entry.name, provider="cpu"), i2i.Model)


def test_the_list_and_a_card_need_nothing_optional(tmp_path: Path) -> None:
    """Neither PyTorch nor Jinja, which a plain install lacks."""
    program = (
        "import sys; sys.modules.update(dict.fromkeys(('torch', 'jinja2', 'markupsafe')));"
        "from i2i.cli import main; main(sys.argv[1:])"
    )
    name = catalog.weights()[0].name
    for words in (["models"], ["models", name], ["models", name, "-o", "card"]):
        command = [sys.executable, "-c", program, *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "card" / f"{name}.md").is_file()
