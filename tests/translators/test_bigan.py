"""BiGAN against its equations, written out: both losses, and the slope of pairs."""

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from i2i.translators.bigan import BiGAN, joined

pytestmark = pytest.mark.usefixtures("one_thread")


def made(**options):
    torch.manual_seed(0)
    small = {"height": 16, "width": 8, "latent": 4, "nef": 3, "ngf": 3, "ndf": 3, "hidden": 5}
    return BiGAN(**(small | options)).double()


def images(n=4):
    torch.manual_seed(1)
    return torch.rand(n, 3, 16, 8, dtype=torch.float64) * 2 - 1


def test_losses_and_gradients_are_the_papers():
    t, x = made(), images()
    torch.manual_seed(2)
    v = t({"x": x})
    torch.manual_seed(2)
    z = (2 * torch.rand(4, 4) - 1).double()
    E, G, one, zero = t.E(x), t.G(z), torch.ones(4, 1).double(), torch.zeros(4, 1).double()
    critic = bce(t.D(x, E), one) + bce(t.D(G, z), zero)  # -V(D, E, G)
    swapped = bce(t.D(x, E), zero) + bce(t.D(G, z), one)
    players = t.players()
    assert list(players) == ["D", "EG"]
    for name, expected, nets in (("D", critic, [t.D]), ("EG", swapped, [t.E, t.G])):
        ours = players[name].loss(v)
        assert ours["gan"].item() == pytest.approx(expected.item())
        assert list(ours) == ["gan"]
        parameters = [p for net in nets for p in net.parameters()]
        assert {id(p) for p in parameters} == {id(p) for p in players[name].net.parameters()}
        mine = torch.autograd.grad(ours["gan"], parameters, retain_graph=True)
        theirs = torch.autograd.grad(expected, parameters, retain_graph=True)
        assert all(torch.allclose(a, b, rtol=1e-8, atol=1e-10) for a, b in zip(mine, theirs, strict=True))


def test_the_discriminator_sees_the_latent_vector_too():
    t, x = made(), images()
    z = torch.rand(4, 4).double()
    assert not torch.allclose(t.D(x, z), t.D(x, -z))
    assert not torch.allclose(t.D(x, z), t.D(-x, z))


def test_a_penalty_is_one_of_the_slope_in_image_and_latent_vector():
    t, x = made(constraint="r1", norm="none"), images()
    z = torch.rand(4, 4).double()
    assert torch.equal(t.of_joined(joined(x, z)), t.D(x, z))
    x, z = x.requires_grad_(), z.requires_grad_()
    slopes = torch.autograd.grad(t.D(x, z).sum(), (x, z))
    expected = 10 * sum(slope.square().sum() for slope in slopes) / 4 / 2
    views = {"x": x.detach(), "E(x)": z.detach(), "G(z)": x.detach(), "z": z.detach()}
    assert t.discriminator_loss(views)["penalty"].item() == pytest.approx(expected.item())
    assert slopes[1].abs().max() > 0
