"""Generators with an encoder on labelled images: from a folder of classes or a table to the translated file."""

import numpy as np
import pytest
import torch
from PIL import Image

import i2i
from i2i.engine import load_generators, train
from i2i.networks import per_image
from i2i.runtime.graphs.onnx_file import read_spec
from i2i.sampling import arithmetic
from i2i.translators import translator_class
from tests.engine.comparison import same
from tests.translators.cases import CASES, batch, make

pytestmark = pytest.mark.usefixtures("one_thread")

METHODS = ("vaegan", "bigan")
NAMES = ("calm-man", "calm-woman", "smiling-man")
SETTINGS = {"size": 32, "batch": 4, "steps": 6, "sample_every": 6}


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    """A folder of three classes, a third of grey each, and a table that says which images are bright or dark."""
    root, rng = tmp_path_factory.mktemp("classes"), np.random.default_rng(0)
    rows = []
    for level, name in enumerate(NAMES):
        (root / "folders" / name).mkdir(parents=True)
        (root / "files").mkdir(exist_ok=True)
        for i in range(4):
            pixels = (rng.integers(0, 80, (32, 32, 3)) + 80 * level).astype(np.uint8)
            Image.fromarray(pixels).save(root / "folders" / name / f"{i}.png")
            Image.fromarray(pixels).save(root / "files" / f"{name}{i}.png")
            rows.append(f"{name}{i}.png,{int(level > 0)},{int(level < 2)}")
    (root / "table.csv").write_text("\n".join(["file,bright,dark", *rows, ""]))
    return root


def options(root, method, attributes):
    data = (
        {"data": str(root / "files"), "attributes": str(root / "table.csv")}
        if attributes
        else {"data": str(root / "folders")}
    )
    return {"method": method, **SETTINGS, **CASES[method].small, **data, "quiet": True}


@pytest.mark.parametrize(
    ("method", "attributes"),
    [("vaegan", False), pytest.param("bigan", True, marks=pytest.mark.slow)],
    ids=["classes", "attributes"],
)
def test_a_run_on_labelled_images_translates_any_size_to_a_label(method, attributes, classes, tmp_path):
    run = train(**options(classes, method, attributes), out=tmp_path / "run")
    assert sorted(file.stem for file in (run / "weights").iterdir()) == ["any", "generate"]
    assert (run / "samples" / "000000006.png").is_file()
    averaged = torch.load(max((run / "state").iterdir()), weights_only=True)["game"]["ema"]["any"]
    means = (averaged["labels.totals"] / averaged["labels.counts"]).numpy()

    path = i2i.export(run, to="any")
    names = ("bright", "dark") if attributes else NAMES
    assert read_spec(path).domains == names
    model = i2i.load(path, to=names[1])
    net = per_image(load_generators(run)["any"][0])
    for height, width in ((32, 32), (45, 70), (5, 9)):
        image = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
        x = torch.from_numpy(image).permute(2, 0, 1)[None] / 127.5 - 1
        with torch.no_grad():
            expected = (net(x, torch.eye(len(names))[1:2])[0].permute(1, 2, 0).numpy() + 1) * 127.5
        assert np.abs(model(image) - expected).max() <= 1
        assert model(image).shape == (height, width, 3)

    spec = read_spec(i2i.export(run, to="generate"))
    assert (spec.kind, spec.domains) == ("generator", ())
    assert [mean.name for mean in spec.prior.means] == [*names, *(["not bright", "not dark"] if attributes else [])]
    assert np.allclose([mean.z for mean in spec.prior.means], means, rtol=1e-4, atol=1e-6)
    expression = f"{names[0]} - {names[1]} + {spec.prior.means[2].name}"
    assert np.allclose(arithmetic(spec.prior, expression), means[0] - means[1] + means[2], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_the_means_are_the_same_after_a_stop(method, classes, tmp_path, monkeypatch):
    unbroken = train(**options(classes, method, False), out=tmp_path / "unbroken")
    from i2i.engine.train_state import TrainState

    plain = TrainState.step

    def interrupted(self, batch, number, rate):
        if number == 2:
            raise KeyboardInterrupt
        return plain(self, batch, number, rate)

    monkeypatch.setattr(TrainState, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(**options(classes, method, False), save_every=1, out=tmp_path / "run")
    monkeypatch.setattr(TrainState, "step", plain)
    train(out=tmp_path / "run", quiet=True)
    assert same(unbroken, tmp_path / "run")


@pytest.mark.parametrize("attributes", [False, True], ids=["classes", "attributes"])
@pytest.mark.parametrize("method", METHODS)
def test_the_sheet_shows_each_label_as_the_export_makes_it(method, attributes):
    t = make(method, domains=3, attributes=attributes)
    data = batch(method, labelled=True)
    for seed in range(3):
        torch.manual_seed(seed)
        t.train()(data)
    t.eval()
    with torch.no_grad():
        views = t(data)
        assert list(views) == ["x", "G(E(x))", "G(E(x),0)", "G(E(x),1)", "G(E(x),2)", "G(z)"]
        expected = t.exports()["any"](data["x"], torch.eye(3)[[1, 1]])
    assert torch.allclose(views["G(E(x),1)"], expected, atol=1e-6)


def test_labels_are_no_input_of_the_generator():
    for method in METHODS:
        assert not translator_class(method).conditional
        assert make(method, domains=3).exports()["generate"](torch.zeros(2, 4)).shape == (2, 3, 32, 32)
