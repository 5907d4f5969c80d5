"""Runs of every method can be exported, and the file gives the same pixels as PyTorch."""

from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from i2i.engine import load_generators, train
from i2i.exporter import export
from i2i.networks import per_image
from i2i.runtime import load
from i2i.sampling import latent
from tests.engine.conftest import TINY
from tests.translators.cases import CASES

SIZES = [(21, 37), (64, 64), (90, 45)]
WAYS = [(method, way) for method, case in CASES.items() for way in sorted(case.exports - {"generate", "energy"})]


def levels(net, image, given):
    """Return the network's result for uint8 [h, w, c], in levels, not rounded."""
    x = torch.from_numpy(image).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.inference_mode():
        y = net(x, *given)[0]
    return ((y.clamp(-1, 1) + 1) * 127.5).permute(1, 2, 0).numpy()


@pytest.mark.slow  # tests/cli/test_domains.py and tests/test_extending.py go the same way with a method each
@pytest.mark.parametrize(("method", "direction"), WAYS)
def test_same_pixels_as_torch(method, direction, folders, tmp_path, one_thread):
    run = train(method, **TINY[method], **folders[method], steps=2, sample_every=0, out=tmp_path / "run", quiet=True)
    net, spec = load_generators(run)[direction]
    file = export(run, to=direction)
    assert file == run / "onnx" / f"{direction}.onnx"
    model, net = load(file, "cpu"), per_image(net)
    assert model.spec.parity["largest"] <= model.spec.parity["limit"]
    assert len({tuple(sizes[1:]) for sizes in model.spec.parity["inputs"]}) == 3
    assert (model.spec.method, model.spec.domains) == (method, spec.domains)
    targets = [(name, (torch.eye(len(spec.domains))[i][None],)) for i, name in enumerate(spec.domains)]
    if spec.style is not None:
        targets = [(None, (torch.from_numpy(latent(spec.style, [0])),))]  # as a translation without a seed
    for h, w in SIZES:
        image = np.random.default_rng(h).integers(0, 256, (h, w, spec.source.channels), dtype=np.uint8)
        seen = []
        for to, given in targets or [(None, ())]:
            got, want = model(image, to=to), levels(net, image, given)
            assert got.shape == want.shape
            assert np.abs(got - want).max() <= 1
            seen.append(want)
        assert all(np.abs(one - other).max() > 0.01 for one, other in pairwise(seen))


GENERATORS = [method for method, case in CASES.items() if "generate" in case.exports and method != "stackgan"]


def same_images(run):
    """Check the images of a few seeds, of each class, against PyTorch's: at most one level apart, none alike.

    The weights are replaced by larger random ones: after two steps of training all images are grey.
    """
    net, spec = load_generators(run)["generate"]
    torch.manual_seed(1)
    for weight in net.parameters():
        weight.data.normal_(0, 0.6)
    file = export({"generate": (net, spec)}, run / "onnx" / "generate.onnx")
    model, net = load(run, "cpu", to="generate"), per_image(net)
    assert model.path == file
    assert model.spec.parity["largest"] <= model.spec.parity["limit"]
    z = torch.from_numpy(latent(spec.prior, range(3, 7)))
    targets = [(name, (torch.eye(len(spec.domains))[i].repeat(4, 1),)) for i, name in enumerate(spec.domains)]
    seen = []
    for to, given in targets or [(None, ())]:
        with torch.inference_mode():
            want = ((net(z, *given).clamp(-1, 1) + 1) * 127.5).permute(0, 2, 3, 1).numpy()
        got = model.sample(4, seed=3, to=to)
        assert got.shape == want.shape == (4, *spec.prior.size, spec.target.channels)
        assert np.abs(got - want).max() <= 1
        seen += list(want)
    assert all(np.abs(one - other).max() > 20 for one, other in combinations(seen, 2))


@pytest.mark.slow  # the next test goes the same way with a method
@pytest.mark.parametrize("method", GENERATORS)
def test_same_images_as_torch(method, folders, tmp_path, one_thread):
    settings = TINY[method] | folders[method]
    same_images(train(method, **settings, steps=2, sample_every=0, out=tmp_path / "run", quiet=True))


def test_same_images_as_torch_of_each_class(folders, tmp_path, one_thread):
    settings = TINY["dcgan"] | folders["stargan"]
    run = train("dcgan", **settings, steps=2, sample_every=0, out=tmp_path / "run", quiet=True)
    same_images(run)
    assert load(run, "cpu").spec.domains == ("rain", "shine", "snow")


@pytest.fixture
def of_attributes(folders, tmp_path, one_thread):
    """A run of StarGAN on two of the three attributes of a table."""
    images = sorted(Path(folders["stargan"]["data"], "train").rglob("*.png"))
    lines = [
        "file,male,hat,young",
        *(f"{image.parent.name}/{image.name},{i % 2},1,{i % 3 > 0:d}" for i, image in enumerate(images)),
    ]
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    data = {"data": str(images[0].parents[1]), "attributes": str(tmp_path / "table.csv"), "select": "male,young"}
    return train("stargan", **TINY["stargan"], **data, steps=2, sample_every=2, out=tmp_path / "run", quiet=True)


def test_attributes_of_a_table_are_learnt_and_shipped(of_attributes):
    ((net, spec),) = load_generators(of_attributes).values()
    assert (spec.direction, spec.domains, spec.attributes) == ("any", ("male", "young"), True)
    assert net(torch.zeros(1, 3, 32, 32), torch.ones(1, 2)).shape == (1, 3, 32, 32)
    assert len(list((of_attributes / "samples").iterdir())) == 1


@pytest.mark.slow
@pytest.mark.parametrize(("to", "labels"), [("male", (1, 0)), (["young", "male"], (1, 1)), ("", (0, 0))])
def test_attributes_same_pixels_as_torch(of_attributes, to, labels):
    ((net, _),) = load_generators(of_attributes).values()
    model, image = load(export(of_attributes), "cpu"), np.random.default_rng(0).integers(0, 256, (33, 47, 3), np.uint8)
    want = levels(per_image(net), image, (torch.tensor([labels], dtype=torch.float32),))
    assert np.abs(model(image, to=to) - want).max() <= 1
