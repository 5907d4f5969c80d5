"""Runs: failures, the files that a run leaves, and its messages."""

import errno
import io
import json
import os
import re
import shutil
import signal
import sys
import time
from itertools import count
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from i2i.cli.train import command
from i2i.engine import load_generators, report, train
from i2i.engine.auto_batch import largest_power, play_on_noise
from i2i.engine.distributed import World
from i2i.engine.options import defaults
from i2i.engine.prepare import describe_data, open_data
from i2i.engine.run_folder import Run
from i2i.engine.samples import named
from i2i.engine.statistics import NonFinite, Statistics
from i2i.engine.train_state import TrainState, made
from i2i.errors import DataError
from i2i.translators import TRANSLATORS, translator_class
from i2i.translators.cut import CUT
from i2i.translators.dclgan import DCLGAN
from i2i.translators.pix2pix import Pix2Pix
from tests.engine.comparison import same
from tests.engine.conftest import TINY
from tests.translators.cases import CASES


@pytest.fixture
def options(folders):
    return TINY["pix2pix"] | folders["pix2pix"] | {"sample_every": 0}


@pytest.mark.parametrize("method", TINY)
def test_the_files_of_a_run(method, folders, tmp_path, one_thread):
    options = TINY[method] | folders[method]
    run = train(method, **options, steps=4, sample_every=2, save_every=2, out=tmp_path / "run", quiet=True)
    facts = json.loads((run / "run.json").read_text())
    assert (facts["status"], facts["step"], facts["method"]) == ("finished", 4, method)
    assert facts["settings"]["batch"] == 2
    given = {k: v for k, v in options.items() if k in facts["hyperparameters"]}
    assert given
    assert facts["hyperparameters"].items() >= given.items()
    every = set(defaults(method))
    assert set(facts["hyperparameters"]) | set(facts["defaults"]) == every  # all of them are numbers and words
    assert set(facts["versions"]) == {"i2i", "torch", "python"}
    assert [path.name for path in sorted((run / "samples").iterdir())] == ["000000002.png", "000000004.png"]
    assert list((run / "tensorboard").iterdir())
    generators = load_generators(run)
    assert set(generators) == CASES[method].exports
    for direction, (_, spec) in generators.items():
        assert spec.method == method
        assert spec.recipe["step"] == 4
        assert set(spec.recipe["hyperparameters"]) == every
        assert str(tmp_path) not in spec.to_json()
        assert not any("/" in str(spec.recipe["settings"][key]) for key in ("a", "b", "data"))
        known = {"any": ("domains", "domains"), "generate": ("a", "a"), "energy": ("a", "a")}
        sides = known.get(direction, (direction[0], direction[-1]))
        assert (spec.source.name, spec.target.name) == sides
        assert spec.domains == (("rain", "shine", "snow") if direction == "any" else ())


def test_the_other_direction_is_named_by_the_users_folders(options, tmp_path, one_thread):
    run = train("pix2pix", **options, direction="b2a", steps=1, out=tmp_path / "run", quiet=True)
    ((direction, (_, spec)),) = load_generators(run).items()
    assert (direction, spec.source.name, spec.target.name) == ("b2a", "b", "a")
    assert [file.name for file in (run / "weights").iterdir()] == ["b2a.safetensors"]


def test_ema_zero_saves_the_weights_themselves(options, tmp_path, one_thread):
    run = train("pix2pix", **options, steps=3, ema=0, out=tmp_path / "run", quiet=True)
    state = torch.load(max((run / "state").iterdir()), weights_only=True)["game"]
    assert all(torch.equal(value, state["translator"][f"G.{key}"]) for key, value in state["ema"]["a2b"].items())


def test_a_loss_that_is_no_number_stops_the_run_and_names_its_player_and_term(
    options, tmp_path, monkeypatch, one_thread
):
    plain = Pix2Pix.generator_loss
    calls = iter(range(1000))

    def poisoned(self, v):
        terms = plain(self, v)
        return terms | {"l1": terms["l1"] * float("nan")} if next(calls) >= 5 else terms

    monkeypatch.setattr(Pix2Pix, "generator_loss", poisoned)
    with pytest.raises(NonFinite, match=r"step 6: player G, term l1\.") as stop:
        train("pix2pix", **options, steps=20, save_every=4, log_every=8, watch="off", out=tmp_path / "run", quiet=True)
    assert "run the same command again" in str(stop.value)
    assert [state.name for state in (tmp_path / "run" / "state").iterdir()] == ["000000004.pt"]
    weights = torch.load(tmp_path / "run" / "state" / "000000004.pt", weights_only=True)["game"]["translator"]
    assert all(torch.isfinite(value).all() for value in weights.values())
    monkeypatch.setattr(Pix2Pix, "generator_loss", plain)
    assert json.loads((train(out=tmp_path / "run", quiet=True) / "run.json").read_text())["status"] == "finished"


def test_weights_that_are_no_numbers_are_never_saved(options, tmp_path, monkeypatch, one_thread):
    from i2i.engine.train_state import TrainState

    plain = TrainState.step

    def broken(self, batch, number, rate):
        terms = plain(self, batch, number, rate)
        if number == 3:  # after the last loss that is looked at before the state is written
            next(self.translator.parameters()).data.fill_(float("inf"))
        return terms

    monkeypatch.setattr(TrainState, "step", broken)
    with pytest.raises(NonFinite, match="weights became NaN"):
        train("pix2pix", **options, steps=8, save_every=2, watch="off", out=tmp_path / "run", quiet=True)
    assert [state.name for state in (tmp_path / "run" / "state").iterdir()] == ["000000002.pt"]


def test_statistics_are_means_since_last_read():
    statistics = Statistics(World())
    for step, value in enumerate((1.0, 3.0)):
        statistics.add({"G/l1": torch.tensor(value), "D/gan": torch.tensor(2 * value)}, step)
    assert statistics.read() == {"G/l1": 2.0, "D/gan": 4.0}
    assert statistics.read() == {}


@pytest.fixture
def full_disk(monkeypatch):
    """Let saving a state fail as on a full disk: for the numbers of calls, from 0, that are in the set."""
    plain, calls, failing = torch.save, count(), set()

    def save(state, file):
        plain(state, file)
        if next(calls) in failing:
            file.truncate(100)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(torch, "save", save)
    return failing


def test_a_full_disk_stops_a_run_at_the_third_failure_in_a_row(options, tmp_path, full_disk, one_thread):
    options |= {"steps": 9, "save_every": 1}
    run = tmp_path / "run"
    unbroken = train("pix2pix", **options, out=tmp_path / "unbroken", quiet=True)
    full_disk |= {9 + 1, 9 + 2, 9 + 4, 9 + 5, 9 + 6}  # the states of steps 2, 3, 5, 6 and 7
    with (
        pytest.warns(UserWarning, match="training goes on") as seen,
        pytest.raises(OSError, match=r"No space left on device \(3 failures in a row\); free some space") as error,
    ):
        train("pix2pix", **options, out=run, quiet=True)
    assert error.value.filename == str(run / "state" / "000000007.pt")
    assert [state.name for state in sorted((run / "state").iterdir())] == ["000000001.pt", "000000004.pt"]
    assert [str(warning.message).partition(" (")[0] for warning in seen] == [
        f"not saved at step {n}" for n in (2, 3, 5, 6)
    ]
    ends = [str(warning.message).rpartition("; ")[2] for warning in seen]
    assert ends == [f"training goes on, and a restart would continue from step {n}" for n in (1, 1, 4, 4)]
    train(out=run, quiet=True)
    assert same(unbroken, run)


def test_a_full_disk_at_the_last_step_stops_the_run(options, tmp_path, full_disk, one_thread):
    full_disk |= {2}
    with pytest.raises(OSError, match="No space left on device; free some space") as error:
        train("pix2pix", **options, steps=9, save_every=3, out=tmp_path / "run", quiet=True)
    assert error.value.filename == str(tmp_path / "run" / "state" / "000000009.pt")
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "running"
    assert [state.name for state in sorted((tmp_path / "run" / "state").iterdir())] == ["000000003.pt", "000000006.pt"]


def test_a_log_that_cannot_be_written_does_not_end_a_run(options, tmp_path, one_thread, monkeypatch):
    plain, run = open, tmp_path / "run"

    def full(file, *arguments, **named):
        if str(file).endswith("log.jsonl") and arguments == ("a",):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))
        return plain(file, *arguments, **named)

    monkeypatch.setattr("builtins.open", full)
    with pytest.warns(UserWarning, match="training goes on"):
        train("pix2pix", **options, steps=2, out=run, quiet=True)
    assert json.loads((run / "run.json").read_text())["step"] == 2


def test_nothing_is_written_before_data_and_settings_are_right(options, tmp_path):
    out = tmp_path / "run"
    for wrong, words in (
        ({"data": str(tmp_path)}, "no 'train' data here"),
        ({"generator": "vit_3"}, "unet_N"),
        ({"batch": 0}, "at least 1"),
        ({"size": "256x"}, "HEIGHTxWIDTH"),
        ({"colour": 3}, "pix2pix has no colour"),
        ({"lambda_l1": "much"}, "expected a number"),
        ({"lr": "nan"}, r"^lr is 'nan'; expected a finite number such as 0\.0002$"),
        ({"lambda_l1": float("inf")}, r"^lambda_l1 is inf; expected a finite number such as 100\.0$"),
        ({"ngf": "nan"}, r"^ngf is 'nan'; expected a number such as 64$"),
        ({"ngf": "2.5"}, r"^ngf is '2\.5'; expected a whole number such as 64$"),
        ({"ema": "nan"}, r"^ema is 'nan'; expected a finite number such as 0\.999$"),
        ({"seed": 99999999999999999999}, r"^seed is 9{20}; expected a whole number from -2\^63 to 2\^64 - 1$"),
        ({"seed": -(2**63) - 1}, r"expected a whole number from -2\^63"),
        ({"objective": "wgan"}, "constraint"),
        ({"precision": "fp16"}, "needs a GPU"),
        ({"background": 300}, "background is 300; expected edge or 0 to 255"),
        ({"preset": "slow"}, "paper, fast"),
    ):
        with pytest.raises(ValueError, match=words):
            train("pix2pix", **(options | wrong), out=out, quiet=True)
    with pytest.raises(ValueError, match="pix2pix, cyclegan"):
        train("pix3pix", **options, out=out, quiet=True)
    with pytest.raises(ValueError, match="--data DIR"):
        train("pix2pix", quiet=True)
    assert not out.exists()


@pytest.mark.parametrize(("data", "images"), [("gan", 7), ("stargan", 21)], ids=["one folder", "class folders"])
def test_a_generator_needs_as_many_images_as_a_batch_has(data, images, folders, tmp_path, one_thread):
    options = TINY["gan"] | folders[data] | {"steps": 1, "sample_every": 0, "quiet": True}
    with pytest.raises(DataError, match=f"{images} images for batches of {images + 1}; add images, or "):
        train("gan", **(options | {"batch": images + 1}), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    train("gan", **(options | {"batch": images}), out=tmp_path / "run")


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(options, tmp_path):
    arguments = ["pix2pix", "--data", options["data"], "--out", str(tmp_path / "run"), "--steps", "5", "--dry-run"]
    arguments += ["--size", "64", "--set", "generator=unet_64"]
    done = CliRunner().invoke(command, arguments)
    assert done.exit_code == 0, done.output
    assert "player G: 29.244 M parameters" in done.output
    assert "source a: 7 images" in done.output
    assert re.search(r"^time: [\d.]+ m?s a step here, 5 steps: .*, until ", done.output, re.MULTILINE)
    assert re.search(r"^peak memory: \d+\.\d GB$", done.output, re.MULTILINE)
    # 32.013 M parameters and two moments of each, the averaged generator, three times, in float32
    assert re.search(r"^disk: [\d.]+ GB \(states 1\.5 GB, weights 117 MB, ", done.output, re.MULTILINE)
    assert not (tmp_path / "run").exists()


def test_few_images_get_a_note_about_few_steps(folders, tmp_path):
    """A length by epochs, of so few images that the networks would hardly move."""
    arguments = ["dcgan", "--data", folders["dcgan"]["data"], "--out", str(tmp_path / "run"), "--dry-run"]
    arguments += ["--batch", "7", "--size", "16", "--set", "ngf=2", "--set", "ndf=2"]
    said = CliRunner().invoke(command, arguments).output
    assert (
        "note: 200 epochs of these images are 200 moves of the slowest player, and most trainings need 5000 or more: "
        "give the length in steps (--steps 5000)\n"
    ) in said
    said = CliRunner().invoke(command, [*arguments, "--set", "n_critic=5"]).output
    assert "are 40 moves of the slowest player" in said
    assert "(--steps 25000)" in said
    for longer in (["--epochs", "5000"], ["--steps", "20"]):
        assert "slowest player" not in CliRunner().invoke(command, [*arguments, *longer]).output


def test_batch_norm_over_several_images_is_warned_of(options, tmp_path, one_thread, capsys):
    train("pix2pix", **(options | {"norm": "batch"}), steps=1, out=tmp_path / "two")
    assert "--set norm=instance" in capsys.readouterr().err
    train("pix2pix", **(options | {"norm": "batch", "batch": 1}), steps=1, out=tmp_path / "one")
    assert "--set norm=instance" not in capsys.readouterr().err


def test_a_second_signal_ends_the_process_at_once(monkeypatch):
    from i2i.engine import interrupt

    ended = []
    monkeypatch.setattr(interrupt.os, "_exit", ended.append)
    with interrupt.Signals() as signals:
        os.kill(os.getpid(), signal.SIGUSR1)
        assert (signals.received, ended) == (signal.SIGUSR1, [])
        os.kill(os.getpid(), signal.SIGINT)
        assert ended == [130]


def test_presets_give_way_to_what_is_given(options, tmp_path):
    run = Run.open("pix2pix", tmp_path / "run", {"data": options["data"], "preset": "fast", "ngf": "8"})
    assert (run.settings.epochs, run.hyperparameters["ngf"], run.hyperparameters["upsample"]) == (100, 8, "resize")
    run = Run.open("pix2pix", tmp_path / "run", {"data": options["data"], "preset": "cpu"})
    assert (run.settings.size, run.settings.steps, run.hyperparameters["generator"]) == ((128, 128), 10_000, "unet_128")
    run = Run.open("pix2pix", tmp_path / "run", {"data": options["data"], "preset": "paper"})
    assert (run.settings.epochs, run.settings.ema, run.hyperparameters) == (200, 0.0, {})


def test_the_paper_preset_is_the_authors_run(options, tmp_path, monkeypatch):
    monkeypatch.setattr(Pix2Pix, "authors", {"size": (128, 128), "batch": 16, "steps": 200000})
    given = {"data": options["data"], "preset": "paper"}
    settings = Run.open("pix2pix", tmp_path / "run", given).settings
    assert (settings.size, settings.batch, settings.steps) == ((128, 128), 16, 200000)
    settings = Run.open("pix2pix", tmp_path / "run", given | {"epochs": 7, "batch": 2}).settings
    assert (settings.batch, settings.steps, settings.epochs) == (2, 0, 7)


@pytest.mark.parametrize("method", [name for name in TRANSLATORS if translator_class(name).data == "unpaired"])
def test_the_good_preset_keeps_colours(method, options, tmp_path):
    hyper = Run.open(method, tmp_path / "run", {"data": options["data"], "preset": "good"}).hyperparameters
    known = defaults(method)
    contrastive = issubclass(translator_class(method), CUT | DCLGAN)
    assert hyper.get("norm") == ("group" if known.get("norm") == "instance" else None)
    assert hyper.get("upsample") == ("resize" if known.get("upsample") in ("deconv", "blur") else None)
    assert hyper.get("residual", False) is contrastive
    assert {"dclgan": ("lsgan", 50)}.get(method) in (None, (hyper.get("objective"), hyper.get("pool")))
    given = {"data": options["data"], "preset": "good", "norm": "layer", "residual": "false"}
    if contrastive:
        hyper = Run.open(method, tmp_path / "run", given).hyperparameters
        assert (hyper["norm"], hyper["residual"], hyper["upsample"]) == ("layer", False, "resize")


def test_the_help_names_methods_that_there_are():
    lines = CliRunner().invoke(command, ["--help"]).output.splitlines()
    block = lines[lines.index("  pix2pix pix2pixhd             pairs") :]
    named = {word for line in block[: block.index("")] for word in line[:32].split() if ":" not in word}
    assert {"pix2pix", "stargan"} <= named <= set(TRANSLATORS)


AUTHORS = {
    "pix2pix": {"epochs": 200},
    "cyclegan": {"epochs": 200},
    "cut": {"epochs": 400},
    "fastcut": {"epochs": 200},
    "stargan": {"size": (128, 128), "batch": 16, "steps": 200_000},
    "unit": {"steps": 500_000, "schedule": "constant"},
}


@pytest.mark.parametrize("method", AUTHORS)
def test_the_authors_settings(method):
    assert translator_class(method).authors == AUTHORS[method]


def test_the_default_batch_is_the_authors(options, tmp_path):
    assert Run.open("stargan", tmp_path / "run", {"data": options["data"]}).settings.batch == 16
    assert Run.open("stargan", tmp_path / "run", {"data": options["data"], "batch": 4}).settings.batch == 4
    assert Run.open("cyclegan", tmp_path / "run", {"data": options["data"]}).settings.batch == 1


EMPTY = pytest.mark.filterwarnings("ignore:Initializing zero-element")


@pytest.mark.parametrize(
    ("method", "hyperparameters", "size", "words"),
    [
        ("cyclegan", {"ngf": -1}, 32, "cannot be made with"),
        pytest.param("cyclegan", {"ngf": 0}, 32, "has empty layers: ", marks=EMPTY),
        ("cyclegan", {"pool": -1, "ngf": 2, "ndf": 2}, 32, "pool is -1"),
        ("cut", {"patches": -1}, 32, "at least 2"),
        ("cyclegan", {"generator": "resnet_1", "ngf": 2, "ndf": 2}, 4, "images from 5 x 5"),
    ],
)
def test_impossible_networks_are_errors_with_a_reason(method, hyperparameters, size, words, tmp_path):
    run = Run.open(method, tmp_path / "run", {"data": str(tmp_path), "size": size} | hyperparameters)
    run.facts |= {"source": {"channels": 3}, "target": {"channels": 3}}
    with pytest.raises(ValueError, match=words):
        made(run)


def test_domains_are_captioned_by_name():
    assert [named(view, ("rain", "shine")) for view in ("x", "G(x,1)", "G(G(x,1),c)", "F(G(x))")] == [
        "x", "G(x,shine)", "G(G(x,shine),c)", "F(G(x))"
    ]  # fmt: skip
    assert named("G(x,1)", ()) == "G(x,1)"


def test_numbers_as_text(options, tmp_path):
    def opened(**given):
        return Run.open("pix2pix", tmp_path / "run", {"data": options["data"]} | given)

    assert opened(steps="1e3").settings.steps == 1000
    assert opened(seed=str(2**62 + 1)).settings.seed == 2**62 + 1
    assert opened(lr="1e-4", ngf="8", dropout="off").hyperparameters == {"lr": 1e-4, "ngf": 8, "dropout": False}
    for given, words in (
        ({"seed": "1.5"}, "whole number"),
        ({"ema": "2"}, "0 <= ema < 1"),
        ({"steps": "many"}, "expected a number"),
        ({"dropout": "perhaps"}, "true or false"),
    ):
        with pytest.raises(ValueError, match=words):
            opened(**given)


def test_a_setting_is_no_hyperparameter(options):
    for name in ("method", "size", "quiet"):
        done = CliRunner().invoke(command, ["pix2pix", "--data", options["data"], "--set", f"{name}=x"])
        assert done.exit_code == 2
        assert f"--{name}" in done.output


def test_the_default_folder_is_named_after_the_domains(tmp_path):
    for name in ("horses/train", "zebras/train"):
        (tmp_path / name).mkdir(parents=True)
    given = {"a": tmp_path / "horses" / "train", "b": tmp_path / "zebras" / "train"}
    assert Run.open("cyclegan", None, given).path == Path("runs/cyclegan-horses2zebras")
    (tmp_path / "ponies").symlink_to(tmp_path / "horses")
    linked = Run.open("cyclegan", None, given | {"a": str(tmp_path / "ponies")})
    assert linked.path == Path("runs/cyclegan-ponies2zebras")
    assert linked.settings.a == str(tmp_path / "ponies")


@pytest.mark.parametrize(
    ("more", "found"),
    [
        ({"size": 64}, 64),
        ({"size": "96x200"}, 96),
        ({"size": 200}, None),
        ({}, None),
        ({"size": 64, "image_size": 32}, 32),
    ],
)
def test_the_classifier_of_stargan_takes_in_no_more_than_there_is(more, found, tmp_path):
    run = Run.open("stargan", tmp_path / "run", {"data": tmp_path, **more})
    assert run.hyperparameters.get("image_size") == found
    assert Run.open("cyclegan", tmp_path / "run", {"data": tmp_path, "size": 64}).hyperparameters == {}


def test_the_log_says_what_share_of_the_time_steps_waited_for_data(tmp_path, monkeypatch):
    now = 0.0

    def slow():
        nonlocal now
        while True:
            now += 3.0
            yield {}

    monkeypatch.setattr(report.time, "monotonic", lambda: now)
    batches = slow()
    with report.Reporter(tmp_path, 0, 8, 1, World(), quiet=True) as reporter:
        reporter.begin()
        for step in range(1, 5):
            reporter.fetch(batches)
            now += 1.0
            if step in (2, 4):
                reporter.figures(step, 1.0, {})
            now += 2.0 * (step == 2)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["data_wait"] for line in lines] == [6 / 8, 6 / 10]
    assert lines[0]["images_per_second"] == 2 / 8


def test_a_bar_moves_with_the_steps(tmp_path, monkeypatch):
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr("i2i.engine.pace.SOON", 0.02)
    with report.Reporter(tmp_path, 2, 8, 1, World(), quiet=False) as reporter:
        for step in range(3, 7):
            reporter.advance(step, lambda: {"G/l1": 0.5})
            time.sleep(0.01)
        (task,) = reporter.progress.bar.tasks
        assert (task.completed, task.total) == (6, 8)
        assert task.time_remaining is not None
        assert "G/l1 0.5" in task.fields["facts"]


def test_a_full_disk_at_a_sample_sheet_does_not_end_a_run(options, tmp_path, monkeypatch, one_thread):
    from i2i.engine import samples

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "sheet.png")

    monkeypatch.setattr(samples, "sample_sheet", full)
    with pytest.warns(UserWarning, match="training goes on"):
        run = train("pix2pix", **(options | {"sample_every": 1}), steps=2, out=tmp_path / "run", quiet=True)
    assert json.loads((run / "run.json").read_text())["status"] == "finished"


def test_a_held_out_split_that_is_not_in_order_is_not_shown(options, tmp_path, one_thread):
    shutil.copytree(options["data"], tmp_path / "data")
    for file in (tmp_path / "data" / "val").iterdir():
        file.write_bytes(b"no image")
    given = options | {"data": tmp_path / "data", "sample_every": 1}
    run = train("pix2pix", **given, steps=1, out=tmp_path / "run", quiet=True)
    assert (run / "samples" / "000000001.png").exists()


def test_the_command_exits_with_the_signals_status(options, tmp_path, monkeypatch, i2i_inside):
    """Ctrl-C: saved, 130, and the same command goes on."""
    step, at = TrainState.step, iter(range(1, 100))

    def interrupted(self, *rest):
        if next(at) == 10:
            signal.raise_signal(signal.SIGINT)
        return step(self, *rest)

    monkeypatch.setattr(TrainState, "step", interrupted)
    arguments = ["pix2pix", "--data", options["data"], "--out", str(tmp_path / "run")]
    arguments += ["--size", "64", "--steps", "100000", "--log-every", "5"]
    for value in ("generator=unet_64", "ngf=2", "ndf=2", "norm=instance"):
        arguments += ["--set", value]
    done = i2i_inside("train", *arguments)
    assert done.returncode == 130, done.stderr
    assert "step 10" in done.stderr
    assert "run the same command again" in done.stderr
    assert json.loads((tmp_path / "run" / "run.json").read_text())["step"] == 10
    assert i2i_inside("train", *arguments, "--steps", "12").returncode == 0
    assert json.loads((tmp_path / "run" / "run.json").read_text())["step"] == 12


def test_a_method_of_ones_own(options, tmp_path, one_thread):
    run = train("tests.engine.own:Own", **options, steps=1, out=tmp_path / "run", quiet=True)
    assert load_generators(run)["a2b"][1].method == "tests.engine.own:Own"


def test_batch_auto_is_found_once_and_kept(options, tmp_path, monkeypatch, one_thread):
    from i2i.engine import loop

    found = iter([4])
    monkeypatch.setattr(loop, "fitting_batch", lambda run, world: next(found))
    arguments = options | {"batch": "auto", "steps": 2}
    run = train("pix2pix", **arguments, save_every=1, out=tmp_path / "run", quiet=True)
    assert json.loads((run / "run.json").read_text())["settings"]["batch"] == 4
    train("pix2pix", **(arguments | {"steps": 3}), out=run, quiet=True)  # the same command, longer
    assert json.loads((run / "run.json").read_text())["settings"]["batch"] == 4
    monkeypatch.undo()
    run = train("pix2pix", **arguments, out=tmp_path / "here", quiet=True)
    assert json.loads((run / "run.json").read_text())["settings"]["batch"] == 1  # on a CPU


def test_the_largest_batch():
    def attempt(images):
        if images > 12:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return True

    assert largest_power(attempt, 256) == 8
    assert largest_power(attempt, 7) == 4  # few images: an epoch keeps its steps
    assert largest_power(attempt, 0) == 1
    assert largest_power(lambda images: images <= 3, 256) == 2
    assert largest_power(lambda images: False, 256) == 1  # it fits, with little room left

    def nothing_fits(images):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        largest_power(nothing_fits, 256)


@pytest.mark.parametrize(("method", "more"), [("stargan", {"n_critic": 3}), ("cyclegan", {}), ("stackgan", {})])
def test_a_trial_of_a_batch_moves_every_player(method, more, folders, tmp_path, one_thread):
    """Peak memory is measured, so a player that moves in every third step must move in the trial."""
    run = Run.open(method, tmp_path / "run", TINY[method] | folders[method] | more)
    describe_data(run, open_data(run.settings))
    game = TrainState(run, World())
    play_on_noise(run, game, 2)
    assert all(len(move.optimizer.state) == len(move.parameters) for move in game.moves.values())


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX limits")
def test_the_command_says_that_the_disk_is_full(options, tmp_path, i2i_inside):
    import resource

    run = tmp_path / "run"
    words = ("train", "pix2pix", "--data", options["data"], "--size", "32", "--steps", "2", "--sample-every", "0")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        done = i2i_inside(*words, "--set", "generator=resnet_1", "--out", run)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert done.returncode == 1
    error = done.stderr.splitlines()[-1]
    assert error.startswith(f"error: {run / 'state' / '000000002.pt'}: File too large; free some space")
    assert "Traceback" not in done.stderr
    assert not list((run / "state").iterdir())


@pytest.mark.parametrize("seed", [-(2**63), 2**64 - 1])
def test_the_least_and_the_largest_seed(options, tmp_path, one_thread, seed):
    run = train("pix2pix", **options, steps=1, seed=seed, out=tmp_path / "run", quiet=True)
    assert json.loads((run / "run.json").read_text())["settings"]["seed"] == seed
