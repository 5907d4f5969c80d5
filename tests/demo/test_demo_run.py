"""``i2i demo`` from end to end, and its treatment of existing files."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from click.testing import CliRunner

from i2i.cli import explain
from i2i.cli.demo import command
from i2i.demo import run as demo_run
from i2i.demo.paint import paint
from i2i.demo.scenes import scene
from i2i.demo.subprocesses import CommandError, run_all
from i2i.images import Image, list_images, read_image, write_image
from i2i.progress import Progress


@pytest.fixture(scope="module", autouse=True)
def _few_scenes():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo_run, "TRAINING", 8)
        yield


@pytest.fixture(scope="module")
def drawn(tmp_path_factory, _few_scenes):
    out = tmp_path_factory.mktemp("demo") / "world"
    demo_run.draw(out, seed=3)
    return out


def _bytes(out, folder):
    return [path.read_bytes() for path in list_images(out / folder)]


def test_pairs_show_the_same_scenes_and_the_unpaired_half_does_not(drawn):
    names = [[path.name for path in list_images(drawn / "pairs" / style)] for style in ("labels", "day")]
    assert names[0] == names[1]
    assert len(names[0]) == demo_run.TRAINING
    paired, day, test = (set(_bytes(drawn, folder)) for folder in ("pairs/day", "unpaired/day", "test/day"))
    assert len(paired) == len(day) == demo_run.TRAINING
    assert not paired & day
    assert not (paired | day) & test, "a test scene was trained on"


def test_the_truth_of_a_test_picture_is_the_same_scene_in_the_other_style(drawn):
    number = 3 * 10 * demo_run.APART + 3 * demo_run.APART
    for style in ("labels", "day", "night"):
        first = read_image(drawn / "test" / style / "000.png").pixels
        assert np.array_equal(first, paint(scene(number), style, demo_run.SIDE)), style


def test_drawing_again_keeps_what_is_there(drawn):
    changed = drawn / "pairs" / "labels" / "000.png"
    before = changed.read_bytes()
    changed.write_bytes(b"mine")
    said = demo_run.draw(drawn, seed=3)
    assert changed.read_bytes() == b"mine"
    assert said.startswith("0 images drawn")
    changed.write_bytes(before)


def _results(out, task, make):
    """Write ``make(source, truth)`` as the result of each test scene."""
    folder = out / "translated" / task.name
    folder.mkdir(parents=True, exist_ok=True)
    for path in list_images(out / "test" / task.source):
        truth = read_image(out / "test" / task.target / path.name).pixels
        write_image(folder / path.name, Image(make(read_image(path).pixels, truth)))


def test_right_and_wrong_results_are_distinguished(drawn):
    for task in demo_run.TASKS:
        lines = []
        _results(drawn, task, lambda source, truth: truth)
        assert demo_run._evaluate(drawn, task, lines.append)
        _results(drawn, task, lambda source, truth: source)
        assert not demo_run._evaluate(drawn, task, lines.append)
        assert "TOO HIGH" in lines[1]
        assert "TOO HIGH" not in lines[0]


def test_a_global_change_of_colours_does_not_pass_for_a_translation(drawn):
    """The best affine map of colours, fitted on the truth itself, lights no windows."""
    task = demo_run.TASKS[1]
    names = [path.name for path in list_images(drawn / "test" / "day")]
    day, night = (
        np.concatenate([read_image(drawn / "test" / style / name).pixels.reshape(-1, 3) for name in names])
        for style in ("day", "night")
    )
    fit = np.linalg.lstsq(np.c_[day, np.ones(len(day))].astype(float), night.astype(float), rcond=None)[0]

    def recolour(source, truth):
        mapped = source.reshape(-1, 3) @ fit[:3] + fit[3]
        return np.clip(np.round(mapped), 0, 255).astype(np.uint8).reshape(source.shape)

    _results(drawn, task, recolour)
    assert not demo_run._evaluate(drawn, task, lambda line: None)


def test_the_contact_sheet_shows_source_result_and_truth(drawn):
    for task in demo_run.TASKS:
        _results(drawn, task, lambda source, truth: truth)
    page = read_image(demo_run.contact_sheet(drawn)).pixels
    factor = -(-192 // demo_run.SIDE)
    for folder in ("test/labels", "translated/labels2day", "translated/day2night"):
        picture = read_image(drawn / folder / "000.png").pixels
        found = [
            (y, x)
            for y in range(40)
            for x in range(page.shape[1] - demo_run.SIDE * factor)
            if (page[y, x] == picture[0, 0]).all()
            and np.array_equal(
                page[y : y + demo_run.SIDE * factor : factor, x : x + demo_run.SIDE * factor : factor], picture
            )
        ]
        assert found, folder


def test_progress_counts_the_steps_of_a_training_that_has_not_begun(tmp_path, capsys):
    first, second = demo_run.TASKS
    first.run(tmp_path).mkdir(parents=True)
    (first.run(tmp_path) / "log.jsonl").write_text('{"step": 25}\n{"step": 50}\n')
    with Progress("step", "training", every=0, bar=False) as progress:
        demo_run._show(progress, tmp_path, 0.5)
    total = (first.steps + second.steps) // 2
    shown = f"50 of {total} steps  {first.name} 50/{first.steps // 2}, {second.name} 0/{second.steps // 2}"
    assert shown in capsys.readouterr().err


def test_without_pytorch_the_error_comes_before_any_drawing(monkeypatch, tmp_path):
    monkeypatch.setattr(demo_run, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError) as caught:
        demo_run.demo(tmp_path / "d")
    assert explain(caught.value) == (
        2,
        'this needs torch, which is not installed: pip install "i2i[train]"',
    )
    assert not (tmp_path / "d").exists()


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="is not a demo; give another folder with --out"):
        demo_run.demo(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_demo_of_another_seed_is_left_alone(tmp_path):
    demo_run._open_folder(tmp_path / "d", {"seed": 0, "scale": 1.0})
    demo_run._open_folder(tmp_path / "d", {"seed": 0, "scale": 1.0})
    with pytest.raises(ValueError, match="give another folder with --out"):
        demo_run._open_folder(tmp_path / "d", {"seed": 1, "scale": 1.0})
    assert json.loads((tmp_path / "d" / "demo.json").read_text()) == {"seed": 0, "scale": 1.0}


@pytest.mark.parametrize(("good", "status"), [(True, 0), (False, 1)])
def test_the_exit_status_reports_wrong_results(monkeypatch, tmp_path, good, status):
    asked = []
    monkeypatch.setattr(demo_run, "demo", lambda out, seed, say: asked.append((out, seed)) or good)
    result = CliRunner().invoke(command, ["--out", str(tmp_path / "d"), "--seed", "5"])
    assert result.exit_code == status
    assert asked == [(tmp_path / "d", 5)]


def test_a_command_that_fails_says_why(tmp_path):
    log = tmp_path / "runs" / "one.log"
    with pytest.raises(CommandError, match="i2i train ended with status 2") as caught:
        run_all({log: ["train", "pix2pix", "--no-such-option"], tmp_path / "other.log": ["--version"]})
    assert "--no-such-option" in str(caught.value)
    assert "--no-such-option" in log.read_text()


def test_commands_have_one_thread_each(tmp_path, monkeypatch):
    """Two small trainings on two cores: with the usual two threads each they take many times as long."""
    asked = []
    monkeypatch.setattr("i2i.demo.subprocesses.subprocess.Popen", lambda command, **how: asked.append(how) or _Done())
    run_all({tmp_path / "one.log": ["--version"]})
    assert asked[0]["env"]["OMP_NUM_THREADS"] == "1"
    assert asked[0]["start_new_session"]


class _Done:
    returncode = 0

    def poll(self):
        return 0

    def wait(self):
        return 0


@pytest.mark.slow
def test_a_short_demo_and_a_second_run(tmp_path):
    out, lines = tmp_path / "d", []
    demo_run.demo(out, 1, lines.append, scale=0.01)
    said = "\n".join(lines)
    for stage in ("drawing:", "training pix2pix", "exporting:", "translating with", "open "):
        assert stage in said, stage
    assert (out / "contact.png").stat().st_size > 50_000
    weights = {path: path.read_bytes() for path in out.glob("runs/*/weights/*")}
    assert len(weights) == 3

    lines.clear()
    demo_run.demo(out, 1, lines.append, scale=0.01)
    assert f"0 images drawn, {4 * demo_run.TRAINING + 3 * demo_run.TEST} kept" in "\n".join(lines)
    assert {path: path.read_bytes() for path in weights} == weights


@pytest.mark.slow
def test_a_demo_that_is_stopped_leaves_no_training_behind_and_goes_on(tmp_path):
    out = tmp_path / "d"
    log = tmp_path / "said"
    with open(log, "wb") as file:
        process = subprocess.Popen([sys.executable, "-m", "i2i", "demo", "--out", str(out)], stdout=file, stderr=file)
    runs = [out / "runs" / task.name for task in demo_run.TASKS]
    deadline = time.monotonic() + 200
    while not all((run / "log.jsonl").exists() and (run / "log.jsonl").stat().st_size for run in runs):
        assert time.monotonic() < deadline, log.read_text()
        assert process.poll() is None, log.read_text()
        time.sleep(0.2)
    process.terminate()
    assert process.wait(60) == 128 + signal.SIGTERM
    for run in runs:
        facts = json.loads((run / "run.json").read_text())
        assert facts["status"] == "stopped", "the training was not given the time to save"
        assert facts["step"] > 0
        before = (run / "log.jsonl").read_bytes()
        time.sleep(1)
        assert (run / "log.jsonl").read_bytes() == before, "the training goes on behind our back"
