"""A run that is stopped in any way, and started again, ends as the unbroken one: to the bit."""

import errno
import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch

from i2i.engine import train
from i2i.engine.distributed import World
from i2i.engine.interrupt import Interrupted
from i2i.engine.prepare import resolve_precision
from i2i.engine.report import Reporter
from i2i.engine.run_folder import Run
from i2i.engine.settings import Settings
from i2i.engine.step import Move
from i2i.translators import Player
from tests.engine.comparison import same
from tests.engine.conftest import TINY


@pytest.fixture
def options(folders):
    return {"method": "pix2pix", **TINY["pix2pix"], **folders["pix2pix"], "sample_every": 0}


@pytest.mark.parametrize(("method", "workers"), [(m, 3 if m in ("cyclegan", "stargan") else 0) for m in TINY])
def test_stopped_by_a_signal(method, workers, folders, tmp_path, one_thread, monkeypatch):
    """SIGTERM in the middle of an epoch: the state is saved, the exit status says so, the rest is as it would be."""
    options = {"method": method, **TINY[method], **folders[method], "steps": 8, "save_every": 100, "sample_every": 0}
    unbroken = train(**options, out=tmp_path / "unbroken", quiet=True)

    from i2i.engine.train_state import TrainState

    plain = TrainState.step

    def interrupted(self, batch, number, rate):
        if number == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return plain(self, batch, number, rate)

    monkeypatch.setattr(TrainState, "step", interrupted)
    with pytest.raises(Interrupted, match="step 5") as stop:
        train(**options, workers=workers, out=tmp_path / "stopped", quiet=True)
    assert stop.value.exit_status == 143
    assert json.loads((tmp_path / "stopped" / "run.json").read_text())["status"] == "stopped"
    monkeypatch.setattr(TrainState, "step", plain)
    train(out=tmp_path / "stopped", quiet=True)  # the folder alone says all
    assert same(unbroken, tmp_path / "stopped")


def test_a_damaged_state_is_passed_over(options, tmp_path, one_thread):
    options |= {"steps": 6, "save_every": 2}
    run = train(**options, out=tmp_path / "run", quiet=True)
    unbroken = train(**options, out=tmp_path / "unbroken", quiet=True)
    states = sorted((run / "state").iterdir())
    assert [state.name for state in states] == ["000000004.pt", "000000006.pt"]  # two are kept
    states[-1].write_bytes(states[-1].read_bytes()[:1000])
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(facts | {"status": "running"}))
    with pytest.warns(UserWarning, match="000000006.pt is damaged") as seen:
        train(out=run, quiet=True)
    assert "\n" not in str(seen[0].message)
    assert same(unbroken, run)
    assert [state.name for state in (run / "state").glob("*.damaged")] == ["000000006.damaged"]

    assert sorted(state.name for state in (run / "state").iterdir())[0] == "000000004.pt"
    for state in (run / "state").glob("*.pt"):
        state.write_bytes(b"")
    (run / "run.json").write_text(json.dumps(facts | {"status": "running"}))
    with pytest.warns(UserWarning, match="damaged"), pytest.raises(ValueError, match="none of the states"):
        train(out=run, quiet=True)  # never from the beginning, over what there is


@pytest.mark.parametrize("position", [1000, -1000, -71, -1])
def test_one_wrong_bit_of_a_state_is_found(position, tmp_path):
    """At any place: among the weights, in the directory of the archive, and in the digest."""
    run = Run(tmp_path, Settings("pix2pix"), {}, {})
    for step in (1, 2):
        run.save_state(step, {"step": step, "weights": torch.full((1000,), float(step))})
    assert torch.load(tmp_path / "state" / "000000002.pt")["step"] == 2  # an ordinary file of PyTorch
    path = tmp_path / "state" / "000000002.pt"
    data = bytearray(path.read_bytes())
    data[position] ^= 16
    path.write_bytes(data)
    with pytest.warns(UserWarning, match=r"000000002.pt is damaged \(.*\); going back one state"):
        state = run.newest_state()
    assert state["step"] == 1
    assert torch.equal(state["weights"], torch.ones(1000))


def test_a_state_without_a_digest_is_read(tmp_path):
    """Runs that were begun before states had digests go on."""
    run = Run(tmp_path, Settings("pix2pix"), {}, {})
    (tmp_path / "state").mkdir()
    torch.save({"step": 3}, tmp_path / "state" / "000000003.pt")
    assert run.newest_state() == {"step": 3}


def test_a_kill_after_the_last_state_and_before_its_weights(options, tmp_path, monkeypatch, one_thread):
    from i2i.engine import train_state

    options |= {"steps": 4, "save_every": 2}
    unbroken = train(**options, out=tmp_path / "unbroken", quiet=True)
    plain, calls = train_state.save_weights, iter(range(9))

    def killed(*arguments):
        if next(calls) == 1:
            raise KeyboardInterrupt
        plain(*arguments)

    monkeypatch.setattr(train_state, "save_weights", killed)
    with pytest.raises(KeyboardInterrupt):
        train(**options, out=tmp_path / "run", quiet=True)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "running"
    train(**options, out=tmp_path / "run", quiet=True)
    assert same(unbroken, tmp_path / "run")


def test_two_trainings_do_not_share_a_folder(options, tmp_path, one_thread):
    from i2i.atomic import lock

    run = train(**options, steps=1, out=tmp_path / "run", quiet=True)
    (run / "weights" / ".i2i-left.part").write_bytes(b"half")
    with open(run / ".lock", "w") as other:
        lock(other)
        with pytest.raises(ValueError, match="another training is running"):
            train(**options, steps=2, out=run, quiet=True)
    train(**options, steps=2, out=run, quiet=True)
    assert not list(run.rglob("*.part"))


def test_missing_states_do_not_restart_over_existing_weights(options, tmp_path, one_thread):
    run = train(**options, steps=2, out=tmp_path / "run", quiet=True)
    weights = (run / "weights" / "a2b.safetensors").read_bytes()
    shutil.rmtree(run / "state")
    train(**options, steps=2, out=run, quiet=True)  # finished already
    with pytest.raises(ValueError, match="its states are gone"):
        train(**options, steps=4, out=run, quiet=True)
    with pytest.raises(ValueError, match="lambda_l1"):
        train(**options, steps=2, lambda_l1=1, out=run, quiet=True)
    assert (run / "weights" / "a2b.safetensors").read_bytes() == weights


def test_a_training_that_ended_meanwhile_is_noticed(options, tmp_path, monkeypatch, one_thread):
    from i2i.engine import loop

    options["steps"] = 2
    plain = loop.open_data

    def slow(*arguments, **named):
        monkeypatch.setattr(loop, "open_data", plain)
        train(**options, out=tmp_path / "run", quiet=True)
        return plain(*arguments, **named)

    monkeypatch.setattr(loop, "open_data", slow)
    with pytest.raises(ValueError, match="another training has run"):
        train(**options, lambda_l1=1, out=tmp_path / "run", quiet=True)
    recipe = json.loads((tmp_path / "run" / "run.json").read_text())["hyperparameters"]
    assert "lambda_l1" not in recipe


def test_training_works_on_file_systems_without_locks(options, tmp_path, monkeypatch, one_thread):
    from i2i.engine import run_folder as module

    def unsupported(file):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(module, "lock", unsupported)
    options["steps"] = 1
    with pytest.warns(UserWarning, match="cannot be locked"):
        train(**options, out=tmp_path / "run", quiet=True)
    assert (tmp_path / "run" / "weights" / "a2b.safetensors").exists()


def test_a_finished_run_is_continued_with_more_steps(options, tmp_path, one_thread):
    run = train(**options, steps=3, out=tmp_path / "run", quiet=True)
    assert train(out=run, quiet=True) == run  # finished already: nothing to do
    train(**options, steps=5, out=run, quiet=True)
    assert json.loads((run / "run.json").read_text())["step"] == 5


def test_other_settings_or_other_data_are_another_run(options, folders, tmp_path, one_thread):
    options["steps"] = 2
    run = train(**options, out=tmp_path / "run", quiet=True)
    with pytest.raises(ValueError, match=r"size: \(64, 64\) -> \(32, 32\)(.|\n)*--out"):
        train(**(options | {"size": 32}), out=run, quiet=True)
    with pytest.raises(ValueError, match=r"ngf: 2 -> 4(.|\n)*--out"):
        train(**(options | {"ngf": 4}), out=run, quiet=True)
    with pytest.raises(ValueError, match=r"background: edge -> 0(.|\n)*--out"):
        train(**options, background=0, out=run, quiet=True)
    with pytest.raises(ValueError, match=r"method: pix2pix -> cyclegan"):
        train("cyclegan", **folders["cyclegan"], out=run, quiet=True)
    elsewhere = tmp_path / "fewer"
    elsewhere.mkdir()
    for file in list((Path(folders["pix2pix"]["data"]) / "train").iterdir())[:3]:
        (elsewhere / file.name).write_bytes(file.read_bytes())
    with pytest.raises(ValueError, match=r"other images(.|\n)*images: 7 -> 3"):
        train(out=run, data=elsewhere, steps=4, quiet=True)
    with pytest.raises(ValueError, match=r"other images(.|\n)*images: 7 -> 3"):
        train(out=run, data=elsewhere, quiet=True)  # finished, yet not with these
    (tmp_path / "no run").mkdir()
    (tmp_path / "no run" / "holiday.jpg").write_bytes(b"precious")
    with pytest.raises(ValueError, match="is no run"):
        train(**options, out=tmp_path / "no run", quiet=True)
    assert (tmp_path / "no run" / "holiday.jpg").read_bytes() == b"precious"


def test_the_same_images_under_another_name_are_the_same_run(options, folders, tmp_path, one_thread):
    """A link was recorded by the name of what it points to, before a run kept the name that was given."""
    given = {**TINY["cyclegan"], **folders["cyclegan"], "sample_every": 0, "quiet": True}
    run = train("cyclegan", **given, steps=1, out=tmp_path / "run")
    (tmp_path / "linked").symlink_to(given["a"])
    train("cyclegan", **given | {"a": tmp_path / "linked"}, steps=2, out=run)
    facts = json.loads((run / "run.json").read_text())
    assert (facts["step"], facts["source"]["name"]) == (2, "a")


def test_all_differences_are_listed_and_may_be_overridden(options, tmp_path, capsys, one_thread):
    run = train(**options, steps=2, out=tmp_path / "run", quiet=True)
    given = options | {"steps": 4, "lambda_l1": 50, "ema": 0, "batch": 1, "precision": "fp64"}
    lines = r"\n  batch: 2 -> 1\n  precision: fp32 -> fp64\n  ema: 0.999 -> 0.0\n  lambda_l1: 100.0 -> 50.0\n"
    with pytest.raises(ValueError, match=f"started with other settings:{lines}.*add --override"):
        train(**given, out=run, quiet=True)
    before = state_of(run)
    train(**given, out=run, override=True)
    said = capsys.readouterr().err
    assert "overridden: lambda_l1: 100.0 -> 50.0\n" in said
    assert "steps 2 to 4" in said
    facts = json.loads((run / "run.json").read_text())
    assert facts["hyperparameters"]["lambda_l1"] == 50
    assert (facts["settings"]["precision"], facts["settings"]["batch"]) == ("fp64", 1)
    assert facts["overridden"] == [
        {
            "step": 2,
            "settings": {
                "batch": [2, 1], "precision": ["fp32", "fp64"], "ema": [0.999, 0.0], "lambda_l1": [100.0, 50.0],
            },
        }
    ]  # fmt: skip
    after = state_of(run)
    assert all(tensor.dtype == torch.float64 for key, tensor in after["translator"].items() if key.endswith("weight"))
    assert any(not torch.equal(before["translator"][key], tensor) for key, tensor in after["translator"].items())
    train(**given | {"steps": 5}, out=run, quiet=True)  # these are the run's settings now
    with pytest.raises(ValueError, match=r"lambda_l1: 50.0 -> 100.0"):
        train(**options, lambda_l1=100, out=run, quiet=True)


def test_a_length_in_epochs_keeps_the_images_of_a_step(options, tmp_path, one_thread):
    run = train(**options, epochs=1, out=tmp_path / "run", quiet=True)
    before = json.loads((run / "run.json").read_text())["step"]
    with pytest.raises(ValueError, match=r"length is in epochs, .* \(2 -> 1\); give --steps as well"):
        train(**options | {"batch": 1}, epochs=2, out=run, override=True, quiet=True)
    train(**options | {"batch": 1}, accumulate=2, epochs=2, out=run, override=True, quiet=True)
    assert json.loads((run / "run.json").read_text())["step"] == 2 * before


def test_a_step_that_is_not_saved_at_the_end_is_an_error(options, tmp_path, monkeypatch, one_thread):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "state")

    monkeypatch.setattr(Run, "save_state", full)
    data = options | {"eval_every": 5, "metric": "L1"}
    with pytest.raises(OSError, match="free some space and run the same command again"):
        train(**data, steps=2, out=tmp_path / "run", quiet=True)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] != "finished"


def test_tensorboard_keeps_the_step_that_a_run_goes_on_from(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for start, steps in ((0, (1, 2, 3)), (2, (3, 4))):
        with Reporter(tmp_path, start, 4, 1, World(), quiet=True) as reporter:
            for step in steps:
                reporter.figures(step, 1.0, {"G/l1": float(start)})
        time.sleep(1)  # the name of its file is the second
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("G/l1")] == [(1, 0), (2, 0), (3, 2), (4, 2)]


def state_of(run):
    return torch.load(max((run / "state").iterdir()), weights_only=True)["game"]


def test_an_optimiser_takes_the_overridden_settings():
    net = torch.nn.Linear(1, 1)
    old, new = (Move(Player(net, lambda views: {}, betas=betas)) for betas in ((0.5, 0.999), (0.9, 0.99)))
    new.load_state_dict(old.state_dict())
    assert new.optimizer.param_groups[0]["betas"] == (0.9, 0.99)


def test_networks_and_the_start_of_a_run_cannot_be_overridden(options, tmp_path, one_thread):
    run = train(**options, steps=2, out=tmp_path / "run", quiet=True)
    with pytest.raises(ValueError, match=r"(?s)other networks than those of the run's state\n  .*new run.*--from"):
        train(**options | {"ngf": 4, "steps": 4}, out=run, override=True, quiet=True)
    with pytest.raises(ValueError, match=r"(?s)freeze: None -> G.first\n.*\(freeze cannot be changed\)"):
        train(**options, steps=4, freeze="G.first", out=run, override=True, quiet=True)
    with pytest.raises(ValueError, match=r"(?s)method: pix2pix -> cut\n.*\(method cannot be changed\)"):
        train(**options | {"method": "cut", "ngf": 4}, patches=3, out=run, override=True, quiet=True)
    train(**options, steps=4, out=run, quiet=True)  # nothing of these was written


def test_auto_beside_another_run_is_found_here_and_goes_on(options, tmp_path, one_thread):
    first = train(**options, steps=1, out=tmp_path / "first", quiet=True)
    recorded = json.loads((first / "run.json").read_text())
    recorded["settings"] |= {"compile": "graphs"}  # of a GPU
    (first / "run.json").write_text(json.dumps(recorded))
    given = {"like": first, "data": options["data"], "batch": "auto", "precision": "auto", "out": tmp_path / "second"}
    train(**given, steps=1, quiet=True)
    train(**given, steps=2, quiet=True)
    facts = json.loads((tmp_path / "second" / "run.json").read_text())
    assert facts["step"] == 2
    assert (facts["settings"]["batch"], facts["settings"]["compile"]) == (1, "off")
    assert facts["settings"]["precision"] == resolve_precision("auto", World())


def test_a_default_of_another_version_stays_that_of_the_run(options, tmp_path, one_thread):
    run = train(**options, steps=1, out=tmp_path / "run", quiet=True)
    recorded = json.loads((run / "run.json").read_text())
    recorded["defaults"] |= {"lambda_l1": 50.0, "of_old": 1}
    (run / "run.json").write_text(json.dumps(recorded))
    train(**options, steps=2, out=run, quiet=True)
    facts = json.loads((run / "run.json").read_text())
    assert facts["hyperparameters"]["lambda_l1"] == 50.0
    assert not facts["defaults"].keys() & {"lambda_l1", "of_old"}
    with pytest.raises(ValueError, match=r"lambda_l1: 50\.0 -> 100\.0"):
        train(**options, steps=3, lambda_l1=100, out=run, quiet=True)


def test_a_preset_beside_another_run_gives_the_length(options, tmp_path, one_thread):
    first = train(**options, steps=1, out=tmp_path / "first", quiet=True)
    run = Run.open(None, tmp_path / "second", {"preset": "fast", "data": options["data"]}, like=first)
    assert (run.settings.steps, run.settings.epochs) == (0, 100)


def test_a_run_like_another_has_its_settings_on_other_data(options, folders, tmp_path, one_thread):
    first = train(**options, steps=2, lambda_l1=50, ema=0.5, seed=3, out=tmp_path / "first", quiet=True)
    data = tmp_path / "fewer"
    shutil.copytree(options["data"], data)
    next((data / "train").iterdir()).unlink()
    second = train(like=first, data=data, seed=4, out=tmp_path / "second", quiet=True)
    facts, repeated = (json.loads((run / "run.json").read_text()) for run in (first, second))
    assert repeated["settings"] == facts["settings"] | {"data": str(data), "seed": 4}
    assert repeated["hyperparameters"] == facts["hyperparameters"]
    assert (facts["images"], repeated["images"]) == (7, 6)
    assert train(like=first, data=data, seed=4, out=second, quiet=True) == second  # the same command continues it
    longer = train(like=first, data=data, epochs=1, out=tmp_path / "longer", quiet=True)
    assert json.loads((longer / "run.json").read_text())["step"] == 3  # 6 images in batches of 2, not 2 steps
    with pytest.raises(ValueError, match="first is a run of pix2pix, not of cut; leave the method out"):
        train("cut", like=first, data=data, out=tmp_path / "third", quiet=True)
    with pytest.raises(ValueError, match=r"(?s)started with other settings:\n  seed: 4 -> 3\n"):
        train(like=first, data=data, out=second, quiet=True)


def test_a_run_like_another_takes_what_its_data_decide(folders, tmp_path, one_thread):
    """Three domains instead of two, which no option says."""
    given = TINY["stargan"] | {"steps": 1, "sample_every": 0, "n_critic": 1, "lambda_cls": 2.0}
    two = tmp_path / "two"
    for name in ("rain", "shine"):
        shutil.copytree(Path(folders["stargan"]["data"]) / "train" / name, two / "train" / name)
    first = train("stargan", **given, data=two, out=tmp_path / "first", quiet=True)
    second = train(like=first, **folders["stargan"], out=tmp_path / "second", quiet=True)
    facts = json.loads((second / "run.json").read_text())
    assert facts["domains"] == ["rain", "shine", "snow"]
    assert facts["hyperparameters"]["domains"] == 3
    assert facts["hyperparameters"]["lambda_cls"] == 2


def test_a_run_that_failed_at_its_first_step_may_begin_with_other_settings(folders, tmp_path, one_thread):
    options = TINY["pix2pix"] | folders["pix2pix"] | {"batch": 1, "steps": 2, "sample_every": 0, "norm": "batch"}
    with pytest.raises(ValueError, match="generator=unet_128"):
        train("pix2pix", **(options | {"size": 32}), out=tmp_path / "run", quiet=True)
    run = train("pix2pix", **(options | {"size": 128}), out=tmp_path / "run", quiet=True)
    assert json.loads((run / "run.json").read_text())["settings"]["size"] == [128, 128]


def test_repeated_steps_are_removed_from_the_log(options, tmp_path, one_thread):
    options["log_every"] = 1
    run = train(**options, steps=4, save_every=2, out=tmp_path / "run", quiet=True)
    max((run / "state").iterdir()).unlink()
    with open(run / "log.jsonl", "a") as file:
        file.write('{"step": 5, "G')  # half a line, as a kill leaves it
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(facts | {"status": "running"}))
    train(out=run, quiet=True)
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    assert {"D/gan", "G/gan", "G/l1", "rate", "images_per_second", "memory_gb"} <= set(lines[0])
