"""Group and layer normalisation, and the residual output: what keeps the colour of flat images."""

import pytest
import torch
from torch import nn

from i2i import networks
from i2i.networks.blocks import GroupNorm2d, LayerNorm2d, norm_layer, towards
from i2i.translators.unit import UNIT

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(("channels", "groups"), [(1, 1), (2, 1), (8, 4), (24, 4), (48, 8), (64, 32), (256, 32)])
def test_groups_have_at_least_two_channels_where_there_are_so_many(channels, groups):
    assert GroupNorm2d(channels).num_groups == groups
    assert LayerNorm2d(channels).num_groups == 1


def test_group_norm_by_hand():
    norm, x = GroupNorm2d(8).double(), torch.randn(2, 8, 3, 5, dtype=torch.float64)
    nn.init.normal_(norm.weight), nn.init.normal_(norm.bias)
    grouped = x.view(2, 4, 2, 3, 5)
    mean = grouped.mean((2, 3, 4), keepdim=True)
    deviation = (grouped.var((2, 3, 4), unbiased=False, keepdim=True) + 1e-5).sqrt()
    wanted = ((grouped - mean) / deviation).view_as(x) * norm.weight[:, None, None] + norm.bias[:, None, None]
    assert torch.allclose(norm(x), wanted)
    one = GroupNorm2d(2).train()(torch.tensor([[[[3.0]], [[3.0]]]]))  # a single value for each group
    assert torch.allclose(one, torch.zeros(1, 2, 1, 1), atol=1e-4)


@pytest.mark.parametrize(("norm", "keeps"), [("instance", False), ("group", True), ("layer", True)])
def test_a_flat_image_keeps_its_colour(norm, keeps):
    """Purple and green squares: behind the first instance norm of a ResNet both are zeros."""
    torch.manual_seed(0)
    net = networks.generator("resnet_1", 3, 3, ngf=8, norm=norm)
    colours = torch.tensor([[0.25, -0.5, 0.75], [-1.0, 0.5, -1.0]])[:, :, None, None].expand(2, 3, 16, 16)
    with torch.no_grad():
        purple, green = net.first(colours)
    assert bool((purple - green).abs().max() > 0.1) == keeps
    assert keeps or purple.abs().max() < 1e-3


def test_towards_is_a_mixture_that_returns_its_input_at_zero():
    x = torch.cat([torch.linspace(-1, 1, 101), torch.rand(1000) * 2 - 1])
    assert torch.equal(towards(x, torch.zeros_like(x)), x)
    for t, wanted in ((1.0, 1.0), (-1.0, -1.0)):
        assert torch.equal(towards(x, torch.full_like(x, t)), torch.full_like(x, wanted))
    assert torch.allclose(towards(torch.tensor(0.5), torch.tensor(-0.25)), torch.tensor(0.125))  # 3/4 of x, 1/4 of -1
    t = torch.rand_like(x) * 2 - 1
    assert towards(x, t).abs().max() <= 1
    white = torch.tensor(1.0)
    down = torch.tensor(-0.1, requires_grad=True)
    towards(white, down).backward()
    assert down.grad == 2  # a white pixel can darken


@pytest.mark.parametrize("name", ["resnet_1", "unet_32"])
@pytest.mark.parametrize("upsample", ["deconv", "resize"])
def test_a_residual_generator_begins_as_its_input_and_learns(name, upsample):
    torch.manual_seed(0)
    net = networks.generator(name, 3, 3, ngf=4, norm="group", upsample=upsample, residual=True)
    x, y = torch.rand(1, 3, 32, 32) * 2 - 1, torch.tensor(0.5)
    assert torch.equal(net(x), x)
    optimizer, first = torch.optim.Adam(net.parameters(), 1e-2), float((x - y).abs().mean())
    for _ in range(20):
        (net(x) - y).abs().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert all(p.square().sum() > 0 for name, p in net.named_parameters() if name.startswith("last"))
    assert (net(x) - y).abs().mean() < 0.9 * first
    with pytest.raises(ValueError, match=r"input, which has 3 channels, and the output 1; expected a grey input or"):
        networks.generator(name, 3, 1, residual=True)


@pytest.mark.parametrize("name", ["resnet_1", "unet_32", "drunet_1"])
def test_a_residual_generator_begins_as_a_grey_input_in_each_channel(name):
    net = networks.generator(name, 1, 3, ngf=2, residual=True)
    x = torch.rand(1, 1, 33, 31) * 2 - 1
    assert torch.equal(net(x), x.expand(1, 3, 33, 31))


def test_norms_by_name():
    with pytest.raises(ValueError, match="choose one of instance, batch, group, layer, none"):
        norm_layer("groups", 4)
    with pytest.raises(ValueError, match="share layers here, so choose instance, group, layer or none"):
        UNIT(ngf=2, ndf=2, norm="batch")
    for norm in ("group", "layer", "none"):
        unit = UNIT(ngf=2, ndf=2, blocks=1, norm=norm, discriminator="unit_2")
        assert unit.eval()({"x": torch.zeros(1, 3, 32, 32), "y": torch.ones(1, 3, 32, 32)})["x->y"].isfinite().all()
        assert not any(isinstance(module, nn.InstanceNorm2d) for module in unit.modules())
