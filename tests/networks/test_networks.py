"""The generators and discriminators by themselves: sizes, counts, choices, errors."""

import numpy as np
import pytest
import torch
from torch import nn

from i2i import networks
from i2i.networks.blocks import BatchNorm2d, BlurDown, InstanceNorm2d, Upsample2x, initialise

pytestmark = pytest.mark.usefixtures("one_thread")

SIZES = [(256, 256), (300, 300), (57, 91), (5, 5), (6, 7), (1, 300), (3, 3), (1, 1)]


@pytest.mark.parametrize(
    ("net", "tensors", "millions"),
    [
        (lambda: networks.UNet(), 82, 54.414),
        (lambda: networks.generator("unet_128", 3, 3), 70, 41.829),
        (lambda: networks.ResNet(), 48, 11.378),
        (lambda: networks.ResNet(blocks=6), 36, 7.838),
        (lambda: networks.ResNet(norm="batch"), 140, 11.383),
        (lambda: networks.PatchGAN(6), 22, 2.769),
        (lambda: networks.PatchGAN(3, norm="instance"), 10, 2.765),
        (lambda: networks.ResNet(antialias=True, upsample="blur"), 48, 11.378),  # CUT's 52 less four filters
        (lambda: networks.PatchGAN(3, norm="instance", antialias=True), 10, 2.765),
    ],
)
def test_the_authors_counts(net, tensors, millions):
    with torch.device("meta"):
        made = net()
    assert len(made.state_dict()) == tensors
    assert sum(p.numel() for p in made.parameters()) / 1e6 == pytest.approx(millions, abs=5e-4)


@pytest.mark.parametrize("upsample", ["deconv", "resize", "blur"])
@pytest.mark.parametrize(
    ("name", "options"), [("unet_256", {}), ("unet_32", {}), ("resnet_1", {}), ("resnet_1", {"antialias": True})]
)
def test_any_size_comes_back(name, options, upsample):
    net = networks.per_image(networks.generator(name, 3, 2, ngf=2, norm="instance", upsample=upsample, **options))
    for size in SIZES:
        if min(size) >= net.minimum:
            with torch.no_grad():
                y = net(torch.randn(1, 3, *size))
            assert y.shape == (1, 2, *size)
            assert torch.isfinite(y).all()


def test_a_unet_costs_what_its_image_costs():
    """300 pixels are not padded to 512: the largest map is the image's own."""
    sizes = []
    net = networks.UNet(ngf=2, norm="instance")
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda m, i, o: sizes.append(o.shape[-1]))
    net(torch.randn(1, 3, 300, 300))
    assert sizes == [150, 75, 38, 19, 10, 5, 3, 2]


def test_padding_changes_nothing_where_sizes_divide():
    from i2i.networks.blocks import HalvingConv2d

    conv = HalvingConv2d(3, 4, bias=True)
    x = torch.randn(1, 3, 8, 12)
    plain = nn.functional.conv2d(x, conv.weight, conv.bias, stride=2, padding=1)
    padded = nn.functional.conv2d(nn.functional.pad(x, (0, 1, 0, 1)), conv.weight, conv.bias, stride=2, padding=1)
    assert torch.equal(conv(x), plain)
    assert torch.allclose(padded, plain, atol=1e-6)  # what an exported graph computes


def test_patches():
    with torch.no_grad():
        assert networks.PatchGAN(3, ndf=2)(torch.zeros(1, 3, 256, 256)).shape == (1, 1, 30, 30)
        assert networks.discriminator("pixel", 3, ndf=2)(torch.zeros(1, 3, 32, 48)).shape == (1, 1, 32, 48)
        assert networks.discriminator("patch_1", 3, ndf=2)(torch.zeros(1, 3, 64, 64)).shape == (1, 1, 30, 30)
        assert networks.PatchGAN(3, ndf=2, antialias=True)(torch.zeros(1, 3, 256, 256)).shape == (1, 1, 30, 30)
        assert networks.PixelGAN(3, ndf=2, antialias=True)(torch.zeros(1, 3, 32, 48)).shape == (1, 1, 32, 48)


@pytest.mark.parametrize("size", [(8, 8), (7, 12), (2, 3)])
def test_blur_on_the_way_down_is_a_filter_of_the_reflected_map(size):
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    y = BlurDown(3).double()(x)
    mirrored = np.pad(x.numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)), mode="reflect")
    weights = np.outer([1, 2, 1], [1, 2, 1]) / 16
    for i, j in np.ndindex(y.shape[-2:]):
        seen = mirrored[..., 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
        assert np.allclose(y[..., i, j].numpy(), (seen * weights).sum((-2, -1)))
    assert y.shape[-2:] == tuple(-(-n // 2) for n in size)
    x.requires_grad_()
    assert torch.autograd.gradcheck(BlurDown(3).double(), x)
    # For penalties on a critic's slope; by random projections, since each entry by itself takes seconds.
    assert torch.autograd.gradgradcheck(BlurDown(3).double(), x, fast_mode=True)


def test_blur_keeps_nothing_for_the_way_back():
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.shape), lambda t: t):
        BlurDown(3)(torch.randn(1, 3, 8, 8, requires_grad=True))
    assert kept == [(3, 1, 3, 3)]


def test_blur_on_the_way_up_is_a_filter_of_the_spread_map():
    x = torch.randn(1, 3, 5, 6)
    up = Upsample2x(3, 3, 3, "blur", bias=False)
    torch.nn.init.dirac_(up.conv[1].weight)
    weights = torch.tensor([1.0, 3.0, 3.0, 1.0]).outer(torch.tensor([1.0, 3.0, 3.0, 1.0])) / 16
    padded = nn.functional.pad(x, (1, 1, 1, 1), mode="replicate")
    spread = nn.functional.conv_transpose2d(padded, weights.repeat(3, 1, 1, 1), stride=2, padding=1, groups=3)
    assert torch.allclose(up(x, (10, 12)), spread[..., 2:-2, 2:-2], atol=1e-6)
    assert up(x, (9, 11)).shape == (1, 3, 9, 11)


@pytest.mark.parametrize("norm", ["instance", "none"])
def test_the_maps_that_cut_compares(norm):
    net = networks.ResNet(ngf=2, antialias=True, upsample="blur", norm=norm)
    x = torch.randn(1, 3, 64, 48)
    taps = []
    y = net(x, taps)
    assert torch.equal(y, net(x))
    assert [tuple(map.shape[1:]) for map in taps] == [
        (3, 70, 54), (4, 64, 48), (8, 32, 24), (8, 16, 12), (8, 16, 12),
    ]  # fmt: skip
    assert [map.shape[1] for map in taps] == net.tapped
    assert torch.equal(taps[0], nn.functional.pad(x, (3, 3, 3, 3), mode="reflect"))
    assert all((map < 0).any() for map in taps[1:3])  # before the normalisation and the ReLU
    alone = net.encode(x)
    assert all(torch.equal(a, b) for a, b in zip(alone, taps, strict=True))
    seen = []
    net.blocks[5].register_forward_hook(lambda *_: seen.append("more than half"))
    for number in (0, 4):
        net.blocks[number].register_forward_hook(lambda m, i, o: seen.append(o))
    alone = net.encode(x)
    assert [id(map) for map in seen] == [id(map) for map in alone[3:]]
    shallow = networks.ResNet(ngf=2, blocks=1)
    assert shallow.tapped == [3, 4, 8, 8] == [map.shape[1] for map in shallow.encode(x)]


def test_initialisation_is_the_authors():
    torch.manual_seed(0)
    net = networks.UNet(ngf=16)
    weights = torch.cat(
        [m.weight.detach().flatten() for m in net.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    )
    norms = torch.cat([m.weight.detach().flatten() for m in net.modules() if isinstance(m, nn.BatchNorm2d)])
    assert weights.std() == pytest.approx(0.02, rel=0.01)
    assert weights.mean() == pytest.approx(0, abs=1e-4)
    assert norms.mean() == pytest.approx(1, abs=5e-3)
    assert norms.std() == pytest.approx(0.02, rel=0.1)


def test_initialisation_of_cut():
    torch.manual_seed(0)
    net = initialise(networks.ResNet(ngf=32, blocks=1), weights="xavier")
    weight = net.blocks[0].block[1].weight
    assert weight.detach().std() == pytest.approx(0.02 * (2 / (2 * 128 * 9)) ** 0.5, rel=0.01)
    assert not net.blocks[0].block[1].bias.any()


def test_batch_norm_of_one_image_is_affine_instance_norm_to_the_bit():
    net = networks.UNet(ngf=4, depth=4, dropout=False)
    x = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(networks.per_image(net)(x), net.train()(x))


def test_per_image_leaves_the_network_alone_and_ignores_the_rest_of_the_batch():
    net = networks.UNet(ngf=4, depth=5)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    used = networks.per_image(net)
    x = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        assert torch.allclose(used(x)[:1], used(x[:1]), atol=1e-5)
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    assert not any(isinstance(m, nn.BatchNorm2d) for m in used.modules())
    assert net.training


def test_one_pixel_maps():
    assert torch.equal(InstanceNorm2d(2)(torch.ones(1, 2, 1, 1)), torch.zeros(1, 2, 1, 1))
    with pytest.raises(ValueError, match="--set generator=unet_128"):
        BatchNorm2d(2)(torch.ones(1, 2, 1, 1))


@pytest.mark.parametrize("name", ["unet_100", "unet_4", "resnet", "resnet_x", "vit_3", ""])
def test_a_name_that_is_no_generator(name):
    with pytest.raises(ValueError, match=r"unet_N|at least 3"):
        networks.generator(name, 3, 3)


def test_other_wrong_names():
    with pytest.raises(ValueError, match="patch_N"):
        networks.discriminator("patch_0", 3)
    with pytest.raises(ValueError, match="instance, batch, group, layer, none"):
        networks.generator("resnet_1", 3, 3, norm="spectral")
    with pytest.raises(ValueError, match="deconv, resize or blur"):
        networks.generator("resnet_1", 3, 3, upsample="shuffle")


def test_images_too_small_to_be_judged_are_refused():
    for layers in (1, 3):
        D = networks.discriminator(f"patch_{layers}", 3, ndf=2, norm="instance")
        least = 3 << layers
        assert D(torch.zeros(1, 3, least, least)).shape == (1, 1, 1, 1)
        with pytest.raises(ValueError, match=f"at least {least} x {least} pixels, and these are {least} x {least - 1}"):
            D(torch.zeros(1, 3, least - 1, least))
