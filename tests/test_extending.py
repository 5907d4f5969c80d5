"""The translator and the generator in docs/extending.md implement their papers, and the commands of the page run."""

import inspect
import json
import re
import shlex
import sys
from importlib import import_module
from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import pytest
from click.testing import CliRunner

from i2i.cli import group
from i2i.images import Image, read_image, write_image
from i2i.translators import Player, Translator

torch = pytest.importorskip("torch")

TEXT = (Path(__file__).parent.parent / "docs" / "extending.md").read_text(encoding="utf-8")
CODE, GENERATOR = re.findall(r"```python\n(.*?)```", TEXT, re.S)
SHELL, GENERATOR_SHELL = re.findall(r"```sh\n(.*?)```", TEXT, re.S)
SMALL = ["--size", "32", "--batch", "2", "--steps", "3", "--log-every", "1", "--set", "ngf=4", "--set", "ndf=2"]
TERMS = {"G/gan", "G/geo", "D/gan_Y", "D/gan_fY"}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A folder with ``mypackage/gcgan.py`` and ``pacgan.py``, which is on the import path and the current folder."""
    (tmp_path / "mypackage").mkdir()
    (tmp_path / "mypackage" / "__init__.py").touch()
    assert CODE.count("resnet_9") == 1
    code = CODE.replace("resnet_9", "resnet_1")  # whose graph there is
    (tmp_path / "mypackage" / "gcgan.py").write_text(code, encoding="utf-8")
    (tmp_path / "mypackage" / "pacgan.py").write_text(GENERATOR, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.split(".")[0] == "mypackage"]:
        del sys.modules[name]


def test_they_are_short():
    assert len(CODE.splitlines()) < 60
    assert len(GENERATOR.splitlines()) < 60


@pytest.mark.usefixtures("graph_of_a_resnet")
def test_the_commands_train_export_and_translate(package, one_thread):
    rng = np.random.default_rng(0)
    for folder in ("horses", "zebras", "photos"):
        (package / folder).mkdir()
        for i in range(3):
            pixels = rng.integers(0, 256, (40, 36 + i, 3), dtype=np.uint8)
            write_image(package / folder / f"{i}.png", Image(pixels))
    commands = [shlex.split(line)[1:] for line in SHELL.splitlines()]
    assert [words[0] for words in commands] == ["train", "export", "translate"]
    for words in commands:
        done = CliRunner().invoke(group, words + (SMALL if words[0] == "train" else []))
        assert done.exit_code == 0, done.output
    run = package / "runs" / "GcGAN-horses2zebras"
    facts = json.loads((run / "run.json").read_text())
    assert (facts["status"], facts["step"], facts["method"]) == ("finished", 3, "mypackage.gcgan:GcGAN")
    assert facts["hyperparameters"] == {"ngf": 4, "ndf": 2, "lambda_geo": 10.0}
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [{name for name in line if "/" in name} for line in lines] == [TERMS] * 3
    for i in range(3):
        before, after = (read_image(package / folder / f"{i}.png").pixels for folder in ("photos", "translated"))
        assert after.shape == before.shape
        assert not np.array_equal(after, before)


def test_it_is_the_papers_game(package, one_thread):
    from i2i.engine.step import Move, play

    module = import_module("mypackage.gcgan")
    torch.manual_seed(0)
    translator = module.GcGAN(3, 3, ngf=2, ndf=2, constraint="gp")
    batch = {name: torch.rand(2, 3, 24, 32) * 2 - 1 for name in ("x", "y")}
    views = translator(batch)
    f, there = module.f, translator.G(module.f(views["x"]))
    halves = (views["G(x)"] - f(there, -1)).abs().mean() + (there - f(views["G(x)"])).abs().mean()
    assert translator.generator_loss(views)["geo"].item() == pytest.approx(20 * halves.item(), rel=1e-5)
    players = translator.players()
    owned = [id(p) for player in players.values() for p in player.net.parameters()]
    assert len(owned) == len(set(owned)) == len(list(translator.parameters()))
    terms = play(translator, {name: Move(player) for name, player in players.items()}, batch)
    assert set(terms) == TERMS | {"D/penalty_Y", "D/penalty_fY"}
    assert all(torch.isfinite(term) for term in terms.values())


def test_the_generator_is_trained_and_draws(package, one_thread):
    rng = np.random.default_rng(0)
    (package / "faces").mkdir()
    for i in range(9):
        write_image(package / "faces" / f"{i}.png", Image(rng.integers(0, 256, (20, 16, 3), dtype=np.uint8)))
    commands = [shlex.split(line)[1:] for line in GENERATOR_SHELL.splitlines()]
    assert [words[0] for words in commands] == ["train", "generate"]
    small = ["--size", "16", "--batch", "9", *SMALL[4:]]  # a batch that is no multiple of pack
    for words in commands:
        done = CliRunner().invoke(group, words + (small if words[0] == "train" else []))
        assert done.exit_code == 0, done.output
    run = package / "runs" / "PacGAN-faces"
    facts = json.loads((run / "run.json").read_text())
    assert (facts["status"], facts["method"]) == ("finished", "mypackage.pacgan:PacGAN")
    found = {"ngf": 4, "ndf": 2, "pack": 4, "height": 16, "width": 16, "domains": 0, "attributes": False}
    assert facts["hyperparameters"] == found
    assert read_image(run / "PacGAN-faces.png").pixels.shape[2] == 3


def test_the_generator_is_the_papers_game(package, one_thread):
    module = import_module("mypackage.pacgan")
    torch.manual_seed(0)
    with pytest.raises(ValueError, match="--select none"):
        module.PacGAN(3, 3, domains=2)
    model = module.PacGAN(3, 3, height=16, width=16, ngf=2, ndf=2, pack=2)
    x = torch.rand(6, 3, 16, 16) * 2 - 1
    made = torch.rand(6, 3, 16, 16) * 2 - 1
    pairs = torch.stack([torch.cat([x[i], x[i + 1]]) for i in (0, 2, 4)])
    assert torch.equal(model.packed(x), pairs)
    views = {"x": x, "G(z)": made}
    real, fake = model.D(pairs), model.D(model.packed(made))
    log = torch.nn.functional.logsigmoid
    by_hand = -(log(real).mean() + log(-fake).mean())
    assert model.discriminator_loss(views)["gan"].item() == pytest.approx(by_hand.item(), rel=1e-5)
    assert model.generator_loss(views)["gan"].item() == pytest.approx(-log(fake).mean().item(), rel=1e-5)


def test_players_and_data_match_the_page():
    for name in ("lr", "betas", "weight_decay", "every", "after", "skip"):
        assert f"`{name}" in TEXT
        assert name in inspect.signature(Player).parameters
    (kinds,) = get_args(get_type_hints(Translator)["data"])
    assert re.findall(r'^\| `"(\w+)"` \|', TEXT, re.M) == list(get_args(kinds))
