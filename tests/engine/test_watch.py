"""Watchmen: each on a planted failure, and silence over healthy steps."""

import json
import re

import pytest
import torch

from i2i.engine import train, watch
from i2i.engine.run_folder import Run, defaults
from i2i.engine.settings import Settings
from i2i.engine.statistics import NonFinite
from i2i.engine.symptoms import symptoms
from i2i.engine.train_state import TrainState
from i2i.engine.watch import LASTING, REMEDIES, Watch, remedy
from i2i.translators import TRANSLATORS
from i2i.translators.pix2pix import Pix2Pix
from tests.engine.comparison import same
from tests.engine.conftest import TINY
from tests.translators.cases import CASES, batch, make


@pytest.fixture
def options(folders):
    return TINY["pix2pix"] | folders["pix2pix"] | {"sample_every": 0, "save_every": 4, "log_every": 2, "steps": 12}


# Losses and weights that are not finite


def poison(monkeypatch, step_of, below=0.0):
    """Make the L1 term NaN at step ``step_of`` (from 1) while the rate is above ``below``; return the rates used."""
    plain_step, plain_loss, now, rates = TrainState.step, Pix2Pix.generator_loss, {}, []

    def step(self, batch, number, rate):
        now.update(step=number + 1, rate=rate)
        rates.append((number + 1, rate))
        return plain_step(self, batch, number, rate)

    def loss(self, v):
        terms = plain_loss(self, v)
        bad = now["step"] == step_of and now["rate"] > below
        return terms | {"l1": terms["l1"] * float("nan")} if bad else terms

    monkeypatch.setattr(TrainState, "step", step)
    monkeypatch.setattr(Pix2Pix, "generator_loss", loss)
    return rates


def test_a_loss_that_is_no_number_goes_back_and_halves_the_rate(options, tmp_path, monkeypatch, one_thread, capsys):
    rates = poison(monkeypatch, 6, below=0.3)
    run = train("pix2pix", **options, out=tmp_path / "run")
    facts = json.loads((run / "run.json").read_text())
    assert (facts["status"], facts["step"]) == ("finished", 12)
    # constant in the first half; step 6 is tried three times, from the state of step 4, at 1, 1/2 and 1/4 of the rate
    assert [rate for step, rate in rates if step == 6] == [1, 0.5, 0.25]
    assert [rate for step, rate in rates if step == 5] == [1, 0.5, 0.25]
    assert [step for step, rate in rates if rate == 1] == [1, 2, 3, 4, 5, 6]
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert len(said) == 2
    assert re.match(
        r"warning: the loss became NaN or infinite at step 6: player G, term l1\. The run goes back to its last state, "
        r"with half the learning rate \(1 of 3 times\)\. What usually helps: ", said[0],
    )  # fmt: skip
    warned = json.loads((run / "run.json").read_text())["warnings"]
    assert [f"warning: {each['text']}" for each in warned.values()] == said
    state = torch.load(max((run / "state").iterdir()), weights_only=True)["game"]
    assert state["halvings"] == 2
    assert all(torch.isfinite(value).all() for value in state["translator"].values())
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 6, 8, 10, 12]
    assert lines[2]["rate"] == 0.25


def test_before_the_first_state_it_goes_back_to_the_beginning(options, tmp_path, monkeypatch, one_thread):
    rates = poison(monkeypatch, 2, below=0.5)
    run = train("pix2pix", **options, out=tmp_path / "run", quiet=True)
    assert [step for step, rate in rates if rate == 1] == [1, 2]
    monkeypatch.undo()
    plain = TrainState.step
    monkeypatch.setattr(TrainState, "step", lambda self, batch, n, rate: plain(self, batch, n, rate / 2))
    half = train("pix2pix", **options, out=tmp_path / "half", quiet=True)
    ours, theirs = (torch.load(max((r / "state").iterdir()), weights_only=True)["game"] for r in (run, half))
    assert all(torch.equal(ours["translator"][key], theirs["translator"][key]) for key in theirs["translator"])


def test_after_three_halvings_it_stops(options, tmp_path, monkeypatch, one_thread):
    rates = poison(monkeypatch, 6)
    with pytest.raises(NonFinite, match=r"step 6: player G, term l1, although the learning rate was halved 3 times\. "):
        train("pix2pix", **options, out=tmp_path / "run", quiet=True)
    assert [rate for step, rate in rates if step == 6] == [1, 1 / 2, 1 / 4, 1 / 8]
    assert [state.name for state in (tmp_path / "run" / "state").iterdir()] == ["000000004.pt"]


def test_weights_that_are_no_numbers_go_back_too(options, tmp_path, monkeypatch, one_thread):
    plain, calls = TrainState.step, iter(range(1000))

    def broken(self, batch, number, rate):
        terms = plain(self, batch, number, rate)
        if next(calls) == 7:  # after the last loss that is looked at before a state is written
            next(self.translator.parameters()).data.fill_(float("inf"))
        return terms

    monkeypatch.setattr(TrainState, "step", broken)
    run = train("pix2pix", **options, out=tmp_path / "run", quiet=True)
    state = torch.load(max((run / "state").iterdir()), weights_only=True)["game"]
    assert state["halvings"] == 1
    assert json.loads((run / "run.json").read_text())["step"] == 12


@pytest.mark.parametrize("at", [5, 7, 10])
def test_a_run_that_went_back_is_resumed_to_the_bit(at, options, tmp_path, monkeypatch, one_thread):
    """Killed before the state with the halved rate is written, and after it."""
    poison(monkeypatch, 6, below=0.5)
    unbroken = train("pix2pix", **options, out=tmp_path / "unbroken", quiet=True)
    step = TrainState.step

    def killed(self, batch, number, rate):
        if number == at and rate <= 0.5:
            raise KeyboardInterrupt
        return step(self, batch, number, rate)

    monkeypatch.setattr(TrainState, "step", killed)
    with pytest.raises(KeyboardInterrupt):
        train("pix2pix", **options, out=tmp_path / "run", quiet=True)
    monkeypatch.setattr(TrainState, "step", step)
    run = train(out=tmp_path / "run", quiet=True)
    assert same(unbroken, run)
    assert torch.load(max((run / "state").iterdir()), weights_only=True)["game"]["halvings"] == 1


# Images

REAL = torch.nn.functional.interpolate(
    torch.rand(8, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 1.6 - 0.8, size=(32, 32), mode="bilinear"
)
X, Y = REAL[:4], REAL[4:]
BOARD = (torch.arange(32)[:, None] + torch.arange(32)) % 2 * 2.0 - 1


def healthy(x):
    """Return a translation that keeps the scenes and changes the colours."""
    return (x.roll(1, 1) * 0.8 + 0.1).clamp(-1, 1)


FAILURES = {
    "flat": lambda x: torch.full_like(x, 0.3) + 0.001 * x,
    "copy": lambda x: x + 0.002,
    "alike": lambda x: x[:1].expand_as(x).roll(1, 1) + 0.002 * x,
    "inverted": lambda x: -0.9 * x,
    "grey": lambda x: 0.8 * x.mean(1, keepdim=True) + 0.1 * x + torch.tensor([0.0, 0.2, 0.0])[:, None, None],
    "grid": lambda x: healthy(x) + 0.15 * BOARD,
}


@pytest.mark.parametrize("name", FAILURES)
def test_each_failure_of_a_translator_is_seen(name):
    made = FAILURES[name]
    assert symptoms({"x": X, "G(x)": made(X), "y": Y}, {"a2b"}) == {name: "G(x)"}
    # the second direction alone; reconstructions and identities are no failures
    good = {"x": X, "G(x)": healthy(X), "y": Y, "F(y)": made(Y), "F(G(x))": X, "G(F(y))": Y, "G(y)": Y}
    assert symptoms(good, {"a2b", "b2a"}) == {name: "F(y)"}
    assert symptoms({"x": X, "x->y(0)": made(X), "x->y(1)": made(X), "y": Y}, {"a2b"}) == {name: "x->y(0)"}


def test_a_healthy_translator_has_none():
    assert symptoms({"x": X, "G(x)": healthy(X), "y": Y, "G(y)": Y}, {"a2b"}) == {}
    # a translator between domains returns an image of the target domain itself
    assert symptoms({"x": X, "G(x,0)": X, "G(x,1)": healthy(X), "G(G(x,1),c)": X}, {"any"}) == {}
    assert symptoms({"x": X, "G(x,0)": X, "G(x,1)": X, "G(G(x,1),c)": X}, {"any"}) == {"copy": "G(x,0)"}
    grey = X.mean(1, keepdim=True)  # other channels are no copy
    assert symptoms({"x": grey, "G(x)": X, "y": Y}, {"a2b"}) == {}


def test_what_the_data_asks_for_is_no_failure():
    """Pairs that hardly differ, negatives, dark drawings of white ones, and patterns that real images have."""
    assert symptoms({"x": X, "G(x)": X + 0.01, "y": X + 0.011}, {"a2b"}, pairs=True) == {}
    assert symptoms({"x": X, "G(x)": X + 0.001, "y": healthy(X)}, {"a2b"}, pairs=True) == {"copy": "G(x)"}
    assert symptoms({"x": X, "G(x)": -X, "y": -X + 0.1}, {"a2b"}, pairs=True) == {}
    assert symptoms({"x": 0.5 + 0.4 * X, "G(x)": -0.5 - 0.4 * X, "y": -0.5 + 0.4 * Y}, {"a2b"}) == {}
    grey = X.mean(1, keepdim=True).expand_as(X)
    assert symptoms({"x": X, "G(x)": grey, "y": Y.mean(1, keepdim=True).expand_as(Y)}, {"a2b"}) == {}
    assert symptoms({"x": grey, "G(x)": 0.7 * grey, "y": Y}, {"a2b"}) == {}
    board = 0.15 * BOARD
    assert symptoms({"x": X, "G(x)": healthy(X) + board, "y": Y + board}, {"a2b"}) == {}


@pytest.mark.parametrize("exports", ["generate", "energy"])
def test_each_failure_of_a_generator_is_seen(exports):
    names = ("G(z,0)", "G(z,1)") if exports == "generate" else ("x~", "pool")

    def seen(images):
        return symptoms({"x": X, "D(x)": X, **dict.fromkeys(names, images)}, {exports})

    assert seen(Y) == {}
    assert seen(Y[:1].expand_as(Y) + 0.001 * X) == {"collapse": names[0]}
    assert seen(torch.full_like(Y, -1)) == {"flat": names[0]}
    assert seen(Y + 0.15 * BOARD) == {"grid": names[0]}


# The warnings


class Said(list):
    def say(self, text):
        self.append(text)


def watching(tmp_path, on="on", **hyperparameters):
    run, said = Run(tmp_path, Settings("cyclegan", watch=on), hyperparameters, {}), Said()
    return Watch(run, make("cyclegan", **hyperparameters), said), said


def test_a_warning_comes_once_and_only_for_what_lasts(tmp_path):
    good = {"x": X, "G(x)": healthy(X), "y": Y, "F(y)": healthy(Y)}
    bad = good | {"G(x)": -X}
    watch, said = watching(tmp_path)
    watch.images(100, bad)
    watch.images(100 + LASTING - 1, bad)
    assert not said
    watch.images(100 + LASTING, good)
    watch.images(200 + LASTING, bad)
    watch.losses(300 + LASTING, {"D/gan_X": 0.3})  # the looks at losses are others
    watch.images(199 + 2 * LASTING, bad)
    assert not said
    watch.images(200 + 2 * LASTING, bad)
    watch.images(200 + 4 * LASTING, bad)
    assert said == [
        f"warning: step {200 + 2 * LASTING}: G(x) has the brightness of its input inverted. What usually helps: "
        "another --seed, or a lower lr, or a higher lambda_identity"
    ]
    assert watch.run.facts["warnings"]["inverted"]["step"] == 200 + 2 * LASTING


def test_a_checkerboard_has_more_time_to_go(tmp_path):
    watch, said = watching(tmp_path)
    bad = {"x": X, "G(x)": healthy(X) + 0.15 * BOARD, "y": Y, "F(y)": healthy(Y)}
    watch.images(100, bad)
    watch.images(99 + 4 * LASTING, bad)
    assert not said
    watch.images(100 + 4 * LASTING, bad)
    assert [line.partition(". ")[0] for line in said] == [
        f"warning: step {100 + 4 * LASTING}: G(x) has a checkerboard pattern"
    ]


def test_watchmen_can_be_off(tmp_path):
    watch, said = watching(tmp_path, "off")
    for step in (500, 1000, 1500):
        watch.images(step, {"x": X, "G(x)": -X, "y": Y, "F(y)": Y})
        watch.losses(step, {"D/gan_X": 0.0})
    assert not said


@pytest.mark.parametrize(("objective", "chance"), [("lsgan", 0.5), ("vanilla", 0.693), ("hinge", 1.0)])
def test_a_discriminator_that_has_won_is_seen(objective, chance, tmp_path):
    watch, said = watching(tmp_path, objective=objective)
    assert watch.untrained == pytest.approx(chance, abs=1e-3)
    for step in range(50, 2 * LASTING, 50):
        watch.losses(step, {"D/gan_X": 0.02 * chance, "D/gan_Y": 0.0, "G/gan_G": 0.0})
    assert not said
    for step in range(2 * LASTING, 4 * LASTING, 50):
        watch.losses(step, {"D/gan_X": 0.005 * chance, "D/gan_Y": 0.0, "G/gan_G": 3.0, "D/penalty_X": 1.0})
    assert said == [
        f"warning: step {3 * LASTING}: the discriminator has won: it hardly errs any more, so the generator learns "
        "little from it. What usually helps: more images, or --diff-augment colour,translation,cutout where there are "
        "few, or --set constraint=r1"
    ]


@pytest.mark.parametrize("method", CASES)
def test_the_loss_of_an_untrained_discriminator_is_that_of_its_method(method, tmp_path, one_thread):
    """With its weights and scales: the limit is a share of what such a discriminator loses."""
    game = {"objective": "lsgan", "constraint": "none"} if "objective" in defaults(method) else {}
    translator = make(method, **game)
    watch = Watch(Run(tmp_path, Settings(method), {}, {}), translator, Said())
    if not game:
        assert watch.untrained == 0
        return
    player = translator.players()["D"]
    with torch.no_grad():
        for parameter in player.net.parameters():
            parameter.zero_()
    terms = player.loss(translator(batch(method)))
    assert watch.untrained == pytest.approx(max(terms[name].item() for name in terms if name.startswith("gan")))


def test_the_loss_of_a_wasserstein_critic_has_no_least_value(tmp_path):
    watch, said = watching(tmp_path, objective="wgan", constraint="clip")
    for step in range(50, 4 * LASTING, 50):
        watch.losses(step, {"D/gan_X": -5.0, "D/gan_Y": -5.0})
    assert not said


@pytest.mark.parametrize("name", REMEDIES)
def test_every_remedy_is_one_that_methods_have(name):
    known = {option: method for method in TRANSLATORS for option in defaults(method)}
    options = [change.split()[-1].partition("=")[0] for change in REMEDIES[name][2]]
    assert [option for option in options if option not in known] == []
    assert "a lower lambda_cyc" not in remedy("copy", "x->y", defaults("munit"))  # which is 0 already
    assert "--set norm=group, or" in remedy("grey", "G(x)", defaults("cyclegan"))
    assert "norm=group" not in remedy("grey", "G(x)", defaults("cyclegan") | {"norm": "group"})
    assert remedy("grid", "G(x)", {}) == "G(x) has a checkerboard pattern. What usually helps: a longer run"


def test_a_run_warns_of_its_own_images(options, tmp_path, monkeypatch, one_thread, capsys):
    """A generator that returns its input, through the whole loop; the resumed run does not repeat the warning."""
    monkeypatch.setattr(watch, "LASTING", 4)
    plain = Pix2Pix.forward
    monkeypatch.setattr(
        Pix2Pix, "forward", lambda self, batch: plain(self, batch) | ({} if self.training else {"G(x)": batch["x"]})
    )
    given = options | {"sample_every": 2}
    train("pix2pix", **(given | {"steps": 4}), out=tmp_path / "run")
    assert "warning: " not in capsys.readouterr().err
    train("pix2pix", **given, out=tmp_path / "run")  # counts on
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert said == ["warning: step 6: G(x) shows its input unchanged. What usually helps: a longer run"]
    assert json.loads((tmp_path / "run" / "run.json").read_text())["warnings"]["copy"]["step"] == 6
    train("pix2pix", **(given | {"steps": 20}), out=tmp_path / "run")
    assert "warning: " not in capsys.readouterr().err


LARGER = {
    "unit": {"ngf": 8, "ndf": 8},
    "began": {"filters": 16},
    "fastcut": {"ngf": 8},
    "dclgan": {"ngf": 8, "lambda_idt": 10.0},
}
"""With two filters UNIT's images keep 3 % of the contrast of real ones, BEGAN's are all alike, and those of FastCUT and
DCLGAN have hardly any colour, for 500 steps."""


@pytest.mark.timeout(900)
@pytest.mark.parametrize("method", [m if m == "pix2pix" else pytest.param(m, marks=pytest.mark.slow) for m in CASES])
def test_healthy_steps_are_silent(method, folders, tmp_path, monkeypatch, one_thread, capsys):
    """500 steps, where what is seen twice in 200 steps would be a warning."""
    monkeypatch.setattr(watch, "LASTING", 200)
    given = TINY[method] | LARGER.get(method, {}) | folders[method]
    given |= {"sample_every": 100, "save_every": 500, "log_every": 50, "steps": 500}
    run = train(method, **given, out=tmp_path / "run")
    assert "warning: " not in capsys.readouterr().err
    assert "warnings" not in json.loads((run / "run.json").read_text())
