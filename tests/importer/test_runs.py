"""An imported network is a run: it exports, translates, and is not changed."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file

import i2i
from i2i.cli import main
from i2i.cli.import_ import command
from i2i.engine import load_generators
from i2i.images import Image, read_image, write_image
from i2i.importer import import_checkpoint, runs
from i2i.networks import per_image
from tests.importer import authors

pytestmark = pytest.mark.usefixtures("one_thread")


def saved(path: Path, net: torch.nn.Module) -> Path:
    torch.save(authors.trained(net).state_dict(), path)
    return path


def pixels(h: int, w: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (h, w, channels), dtype=np.uint8)


def by_torch(net: torch.nn.Module, image: np.ndarray, *more: torch.Tensor) -> np.ndarray:
    """Return the network's result for uint8 [h, w, c], not rounded."""
    x = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.no_grad():
        y = net(x, *more)[0].permute(1, 2, 0).numpy()
    return np.clip((y + 1) * 127.5, 0, 255)


@pytest.mark.parametrize(
    ("make", "statistics"),
    [
        (lambda: authors.resnet(channels=(3, 1), blocks=1, norm="batch", antialias=True), "image"),
        (authors.CSC321, "averaged"),
        (lambda: authors.resnet(blocks=1, downs=3), "image"),
        (authors.unet, "image"),
    ],
)
@pytest.mark.slow  # test_the_commands does the same with the most usual of them
def test_import_export_translate(tmp_path, make, statistics):
    """The final pixels equal those of the authors' network, at a size that it accepts."""
    theirs = make()
    file = saved(tmp_path / "G.pth", theirs)
    run = import_checkpoint(file, tmp_path / "run", a="apple", b="windows")
    image = pixels(32, 64)
    theirs.train(statistics == "image")
    model = i2i.load(i2i.export(run))
    assert np.abs(model(image).astype(float) - by_torch(theirs, image)).max() <= 1
    assert model(image[:29, :35]).shape[:2] == (29, 35)
    assert (model.spec.source.name, model.spec.target.name, model.spec.direction) == ("apple", "windows", "a2b")
    assert (model.spec.source.channels, model.spec.target.channels) == (3, model(image).shape[2])


@pytest.mark.slow
def test_attributes_of_a_stargan_export_translate(tmp_path):
    theirs = authors.stargan(domains=3)
    file = saved(tmp_path / "G.ckpt", theirs)
    run = import_checkpoint(file, tmp_path / "run", a="faces", domains=["black", "blond", "young"], attributes=True)
    model = i2i.load(i2i.export(run))
    assert model.spec.domains == ("black", "blond", "young")
    image, c = pixels(32, 48), torch.tensor([[0.0, 1, 1]])
    theirs.train()
    want = by_torch(lambda x: theirs(torch.cat([x, c[:, :, None, None].expand(-1, -1, 32, 48)], 1)), image)
    assert np.abs(model(image, to="blond,young").astype(float) - want).max() <= 1


def test_the_domains_of_a_stargan(tmp_path):
    file = saved(tmp_path / "G.ckpt", authors.stargan(domains=3))
    exclusive = load_generators(import_checkpoint(file, tmp_path / "other"))["any"][1]
    assert (exclusive.domains, exclusive.attributes) == (("c0", "c1", "c2"), False)
    with pytest.raises(ValueError, match="has 3 domains; expected as many different names, got black, blond"):
        import_checkpoint(file, tmp_path / "third", domains=["black", "blond"])
    with pytest.raises(ValueError, match="as many different names"):
        import_checkpoint(file, tmp_path / "third", domains=["a", "a", "b"])
    with pytest.raises(ValueError, match="for StarGAN"):
        import_checkpoint(saved(tmp_path / "R.pth", authors.resnet()), tmp_path / "third", domains=["a"])
    assert not (tmp_path / "third").exists()


def test_imported_weights_describe_themselves(tmp_path):
    theirs = authors.resnet(blocks=2, norm="batch", dropout=True)
    run = import_checkpoint(saved(tmp_path / "latest_net_G.pth", theirs), tmp_path / "run")
    net, spec = load_generators(run)["a2b"]
    assert spec.recipe["network"] == "resnet_2"
    assert spec.recipe["options"] == {"ngf": 4, "norm": "batch", "dropout": True}
    assert spec.recipe["imported"]["file"] == "latest_net_G.pth"  # not where it lay
    assert str(tmp_path) not in (run / "run.json").read_text()
    again, _ = authors.network(theirs.state_dict())
    x = torch.randn(1, 3, 32, 32)
    assert torch.equal(per_image(net)(x), again(x))


def test_statistics_can_be_chosen(tmp_path):
    theirs = authors.resnet(blocks=1, norm="batch")
    file = saved(tmp_path / "G.pth", theirs)
    net = per_image(load_generators(import_checkpoint(file, tmp_path / "avg", statistics="averaged"))["a2b"][0])
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.allclose(net(x), theirs.eval()(x), atol=1e-5)
    for plain in (authors.resnet(), authors.stargan()):
        with pytest.raises(ValueError, match="no batch norm with running averages"):
            import_checkpoint(saved(tmp_path / "P.pth", plain), tmp_path / "none", statistics="averaged")
    with pytest.raises(ValueError, match="choose image or averaged"):
        import_checkpoint(file, statistics="batch")
    assert not (tmp_path / "none").exists()


def test_a_folder_keeps_what_is_in_it(tmp_path):
    first, second = saved(tmp_path / "a.pth", authors.resnet()), saved(tmp_path / "b.pth", authors.unet())
    run = import_checkpoint(first, tmp_path / "run", a="x")
    weights = run / "weights" / "a2b.safetensors"
    before = weights.stat().st_mtime_ns
    assert import_checkpoint(first, run, a="x") == run
    assert weights.stat().st_mtime_ns == before  # so that its export stays current
    for file, name in ((second, "x"), (first, "y")):
        with pytest.raises(ValueError, match="contains another import"):
            import_checkpoint(file, run, a=name)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "photo.png").touch()
    for taken in (tmp_path / "full", first):
        with pytest.raises(ValueError, match="already exists and is no import"):
            import_checkpoint(second, taken)
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["photo.png"]


def test_an_import_that_was_cut_short_is_done_again(tmp_path, monkeypatch):
    file = saved(tmp_path / "G.pth", authors.resnet())
    with monkeypatch.context() as context:
        context.setattr(runs, "save_network", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            import_checkpoint(file, tmp_path / "run")
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "importing"
    import_checkpoint(file, tmp_path / "run")
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "finished"


def test_i2is_own_weights_need_no_import(tmp_path):
    run = import_checkpoint(saved(tmp_path / "G.pth", authors.resnet()), tmp_path / "run")
    with pytest.raises(ValueError, match="was written by i2i"):
        import_checkpoint(run / "weights" / "a2b.safetensors", tmp_path / "again")


def test_training_does_not_go_on_in_an_imported_run(tmp_path):
    run = import_checkpoint(saved(tmp_path / "G.pth", authors.resnet()), tmp_path / "run")
    for method in (None, "cyclegan"):
        with pytest.raises(ValueError, match="is an imported run; start from its weights with --from"):
            i2i.train(method, out=run, data=tmp_path)


@pytest.mark.usefixtures("graph_of_a_resnet")
def test_the_commands(tmp_path, monkeypatch, capsys):
    """import, models and translate, as they stand in the README."""

    def i2i_here(*arguments):
        with pytest.raises(SystemExit) as end:
            main(list(arguments))
        said = capsys.readouterr()
        assert end.value.code == 0, said.err
        return said.out

    monkeypatch.chdir(tmp_path)
    theirs, horse = authors.resnet(blocks=1), pixels(20, 32)
    saved(tmp_path / "latest_net_G.pth", theirs)
    write_image(tmp_path / "horse.png", Image(horse))
    assert i2i_here("import", "latest_net_G.pth", "--a", "horse", "--b", "zebra") == (
        "runs/import-latest_net_G  horse -> zebra  CycleGAN's and pix2pix's ResNet generator, 3 to 3 channels, "
        "statistics: image\n"
    )
    listed = i2i_here("models")
    assert "* runs/import-latest_net_G  resnet_1  horse -> zebra  finished, step 0, not exported" in listed
    assert i2i_here("translate", "horse.png", "-m", "import-latest_net_G") == "horse-zebra.png\n"
    zebra = read_image(tmp_path / "horse-zebra.png").pixels
    assert np.abs(zebra.astype(float) - by_torch(theirs, horse)).max() <= 1


def test_an_error_is_one_of_usage_and_makes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("page.pth").write_text("<html>")
    for arguments in (["import", "page.pth"], ["import", "page.pth", "-o", "run", "--statistics", "averaged"]):
        with pytest.raises(SystemExit) as left:
            main(arguments)
        assert left.value.code == 2
        assert capsys.readouterr().err.startswith("error: page.pth is a web page")
    assert [path.name for path in tmp_path.iterdir()] == ["page.pth"]


@pytest.mark.parametrize(("takes", "returns"), [(6, 3), (3, 6), (2, 2), (5, 1)])
def test_a_generator_of_other_channels_is_refused_by_name(tmp_path, takes, returns):
    saved(tmp_path / "odd.pth", authors.resnet((takes, returns), blocks=1))
    with pytest.raises(ValueError, match=rf"odd\.pth: .* takes {takes} channels and returns {returns}; expected 1 \("):
        import_checkpoint(tmp_path / "odd.pth", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_objects_that_were_not_loaded_are_recorded_and_printed_in_one_line(tmp_path):
    content = {"G": authors.resnet(blocks=1).state_dict(), "opt": argparse.Namespace(lr=1), "best": np.float64(1)}
    torch.save(content, tmp_path / "w.ckpt")
    done = CliRunner().invoke(command, [str(tmp_path / "w.ckpt"), "-o", str(tmp_path / "run")])
    assert done.exit_code == 0, done.output
    (line,) = [line for line in done.output.splitlines() if "not loaded" in line]
    assert "argparse.Namespace, numpy" in line
    ignored = json.loads((tmp_path / "run" / "run.json").read_text())["imported"]["ignored"]
    assert ignored[0] == "argparse.Namespace"


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_exporting_a_checkpoint_says_how_to_import_it(tmp_path, name):
    weights = authors.resnet(blocks=1).state_dict()
    torch.save(weights, tmp_path / "w.pth")
    save_file(weights, tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match=rf"`i2i import {tmp_path / name}`; then give the folder"):
        load_generators(tmp_path / name)
