"""Every generator at difficult sizes; takes minutes, so not in the fast suite."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from i2i.exporter import export_network
from i2i.networks import generator, per_image
from i2i.runtime.graphs.onnx_file import read_spec
from tests.exporter.conftest import by_hand, pictures, run, spec

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("upsample", ["deconv", "resize"])
@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize("name", ["unet_128", "unet_256", "resnet_6"])
def test_same_pixels_as_torch(tmp_path: Path, name: str, norm: str, upsample: str) -> None:
    torch.manual_seed(0)
    net = generator(name, 3, 3, ngf=4, norm=norm, dropout=True, upsample=upsample)
    path = export_network(net, spec(), tmp_path / "m.onnx")
    promise = read_spec(path)
    assert promise is not None
    used = per_image(net)
    for h, w in ((256, 256), (257, 391), (1000, 300), (5, 7)):
        for batch in (1, 4):
            image = pictures(batch, h, w, promise, seed=h)
            got, want = run(path, image), by_hand(used, image, promise).round()
            assert got.shape == image.shape
            assert np.abs(got - want).max() <= 1
