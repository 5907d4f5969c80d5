"""What a training of each method leaves can be exported, and the file gives the pixels that PyTorch gives."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from i2i.engine import load_generators, train
from i2i.exporter import export
from i2i.networks import per_image
from i2i.runtime import load
from tests.engine.conftest import TINY
from tests.translators.cases import CASES

SIZES = [(21, 37), (64, 64), (90, 45)]
USUAL = ("pix2pix", "cyclegan", "fastcut", "direct", "constancy")  # networks like theirs are exported elsewhere
WAYS = [
    pytest.param(method, way, marks=() if way in ("a2b", "any") and method not in USUAL else pytest.mark.slow)
    for method, case in CASES.items()
    for way in sorted(case.exports)
]


def levels(net, image, given):
    """What the network makes of uint8 [h, w, c], in levels that are not yet rounded."""
    x = torch.from_numpy(image).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.inference_mode():
        y = net(x, *given)[0]
    return ((y.clamp(-1, 1) + 1) * 127.5).permute(1, 2, 0).numpy()


@pytest.mark.parametrize(("method", "direction"), WAYS)
def test_same_pixels_as_torch(method, direction, folders, tmp_path, one_thread):
    run = train(method, **TINY[method], **folders[method], steps=2, sample_every=0, out=tmp_path / "run", quiet=True)
    net, told = load_generators(run)[direction]
    file = export(run, to=direction)
    assert file == run / "onnx" / f"{direction}.onnx"
    model, net = load(file, "cpu"), per_image(net)
    assert model.spec.parity["largest"] <= model.spec.parity["limit"]
    assert len({tuple(sizes[1:]) for sizes in model.spec.parity["inputs"]}) == 3
    assert (model.spec.method, model.spec.domains) == (method, told.domains)
    targets = [(name, (torch.eye(len(told.domains))[i][None],)) for i, name in enumerate(told.domains)]
    for h, w in SIZES:
        image = np.random.default_rng(h).integers(0, 256, (h, w, told.source.channels), dtype=np.uint8)
        seen = []
        for to, given in targets or [(None, ())]:
            got, want = model(image, to=to), levels(net, image, given)
            assert got.shape == want.shape
            assert np.abs(got - want).max() <= 1
            seen.append(want)
        assert all(np.abs(one - other).max() > 0.01 for one, other in pairwise(seen))
