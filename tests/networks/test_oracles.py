"""Our networks compute what the authors' do, with the authors' weights."""

import numpy as np
import pytest
import torch

from i2i import networks
from tests.oracle import CUT, HERE, NETWORKS, adopt, group

pytestmark = pytest.mark.usefixtures("one_thread")


def build(name, weights, options):
    first, last = weights[0], weights[-1]
    if name.startswith(("patch", "pixel")):
        return networks.discriminator(name, first.shape[1], ndf=first.shape[0], **options)
    return networks.generator(name, first.shape[1], last.shape[0], ngf=first.shape[0], **options)


def outermost_bias(weights):
    """The last tensor in traversal order is the bias of the last layer: its length is the number of channels out."""
    return list(weights.values())[-1]


@pytest.mark.parametrize(("file", "name", "options"), NETWORKS)
def test_carried_numbers(file, name, options):
    oracle = np.load(HERE / f"{file}.npz")
    weights = group(oracle, "weights")
    net = build(name, [next(iter(weights.values())), outermost_bias(weights)], options)
    adopt(net, weights)
    with torch.no_grad():
        y = networks.per_image(net)(torch.from_numpy(oracle["x"])).numpy()
    assert np.abs(y.ravel()[oracle["at"]] - oracle["y"]).max() < 1e-5
    assert oracle["y"].std() > 0.4  # a net of zeros would not pass


@pytest.mark.parametrize(("file", "name", "options"), NETWORKS + CUT)
def test_every_number(reference, file, name, options):
    weights = torch.load(reference(f"oracles/{file}.pth"), weights_only=True, map_location="cpu")
    oracle = np.load(reference(f"oracles/{file}.npz"))
    net = build(name, [next(iter(weights.values())), outermost_bias(weights)], options)
    adopt(net, weights)
    with torch.no_grad():
        y = networks.per_image(net)(torch.from_numpy(oracle["x"])).numpy()
    assert np.abs(y - oracle["y"]).max() < 1e-5
