"""What a run will take, from measured steps, and the preset that fits a CPU."""

import re
import shutil
from dataclasses import replace

import pytest
import torch

from i2i.engine import estimate, train
from i2i.engine.auto_batch import noise
from i2i.engine.distributed import World
from i2i.engine.estimate import DAY, faster, plan, step_seconds
from i2i.engine.prepare import describe_data, of_size, open_data
from i2i.engine.report import Reporter
from i2i.engine.run_folder import Run
from i2i.engine.train_state import TrainState, made
from i2i.translators import TRANSLATORS, translator_class
from tests.engine.conftest import TINY
from tests.translators.cases import CASES, DOMAINS


@pytest.fixture
def run(folders, tmp_path):
    opened = Run.open("pix2pix", tmp_path / "run", TINY["pix2pix"] | folders["pix2pix"] | {"steps": 4_000_000})
    describe_data(opened, open_data(opened.settings))
    return opened


def test_a_step_counts_each_player_as_often_as_it_moves(folders, tmp_path, monkeypatch, one_thread):
    given = TINY["stargan"] | folders["stargan"] | {"n_critic": 5}
    run = Run.open("stargan", tmp_path / "run", given)
    describe_data(run, open_data(run.settings))
    game, now = TrainState(run, World()), [0.0]
    monkeypatch.setattr(estimate.time, "monotonic", lambda: now[0])

    def step(batch, number, rate):
        now[0] += 3.0 if (number + 1) % 5 == 0 else 1.0

    game.step = step
    assert step_seconds(game, {}) == pytest.approx((3 + 4 * 1) / 5)


def test_the_plan_adds_up(run, monkeypatch, one_thread):
    run.settings = replace(run.settings, steps=10_000, sample_every=100, workers=0)
    monkeypatch.setattr(estimate, "step_seconds", lambda game, batch: 2.0)
    monkeypatch.setattr(estimate, "_of_a_sheet", lambda *_: (5.0, 1_000_000))
    monkeypatch.setattr(estimate, "find_spec", lambda name: None)
    dataset, game = open_data(run.settings), TrainState(run, World())
    time_, memory, disk = plan(run, dataset, game)
    assert re.match(r"time: 2\.0 s a step here, 10000 steps: 5\.\d h, until ", time_)
    assert re.match(r"peak memory: \d+\.\d GB", memory)
    assert re.match(r"disk: \d+ MB \(states \d+ MB, weights 0 MB, sample sheets 101 MB\)$", disk)
    run.settings, now = replace(run.settings, sample_every=0, workers=1), [0.0]
    monkeypatch.setattr(estimate.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(dataset.__class__, "sample", lambda *_: now.__setitem__(0, now[0] + 0.05))
    monkeypatch.setattr(estimate, "step_seconds", lambda game, batch: 0.01)
    assert plan(run, dataset, game)[0].startswith("time: 100 ms a step")  # two images of 50 ms: reading is slower


def test_the_states_need_what_they_are_expected_to(folders, tmp_path, monkeypatch, one_thread):
    short = TINY["cyclegan"] | folders["cyclegan"] | {"steps": 4, "sample_every": 0, "save_every": 1}
    done = train("cyclegan", **short, out=tmp_path / "done", quiet=True)
    opened = Run.open("cyclegan", tmp_path / "other", short)
    dataset = open_data(opened.settings)
    describe_data(opened, dataset)
    monkeypatch.setattr(estimate, "_shown", lambda size: f"{size:.0f} bytes")
    disk = plan(opened, dataset, TrainState(opened, World()))[2]
    tensors = estimate._bytes(torch.load(max((done / "state").iterdir()), weights_only=True))
    opened.settings = replace(opened.settings, eval_every=2)
    more = plan(opened, dataset, TrainState(opened, World()))[2]
    weights = estimate._bytes(TrainState(opened, World()).ema.state_dict())
    found = [int(re.search(r"states (\d+) bytes", line)[1]) for line in (disk, more)]
    assert found == pytest.approx([3 * tensors, 3 * (tensors + weights)], rel=0.02)


def test_the_pool_of_an_energy_is_counted_as_full(folders, tmp_path, one_thread):
    run = Run.open("energy", tmp_path / "run", TINY["energy"] | folders["energy"] | {"pool": 30})
    describe_data(run, open_data(run.settings))
    game = TrainState(run, World())
    assert estimate._unfilled(game) == 0  # the size of an image is not known yet
    step_seconds(game, noise(run, game, 2))
    assert estimate._unfilled(game) == (30 - 4) * 3 * 32 * 32  # bytes


def test_a_full_disk_is_seen_before(run, monkeypatch, one_thread):
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(estimate.shutil, "disk_usage", lambda path: usage._replace(free=1_000_000))
    run.settings = replace(run.settings, steps=10, sample_every=0)
    (line,) = [line for line in plan(run, open_data(run.settings), TrainState(run, World())) if "disk: " in line]
    assert line.endswith("; only 1 MB are free there")


def test_a_run_of_days_on_a_cpu_names_the_preset_of_hours(run, one_thread, monkeypatch):
    dataset = open_data(run.settings)
    monkeypatch.setattr(estimate, "step_seconds", lambda game, batch: 0.5)
    run.settings = replace(run.settings, steps=0, epochs=200, size=(256, 256))
    run.hyperparameters = {}
    assert faster(run, dataset, World(), 26 * DAY) == (
        "note: on this CPU the run takes 26 days. --preset cpu (128 x 128 pixels, smaller networks, 10000 steps) with "
        "another --out takes 83 min"
    )
    assert faster(run, dataset, World(), DAY - 1) == ""
    assert faster(run, dataset, World(device=torch.device("meta")), 26 * DAY) == ""
    run.settings = replace(run.settings, size=(64, 64))  # was given, so that the preset does not change it
    run.hyperparameters = {"generator": "unet_64"}
    assert "(64 x 64 pixels, " in faster(run, dataset, World(), 26 * DAY)
    run.settings = replace(run.settings, steps=4_000_000)  # as is the length: no preset helps
    assert faster(run, dataset, World(), 26 * DAY) == "note: on this CPU the run takes 26 days"


def test_the_preset_is_measured_and_changes_nothing(run, one_thread):
    run.settings = replace(run.settings, steps=0)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    line = faster(run, open_data(run.settings), World(), 26 * DAY)
    assert re.search(r"takes 26 days\. --preset cpu .* takes [\d.]+ (s|min|h)$", line)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("method", TRANSLATORS)
def test_the_preset_for_cpus_makes_every_method_smaller(method, tmp_path):
    case, kind = CASES[method], translator_class(method).data
    decided = {"domains": DOMAINS, "attributes": False} if kind == "domains" else {}
    if kind == "captions":
        decided = {name: case.small[name] for name in ("vocabulary", "words")}

    def parameters(**preset):
        run = Run.open(method, tmp_path / "run", {"data": str(tmp_path)} | preset)
        run.facts |= {"source": {"channels": 3}, "target": {"channels": 3}}
        run.hyperparameters |= decided | of_size(run.settings)
        with torch.device("meta"):
            return sum(p.numel() for p in made(run).parameters()), run.settings

    (usual, before), (fewer, after) = parameters(), parameters(preset="cpu")
    assert after.steps == 10_000
    assert after.size == (before.size if kind in ("images", "captions") else (128, 128))
    assert fewer < usual or (fewer == usual and method == "distill") or method in ("gan", "began")
    # a student is small already; the others have other names for their widths


def test_people_see_lines_by_time_and_the_advice_once(tmp_path, monkeypatch, capsys):
    now, asked = [100.0], []
    monkeypatch.setattr("i2i.engine.pace.time.monotonic", lambda: now[0])

    def advise(seconds):
        asked.append(seconds)
        return "note: 26 days"

    with Reporter(tmp_path, 0, 100, 2, World(), False, advise) as reporter:
        reporter.begin()
        for step in range(1, 8):
            now[0] += 9.0
            assert reporter.fetch(iter(["batch"])) == "batch"
            reporter.advance(step, lambda: {"G/l1": 0.5})
            if step % 5 == 0:
                reporter.figures(step, 1.0, {"G/l1": 0.4})
    lines = capsys.readouterr().err.splitlines()
    assert re.fullmatch(
        r"step 1/100  9\.0 s/step  0\.222 img/s  15 min left, until .*  \d+\.\d GB  data wait 0%  G/l1 0\.5", lines[0]
    )
    assert [line.partition("  ")[0] for line in lines] == ["step 1/100", "note: 26 days", "step 3/100", "step 5/100"]
    assert asked == [pytest.approx(99 * 9)]
    assert (tmp_path / "log.jsonl").read_text().count("\n") == 1
    with Reporter(tmp_path, 0, 100, 2, World(), True, advise) as reporter:
        now[0] += 9.0
        reporter.advance(1)
    assert len(asked) == 1
    assert capsys.readouterr().err == ""
