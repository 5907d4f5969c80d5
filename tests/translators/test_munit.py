"""MUNIT against its paper: AdaIN, the terms of equations 1 to 5 by hand, and what a style changes."""

import pytest
import torch
from torch.nn.functional import interpolate

from i2i.networks import per_image
from i2i.networks.multiscale import MultiScale
from i2i.networks.munit import AdaIN, StyleEncoder, strided
from i2i.translators.latent import of_seeds
from i2i.translators.munit import MUNIT

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = {"ngf": 3, "ndf": 2, "blocks": 1, "style": 4, "hidden": 5, "scales": 2, "layers": 2}


def made(**options):
    torch.manual_seed(0)
    return MUNIT(**(SMALL | options)).double()


def images(n=2, size=24):
    torch.manual_seed(1)
    return {name: torch.rand(n, 3, size, size, dtype=torch.float64) * 2 - 1 for name in "xy"}


def norm(a, b):
    return (a - b).abs().sum() / a.numel()


def by_hand(t, x, y):
    """Each image alone, through one network after the other; styles as the step draws them."""
    torch.manual_seed(3)
    s_x, s_y = torch.randn(len(x), 4).double(), torch.randn(len(x), 4).double()
    size = x.shape[-2:]

    def each(net, *given):
        return torch.cat([net(*(part[i : i + 1] for part in given)) for i in range(len(x))])

    def decode(G, c, s):
        return torch.cat([G(c[i : i + 1], s[i : i + 1], size) for i in range(len(x))])

    c_x, c_y = each(t.C_x, x), each(t.C_y, y)
    x_y, y_x = decode(t.G_y, c_x, s_y), decode(t.G_x, c_y, s_x)

    def small(image):  # the mean of 3 x 3 pixels, without those outside, at every second pixel
        ones = torch.ones_like(image[:, :1])
        weights = torch.ones(1, 1, 3, 3, dtype=image.dtype)
        sums = torch.cat(
            [torch.conv2d(image[:, c : c + 1], weights, stride=2, padding=1) for c in range(image.shape[1])], 1
        )
        return sums / torch.conv2d(ones, weights, stride=2, padding=1)

    def scores(D, image):
        return [D[0](image), D[1](small(image))]

    def fool(D, fake):
        return sum(((s - 1) ** 2).mean() for s in scores(D, fake))

    def judge(D, real, fake):
        return sum(((r - 1) ** 2).mean() + (f**2).mean() for r, f in zip(scores(D, real), scores(D, fake), strict=True))

    terms = {
        "gan_x": fool(t.D_x, y_x),
        "gan_y": fool(t.D_y, x_y),
        "recon_x": 10 * norm(decode(t.G_x, c_x, each(t.S_x, x)), x),
        "recon_y": 10 * norm(decode(t.G_y, c_y, each(t.S_y, y)), y),
        "content_x": norm(each(t.C_y, x_y), c_x),
        "content_y": norm(each(t.C_x, y_x), c_y),
        "style_x": norm(each(t.S_x, y_x), s_x),
        "style_y": norm(each(t.S_y, x_y), s_y),
        "cycle_x": 2 * norm(decode(t.G_x, each(t.C_y, x_y), each(t.S_x, x)), x),
        "cycle_y": 2 * norm(decode(t.G_y, each(t.C_x, y_x), each(t.S_y, y)), y),
    }
    return terms, {"gan_x": judge(t.D_x, x, y_x), "gan_y": judge(t.D_y, y, x_y)}


def test_every_term_is_the_papers():
    translator, data = made(lambda_cyc=2.0), images()
    generator, discriminator = by_hand(translator, **data)
    torch.manual_seed(3)
    views = translator(data)
    for ours, paper in (
        (translator.generator_loss(views), generator),
        (translator.discriminator_loss(views), discriminator),
    ):
        assert {name: term.item() for name, term in ours.items()} == pytest.approx(
            {name: term.item() for name, term in paper.items()}, rel=1e-6
        )


def test_terms_of_views_written_by_hand():
    translator = made(lambda_x=10.0, lambda_c=3.0, lambda_s=5.0)
    one = torch.ones(1, 3, 16, 16, dtype=torch.float64)
    views = {"x": 0 * one, "x->x": 0.5 * one, "y": one, "y->y": -one, "x->y": one, "y->x": one}
    views |= {"c(x)": torch.tensor([[1.0, 2.0]]), "c(x->y)": torch.tensor([[2.0, 4.0]])}
    views |= {"c(y)": torch.tensor([[0.0, 0.0]]), "c(y->x)": torch.tensor([[0.0, 1.0]])}
    views |= {"s_x": torch.tensor([[1.0, -1.0]]), "s(y->x)": torch.tensor([[0.0, 1.0]])}
    views |= {"s_y": torch.tensor([[1.0, 1.0]]), "s(x->y)": torch.tensor([[1.0, 1.0]])}
    terms = translator.generator_loss(views)
    wanted = {"recon_x": 5, "recon_y": 20, "content_x": 4.5, "content_y": 1.5, "style_x": 7.5, "style_y": 0}
    assert {name: terms[name].item() for name in wanted} == pytest.approx(wanted)


def test_adain_gives_each_channel_the_mean_and_deviation_of_the_style():
    torch.manual_seed(0)
    x, style = torch.randn(2, 3, 9, 7, dtype=torch.float64) * 4 + 2, torch.randn(2, 6, dtype=torch.float64)
    gamma, beta = style[:, :3, None, None], style[:, 3:, None, None]
    mean = x.mean((2, 3), keepdim=True)
    deviation = ((x - mean) ** 2).mean((2, 3), keepdim=True).add(1e-5).sqrt()
    y = AdaIN(3)(x, style)
    assert torch.allclose(y, gamma * (x - mean) / deviation + beta, atol=1e-12)
    assert torch.allclose(y.mean((2, 3)), style[:, 3:], atol=1e-9)
    assert torch.allclose(y.std((2, 3), unbiased=False), style[:, :3].abs(), rtol=1e-5)


def test_contrast_and_brightness_are_no_content_but_are_style():
    translator, x = made(), images()["x"]
    with torch.no_grad():
        assert torch.allclose(translator.C_x(0.5 * x + 0.2), translator.C_x(x), atol=1e-3)
        assert not torch.allclose(translator.S_x(0.5 * x + 0.2), translator.S_x(x), atol=1e-2)


def test_a_style_is_a_mean_over_the_image():
    """Of a constant image it does not depend on the size, apart from the borders, which are padded with zeros."""
    torch.manual_seed(0)
    encoder = StyleEncoder(3, 3, 4).double()
    with torch.no_grad():
        for size in ((4, 4), (5, 9), (64, 33)):
            assert encoder(torch.zeros(2, 3, *size, dtype=torch.float64)).shape == (2, 4)
    assert not any("norm" in type(module).__name__.lower() for module in encoder.modules())


def test_the_style_decides_the_result_and_evaluation_shows_those_of_the_first_seeds():
    translator, data = made().eval(), images()
    net = per_image(translator.exports()["a2b"])
    with torch.no_grad():
        views = translator(data)
        for seed in range(3):
            style = of_seeds(translator.prior(), data["x"][:1], seed).expand(2, -1)
            assert torch.allclose(views[f"x->y({seed})"], net(data["x"], style), atol=1e-12)
        assert torch.allclose(views["x->y(y)"], net(data["x"], net.of_style(data["y"])), atol=1e-12)
        assert (views["x->y(0)"] - views["x->y(1)"]).abs().mean() > 0.01


def test_the_networks_of_the_paper():
    """c7s1-64 d128 d256 R256 x 4; c7s1-64 d128 d256 d256 d256 fc8; R256 x 4 u128 u64 c7s1-3; d64 d128 d256 d512."""

    def convs(net):
        kinds = torch.nn.Conv2d | torch.nn.Linear
        return [(m.out_channels if hasattr(m, "out_channels") else m.out_features) for m in net.modules()
                if isinstance(m, kinds)]  # fmt: skip

    with torch.device("meta"):
        t = MUNIT()
    assert convs(t.C_x) == [64, 128, 256] + [256] * 8
    assert convs(t.S_x) == [64, 128, 256, 256, 256, 8]
    assert convs(t.G_x.blocks) + convs(t.G_x.up) + convs(t.G_x.last) == [256] * 8 + [128, 64, 3]
    assert [convs(D) for D in t.D_x] == [[64, 128, 256, 512, 1]] * 3


def test_each_discriminator_sees_half_the_size_of_the_one_before():
    torch.manual_seed(0)
    D, x = MultiScale(strided(3, 2, 2) for _ in range(3)), torch.rand(2, 3, 32, 32)
    assert [tuple(logits.shape[2:]) for logits in D(x)] == [(8, 8), (4, 4), (2, 2)]
    flat = interpolate(x[..., :1, :1], (32, 32))
    assert torch.allclose(D(flat)[1][0, 0, 1, 1], D[1](flat[..., :16, :16])[0, 0, 1, 1])


class Unchanged(torch.nn.Module):
    def forward(self, x, *_):
        return x


@pytest.mark.parametrize("upsample", ["resize", "deconv", "blur"])
def test_the_receptive_field_is_no_more_than_it_says(upsample):
    """Found by the gradient of a pixel at each place of the grid.

    Without norms, whose statistics see everything, and without what may be dead or saturated.
    """
    net = made(upsample=upsample).exports()["a2b"]
    for module in list(net.modules()):
        for name, child in module.named_children():
            if isinstance(child, torch.nn.InstanceNorm2d | torch.nn.ReLU | torch.nn.Tanh):
                setattr(module, name, Unchanged())
    extent = 0
    for place in range(4):
        x = torch.randn(1, 3, 128, 128, dtype=torch.float64, requires_grad=True)
        net(x, torch.zeros(1, 4, dtype=torch.float64))[0, :, 60 + place, 63].sum().backward()
        rows = x.grad.abs().sum(dim=(0, 1, 3)).nonzero()
        extent = max(extent, int(rows.max() - rows.min()) + 1)
    assert net.receptive_field - 8 <= extent <= net.receptive_field
