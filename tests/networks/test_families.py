"""Every row of the tables of networks, and the families that only third-party checkpoints need."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from i2i import networks
from i2i.networks import DISCRIMINATORS, GENERATORS, averaged, per_image
from i2i.networks.blocks import AveragedNorm2d
from i2i.networks.unit import Blocks, Decoder, Encoder, Stream
from tests.oracle import adopt

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = {
    "resnet": ("resnet_1", {}),
    "mobile_resnet": ("mobile_resnet_1", {}),
    "unet": ("unet_32", {}),
    "drunet": ("drunet_1", {}),
    "global": ("global_1", {"downs": 3}),
    "stargan": ("stargan_1", {"domains": 2}),
    "csc321": ("csc321", {}),
}


def test_every_generator_is_here():
    assert SMALL.keys() == GENERATORS.keys()


@pytest.mark.parametrize("family", GENERATORS)
def test_any_size_from_the_minimum_comes_back(family):
    name, options = SMALL[family]
    torch.manual_seed(0)
    net = per_image(networks.generator(name, 2, 1, ngf=2, **options))
    label = [torch.eye(2)[:1]] if family == "stargan" else []
    least = net.minimum
    for size in ((least, least), (least + 1, least + 6), (31, 64), (33, 45)):
        with torch.no_grad():
            y = net(torch.randn(1, 2, *size), *label)
        assert y.shape == (1, 1, *size)
        assert torch.isfinite(y).all()
        assert y.abs().max() <= 1


@pytest.mark.parametrize(
    "make",
    [
        lambda: networks.GlobalGenerator(blocks=1, downs=3, ngf=2),
        lambda: networks.CSC321Generator(ngf=2),
        lambda: networks.DRUNet(blocks=1, ngf=2),
        lambda: networks.DRUNet(blocks=1, ngf=2, upsample="resize"),
        lambda: networks.ResNet(blocks=1, ngf=2, norm="none"),
        lambda: networks.ResNet(blocks=1, ngf=2, norm="none", antialias=True, upsample="blur"),
        lambda: networks.ResNet(blocks=1, ngf=2, norm="none", upsample="resize"),
        lambda: Stream(Encoder(3, 4, 1), Blocks(16, 1), Blocks(16, 1), Decoder(3, 4, 1, "resize")),
    ],
)
def test_the_receptive_field_is_what_it_says(make):
    """Found by the gradient of a pixel at each place of the grid; the statistics of the norms are taken out."""
    net = make()  # here, where each test has its own seed
    for module in list(net.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.InstanceNorm2d | nn.BatchNorm2d):
                setattr(module, name, nn.Identity())
    extent, net = 0, net.double()
    for place in range(8):
        x = torch.randn(1, 3, 192, 192, dtype=torch.float64, requires_grad=True)
        net(x)[0, :, 96 + place, 96].sum().backward()
        rows = x.grad.abs().sum(dim=(0, 1, 3)).nonzero()
        extent = max(extent, int(rows.max() - rows.min()) + 1)
    assert extent == net.receptive_field


def test_pix2pixhd_computes_what_the_authors_does(reference):
    weights = torch.load(reference("oracles/pix2pixhd_global.pth"), weights_only=True, map_location="cpu")
    oracle = np.load(reference("oracles/pix2pixhd_global.npz"))
    net = networks.generator("global_3", 3, 3, downs=3, ngf=8)
    adopt(net, weights)
    with torch.no_grad():
        assert np.abs(net(torch.from_numpy(oracle["x"])).numpy() - oracle["y"]).max() < 1e-5


def test_pix2pixhd_has_the_authors_count():
    with torch.device("meta"):
        net = networks.generator("global_9", 36, 3)
    assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(182.547, abs=5e-4)
    with pytest.raises(ValueError, match="at least once"):
        networks.generator("global_9", 3, 3, downs=0)


def test_csc321_has_the_shapes_of_the_course():
    values = networks.CSC321Generator().state_dict().values()
    assert (len(values), sum(tensor.numel() for tensor in values)) == (25, 106244)  # as in files of others
    judge = networks.discriminator("csc321", 3)
    assert judge.eval()(torch.zeros(2, 3, 32, 32)).shape == (2, 1, 1, 1)


def test_names():
    assert networks.discriminator("stargan_2", 3, image_size=32).layers == 2
    for name in ("csc321_2", "global", "unet_48", "resnet_0", "pixel_1"):
        with pytest.raises(ValueError, match=r"expected .*unet_N"):
            networks.generator(name, 3, 3)
    with pytest.raises(ValueError, match=r"patch_N .* csc321"):
        networks.discriminator("patch", 3)
    assert {"patch", "pixel"} <= DISCRIMINATORS.keys()


def test_averages_are_those_of_the_training_for_every_image_alone():
    net = networks.UNet(ngf=4, depth=4, dropout=False)
    x = torch.randn(4, 3, 32, 32)
    for _ in range(3):
        net.train()(x)
    used = averaged(net)
    with torch.no_grad():
        assert torch.equal(used.train()(x), net.eval()(x))
        assert torch.allclose(per_image(used)(x[:1]), net(x)[:1], atol=1e-6)  # export does not change it
    assert any(isinstance(module, AveragedNorm2d) for module in used.modules())
    kept = {key for key in net.state_dict() if "num_batches" not in key}
    assert used.state_dict().keys() == kept


@pytest.mark.parametrize(
    ("make", "options", "words"),
    [
        (networks.generator, ("resnet_2", 3, 3), "knows no domains; expected stargan_N"),
        (networks.discriminator, ("patch_3", 3), "knows no domains; expected stargan_N"),
    ],
)
def test_a_network_without_the_options_is_named_with_those_that_have_them(make, options, words):
    with pytest.raises(ValueError, match=words):
        make(*options, domains=3)
