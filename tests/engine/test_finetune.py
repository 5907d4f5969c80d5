"""A new run that starts from the weights of another: the weights, the record in the run, and refusals."""

import json
import shutil

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from i2i.cli.train import command
from i2i.engine import load_generators, train
from i2i.engine.train_state import TrainState
from i2i.importer import import_checkpoint
from tests.engine.comparison import same
from tests.engine.conftest import TINY
from tests.importer import authors

pytestmark = pytest.mark.usefixtures("one_thread")

KINDS = ("pix2pix", "cut", "stargan")
"""Methods that differ in kind: pairs, networks made with the first batch, several domains."""


def run(method, folders, out, **more):
    given = TINY[method] | folders[method] | {"sample_every": 0, "save_every": 2, "steps": 2, "ema": 0.5}
    return train(method, **(given | more), out=out, quiet=True)


def parameters(path):
    """Return the trained tensors of a file: without running averages, and the iterates of spectral norm."""
    moving = ("running", "num_", "._u", "._v")
    return {key: tensor for key, tensor in load_file(path).items() if not any(part in key for part in moving)}


def state(path):
    return torch.load(max((path / "state").iterdir()), weights_only=True)["game"]["translator"]


@pytest.mark.parametrize("method", [m if m in KINDS else pytest.param(m, marks=pytest.mark.slow) for m in TINY])
def test_a_run_starts_from_all_networks_of_another(method, folders, tmp_path):
    """With a learning rate of zero it ends where it starts: the exported generators and the discriminators."""
    first = run(method, folders, tmp_path / "first")
    still = {"lr": 0, "lr_d": 0} if method == "enco" else {"lr": 0}
    second = run(method, folders, tmp_path / "second", from_=first, seed=5, **still)
    files = sorted((first / "weights").iterdir())
    assert files
    for file in files:
        before, after = parameters(file), parameters(second / "weights" / file.name)
        assert all(torch.allclose(before[key], after[key], rtol=1e-6, atol=0) for key in before | after)
    if method in ("distill", "energy"):  # which have no network beside those that are exported
        return
    before, after = state(first), state(second)
    judges = [key for key in before if key.startswith(("D", "f")) and key.endswith(("weight", "bias"))]
    assert judges
    assert all(torch.equal(before[key], after[key]) for key in judges)
    facts = json.loads((second / "run.json").read_text())
    assert facts["settings"]["from_"] == str(first.resolve())
    assert facts["from"]["from"] == "first"
    assert len(facts["from"]["sha256"]) == 64
    assert set(facts["from"]["networks"]) >= {key.partition(".")[0] for key in judges}
    plain = run(method, folders, tmp_path / "plain", seed=5, **still)
    assert not all(torch.equal(before[key], state(plain)[key]) for key in judges if key.endswith("weight"))


def test_training_goes_on_from_there(folders, tmp_path):
    first = run("pix2pix", folders, tmp_path / "first")
    second = run("pix2pix", folders, tmp_path / "second", from_=first)
    a, b = (load_file(path / "weights" / "a2b.safetensors") for path in (first, second))
    assert any(not torch.equal(a[key], b[key]) for key in a)
    _, spec = load_generators(second)["a2b"]
    assert spec.recipe["settings"]["from_"] == "first"  # no path of this machine


def test_a_fine_tuned_run_resumes_exactly_without_its_source(folders, tmp_path, monkeypatch):
    first = run("cyclegan", folders, tmp_path / "first")
    unbroken = run("cyclegan", folders, tmp_path / "unbroken", from_=first, steps=8, save_every=4)
    plain = TrainState.step

    def broken(self, batch, number, rate):
        if number == 6:
            raise OSError("the power failed")
        return plain(self, batch, number, rate)

    monkeypatch.setattr(TrainState, "step", broken)
    with pytest.raises(OSError, match="power"):
        run("cyclegan", folders, tmp_path / "stopped", from_=first, steps=8, save_every=4)
    monkeypatch.setattr(TrainState, "step", plain)
    shutil.rmtree(first)
    train(out=tmp_path / "stopped", quiet=True)
    assert same(unbroken, tmp_path / "stopped")


@pytest.mark.parametrize("norm", ["instance", "batch"])
@pytest.mark.parametrize("form", ["folder", "file", "checkpoint"])
def test_an_imported_generator_is_fine_tuned(norm, form, folders, tmp_path):
    torch.save(authors.trained(authors.resnet(blocks=1, ngf=4, norm=norm)).state_dict(), tmp_path / "G.pth")
    imported = import_checkpoint(tmp_path / "G.pth", tmp_path / "imported")
    weights = imported / "weights" / "a2b.safetensors"
    given = {
        "generator": "resnet_1",
        "ngf": 4,
        "norm": norm,
        "lr": 0,
        "from_": {"folder": imported, "file": weights, "checkpoint": tmp_path / "G.pth"}[form],
    }
    tuned = run("cyclegan", folders, tmp_path / "tuned", **given)
    before = parameters(weights)
    assert all(torch.equal(before[key], value) for key, value in parameters(tuned / "weights" / weights.name).items())
    back = parameters(tuned / "weights" / "b2a.safetensors")
    assert not all(torch.equal(before[key], back[key]) for key in before)
    found = json.loads((tuned / "run.json").read_text())["from"]
    assert (found["networks"], found["new"]) == (["a2b"], ["F", "D_X", "D_Y"])


def test_a_checkpoint_takes_the_only_way_of_a_run(folders, tmp_path):
    theirs = authors.trained(authors.unet(norm="instance")).state_dict()
    torch.save(theirs, tmp_path / "G.pth")
    given = {"generator": "unet_32", "ngf": 4, "norm": "instance", "lr": 0, "direction": "b2a", "size": 32}
    tuned = run("pix2pix", folders, tmp_path / "tuned", from_=tmp_path / "G.pth", **given)
    after = parameters(tuned / "weights" / "b2a.safetensors")
    assert len(after) == len(theirs)
    assert sorted(float(t.sum()) for t in after.values()) == pytest.approx(
        sorted(float(t.sum()) for t in theirs.values())
    )


def test_the_generator_of_another_method_is_fine_tuned(folders, tmp_path):
    first = run("cyclegan", folders, tmp_path / "first", dropout=False)
    with pytest.raises(ValueError, match=r"it was made with .*--set upsample=deconv"):
        run("cut", folders, tmp_path / "second", from_=first, lr=0)
    second = run("cut", folders, tmp_path / "second", from_=first, lr=0, upsample="deconv")
    a, b = (parameters(path / "weights" / "a2b.safetensors") for path in (first, second))
    assert all(torch.allclose(a[key], b[key], rtol=1e-6, atol=0) for key in a | b)
    assert json.loads((second / "run.json").read_text())["from"]["networks"] == ["a2b"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"ngf": 3}, r"its generator a2b is another network(?s:.*)expected \(3, 3, 7, 7\), got \(4, 3, 7, 7\)"),
        ({"ngf": 3}, r"\nit was made with --set ngf=4$"),
        ({"generator": "resnet_2"}, r"\nit was made with --set generator=resnet_1$"),
        ({"norm": "none"}, r"\nit was made with --set norm=instance$"),
    ],
)
def test_other_networks_are_refused(given, words, folders, tmp_path):
    torch.save(authors.resnet(blocks=1, ngf=4).state_dict(), tmp_path / "G.pth")
    imported = import_checkpoint(tmp_path / "G.pth", tmp_path / "imported")
    options = {"generator": "resnet_1", "ngf": 4, "dropout": False, "from_": imported}
    with pytest.raises(ValueError, match=words):
        run("cyclegan", folders, tmp_path / "tuned", **(options | given))
    assert not (tmp_path / "tuned").exists()


def test_networks_that_differ_begin_new_and_the_log_says_so(folders, tmp_path, capsys):
    """Another size and another domain B too: what fits is taken."""
    first = run("cyclegan", folders, tmp_path / "first")
    other = {"cyclegan": folders["cyclegan"] | {"b": folders["pix2pix"]["data"] + "/train"}}
    given = TINY["cyclegan"] | other["cyclegan"] | {"steps": 2, "ema": 0.5, "sample_every": 0, "ndf": 3, "size": 40}
    second = train("cyclegan", **given, from_=first, lr=0, out=tmp_path / "second")
    assert f"starts from the weights of {first} (G, F); new networks: D_X, D_Y\n" in capsys.readouterr().err
    before, after = (parameters(path / "weights" / "a2b.safetensors") for path in (first, second))
    assert all(torch.allclose(before[key], after[key], rtol=1e-6, atol=0) for key in before | after)


def test_a_discriminator_for_another_size_begins_new(folders, tmp_path):
    first = run("stargan", folders, tmp_path / "first")
    second = run("stargan", folders, tmp_path / "second", from_=first, lr=0, size=64, image_size=64)
    before, after = (parameters(path / "weights" / "any.safetensors") for path in (first, second))
    assert all(torch.allclose(before[key], after[key], rtol=1e-6, atol=0) for key in before | after)
    found = json.loads((second / "run.json").read_text())["from"]
    assert (found["networks"], found["new"]) == (["G"], ["D"])


def test_frozen_parts_do_not_move(folders, tmp_path):
    """Neither their weights nor their running averages; all others do."""
    first = run("cyclegan", folders, tmp_path / "first", norm="batch")
    second = run("cyclegan", folders, tmp_path / "second", norm="batch", from_=first, freeze="G, F.first,D_X.model.0")
    start = state(first)
    start |= {f"G.{k}": t for k, t in load_file(first / "weights" / "a2b.safetensors").items()}
    start |= {f"F.{k}": t for k, t in load_file(first / "weights" / "b2a.safetensors").items()}
    after = state(second)
    assert start.keys() == after.keys()
    moved = {key for key in after if not torch.equal(start[key], after[key]) and "num_batches" not in key}
    frozen = {key for key in after if key.startswith(("G.", "F.first.", "D_X.model.0."))}
    assert any("running_mean" in key for key in frozen)
    assert not moved & frozen
    assert {"F.blocks.0", "F.last.1", "D_Y.model.0", "D_X.model.2"} <= {".".join(key.split(".")[:3]) for key in moved}
    again = run("cyclegan", folders, tmp_path / "second", steps=4)  # resumes with what it froze
    assert all(torch.equal(state(again)[key], start[key]) for key in frozen if "num_batches" not in key)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ("H", r"freeze has no part 'H'; there are G, F, D_X, D_Y, and the parts within them$"),
        ("G,G.lost.0", r"'G.lost.0'; there are G.first, G.down, G.blocks, G.up, G.last, and the parts within"),
        ("D_X,D_Y", r"freeze is D_X,D_Y, which leaves player D nothing to train; freeze parts of it"),
    ],
)
def test_unknown_parts_and_idle_players_are_refused(names, words, folders, tmp_path):
    with pytest.raises(ValueError, match=words):
        run("cyclegan", folders, tmp_path / "run", freeze=names)
    assert not (tmp_path / "run").exists()


def test_other_directions_and_files_are_refused(folders, tmp_path):
    first = run("cyclegan", folders, tmp_path / "first")
    with pytest.raises(ValueError, match=r"first translates a2b, b2a, and this run any: nothing to start from"):
        run("stargan", folders, tmp_path / "second", from_=first)
    with pytest.raises(ValueError, match=r"nowhere: no such file or folder; expected a run's folder or a file of"):
        run("cyclegan", folders, tmp_path / "second", from_=tmp_path / "nowhere")
    torch.save({}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"w\.pth contains no dict of tensors"):
        run("cyclegan", folders, tmp_path / "second", from_=tmp_path / "w.pth")
    assert not (tmp_path / "second").exists()


def test_another_start_is_another_run(folders, tmp_path):
    first = run("cyclegan", folders, tmp_path / "first")
    second = run("cyclegan", folders, tmp_path / "second", from_=first)
    again = run("cyclegan", folders, tmp_path / "second", from_=first, steps=4)
    assert json.loads((again / "run.json").read_text())["step"] == 4
    with pytest.raises(ValueError, match=r"started with other settings:\n  from_: .*first -> .*second"):
        run("cyclegan", folders, tmp_path / "second", from_=second)


def test_a_run_whose_images_changed_says_how_to_start_from_it(folders, tmp_path):
    shutil.copytree(folders["cyclegan"]["a"], tmp_path / "a")
    more = {"cyclegan": folders["cyclegan"] | {"a": tmp_path / "a"}}
    first = run("cyclegan", more, tmp_path / "first")
    image = next((tmp_path / "a").iterdir())
    shutil.copy(image, image.with_stem("another"))
    with pytest.raises(ValueError, match=r"(?s)was started with other images:.* --from \S*first and another --out$"):
        run("cyclegan", more, tmp_path / "first", steps=4)
    tuned = run("cyclegan", more, tmp_path / "second", from_=first)
    assert json.loads((tuned / "run.json").read_text())["from"]["from"] == "first"


def test_the_help_shows_how():
    text = CliRunner().invoke(command, ["--help"]).output
    assert "--from RUN|FILE" in text
    assert "--from runs/other" in text
