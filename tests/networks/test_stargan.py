"""StarGAN's two networks: the authors' numbers, with the authors' weights; statistics of each image, always."""

import numpy as np
import pytest
import torch
from torch import nn

from i2i import networks
from tests.oracle import adopt, without_statistics

pytestmark = pytest.mark.usefixtures("one_thread")


def oracle(reference, name):
    weights = torch.load(reference(f"oracles/{name}.pth"), weights_only=True, map_location="cpu")
    return without_statistics(weights), np.load(reference(f"oracles/{name}.npz"))


def test_every_number_of_the_generator(reference):
    weights, expected = oracle(reference, "stargan_g")
    net = networks.generator("stargan_6", 3, 3, domains=5, ngf=8)
    adopt(net, weights)
    x, c = torch.from_numpy(expected["x"]), torch.from_numpy(expected["target"])
    for used in (net.train(), networks.per_image(net)):
        with torch.no_grad():
            assert np.abs(used(x, c).numpy() - expected["y"]).max() < 1e-5
    assert expected["y"].std() > 0.4  # a net of zeros would not pass


def test_every_number_of_the_discriminator(reference):
    weights, expected = oracle(reference, "stargan_d")
    net = networks.StarGANDiscriminator(3, domains=5, image_size=64, ndf=8)
    adopt(net, weights)
    x = torch.from_numpy(expected["x"])
    with torch.no_grad():
        src, cls = net(x)
        assert torch.equal(net.source(x), src)
    assert np.abs(src.numpy() - expected["y"]).max() < 1e-5
    assert np.abs(cls.numpy() - expected["y1"]).max() < 1e-5
    assert min(np.ptp(expected["y"]), np.ptp(expected["y1"])) > 1e-3


def test_the_authors_counts():
    with torch.device("meta"):
        G, D = networks.StarGANGenerator(domains=5), networks.StarGANDiscriminator(domains=5, image_size=128)
    for net, tensors, millions in ((G, 103 - 3 * 17, 8.431), (D, 14, 44.762)):  # 17 norms, three statistics each
        assert len(net.state_dict()) == tensors
        assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(millions, abs=5e-4)


@pytest.mark.parametrize("upsample", ["deconv", "resize"])
def test_any_size_comes_back(upsample):
    net = networks.generator("stargan_1", 1, 1, domains=2, ngf=2, upsample=upsample).eval()
    c = torch.tensor([[0.0, 1.0]])
    for size in ((64, 64), (57, 91), (1, 30), (2, 3), (1, 1)):
        with torch.no_grad():
            y = net(torch.randn(1, 1, *size), c)
        assert y.shape == (1, 1, *size)
        assert torch.isfinite(y).all()


def test_the_label_reaches_the_image_and_each_image_has_its_own():
    net = networks.generator("stargan_1", 3, 3, domains=3, ngf=4)
    x = torch.randn(3, 3, 24, 24)
    with torch.no_grad():
        together = net(x, torch.eye(3))
        for i in range(3):
            assert torch.allclose(together[i : i + 1], net(x[i : i + 1], torch.eye(3)[i : i + 1]), atol=1e-5)
        assert not torch.allclose(net(x, torch.eye(3)), net(x, torch.eye(3)[[1, 2, 0]]), atol=1e-2)


@pytest.mark.parametrize("upsample", ["deconv", "resize"])
def test_the_receptive_field_is_what_it_says(upsample):
    """Found by the gradient of a pixel at each place of the grid.

    Taken out are the statistics of the norms, which see everything, and the ReLUs, as both channels may be dead.
    """
    net = networks.StarGANGenerator(3, 3, domains=2, blocks=1, ngf=2, upsample=upsample).double()
    for module in list(net.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.InstanceNorm2d | nn.ReLU):
                setattr(module, name, nn.Identity())
    extent = 0
    for place in range(4):
        x = torch.randn(1, 3, 96, 96, dtype=torch.float64, requires_grad=True)
        net(x, torch.eye(2, dtype=torch.float64)[:1])[0, :, 44 + place, 47].sum().backward()
        rows = x.grad.abs().sum(dim=(0, 1, 3)).nonzero()
        extent = max(extent, int(rows.max() - rows.min()) + 1)
    assert extent == net.receptive_field


@pytest.mark.parametrize(("image_size", "kernel"), [(128, 2), (191, 2), (192, 3), (64, 1), (0, 1)])
def test_the_classifier_takes_in_an_image_and_averages_over_a_larger_one(image_size, kernel):
    net = networks.StarGANDiscriminator(3, domains=4, image_size=image_size, ndf=1)
    assert net.class_head.kernel_size == (kernel, kernel)
    with torch.no_grad():
        for h, w in ((192, 192), (200, 257)):
            src, cls = net(torch.randn(2, 3, h, w))
            assert src.shape == (2, 1, h // 64, w // 64)
            assert cls.shape == (2, 4)


def test_an_image_too_small_for_the_classifier_says_what_to_set():
    net = networks.StarGANDiscriminator(3, domains=4, ndf=1)
    with pytest.raises(ValueError, match=r"takes in 128 x 128 .* are 100 x 96; .*\(--set image_size=96\)"):
        net(torch.zeros(1, 3, 96, 100))
    with pytest.raises(ValueError, match="--set image_size=40 --set discriminator=stargan_5"):
        net(torch.zeros(1, 3, 40, 50))
    networks.StarGANDiscriminator(3, domains=4, image_size=40, layers=5, ndf=1)(torch.zeros(1, 3, 40, 50))
