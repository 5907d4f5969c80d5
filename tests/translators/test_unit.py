"""UNIT against its paper: the objective written out again, what is shared, and the noise."""

import itertools

import pytest
import torch
from torch.distributions import MultivariateNormal, kl_divergence
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from i2i import networks
from i2i.engine.step import Move, play
from i2i.networks import per_image
from i2i.translators.unit import UNIT, kl

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = {"ngf": 3, "ndf": 2, "blocks": 1, "discriminator": "unit_3"}


def made(**options):
    torch.manual_seed(0)
    return UNIT(**(SMALL | options)).double()


def images(n=2, size=24):
    torch.manual_seed(1)
    return tuple(torch.rand(n, 3, size, size, dtype=torch.float64) * 2 - 1 for _ in "xy")


def authors(t, x_1, x_2, steps):
    """Each step: D_1 and D_2 move, then all the rest, each image through networks of its own and by itself."""
    critics = [t.D_1, t.D_2]
    rest = [t.E_1, t.E_2, t.E_H, t.G_H, t.G_1, t.G_2]
    optimizer_D, optimizer_G = (
        torch.optim.Adam(itertools.chain(*(net.parameters() for net in nets)), 1e-4, (0.5, 0.999), weight_decay=1e-4)
        for nets in (critics, rest)
    )

    def switch(nets, on):
        for net in nets:
            net.requires_grad_(on)

    def one(p):
        return bce(p, torch.ones_like(p))

    def zero(p):
        return bce(p, torch.zeros_like(p))

    def norm(a, b):
        return (a - b).abs().sum() / a.numel()

    def mu(E, x):
        return torch.cat([t.E_H(E(image)) for image in x.split(1)])

    def G(decoder, z):
        return torch.cat([decoder(t.G_H(code), x_1.shape[-2:]) for code in z.split(1)])

    for step in range(steps):
        torch.manual_seed(step)
        mu_1, mu_2 = mu(t.E_1, x_1), mu(t.E_2, x_2)
        noise = torch.randn(2 * len(mu_1), *mu_1.shape[1:], dtype=torch.float64)
        z_1, z_2 = mu_1 + noise[: len(mu_1)], mu_2 + noise[len(mu_1) :]
        x_11, x_12, x_21, x_22 = G(t.G_1, z_1), G(t.G_2, z_1), G(t.G_1, z_2), G(t.G_2, z_2)
        mu_21, mu_12 = mu(t.E_1, x_21), mu(t.E_2, x_12)
        noise = torch.randn(2 * len(mu_1), *mu_1.shape[1:], dtype=torch.float64)
        x_212, x_121 = G(t.G_2, mu_21 + noise[: len(mu_1)]), G(t.G_1, mu_12 + noise[len(mu_1) :])

        optimizer_D.zero_grad()
        d = [10 * (one(D(real)) + zero(D(fake.detach()))) for D, real, fake in ((t.D_1, x_1, x_21), (t.D_2, x_2, x_12))]
        sum(d).backward()
        optimizer_D.step()

        switch(critics, False)
        optimizer_G.zero_grad()
        terms = {"gan_1": 10 * one(t.D_1(x_21)), "gan_2": 10 * one(t.D_2(x_12))}
        terms |= {"kl_1": 0.1 * (mu_1**2).mean(), "kl_2": 0.1 * (mu_2**2).mean()}
        terms |= {"reconstruction_1": 100 * norm(x_11, x_1), "reconstruction_2": 100 * norm(x_22, x_2)}
        terms |= {"kl_cycle_1": 0.1 * (mu_12**2).mean(), "kl_cycle_2": 0.1 * (mu_21**2).mean()}
        terms |= {"cycle_1": 100 * norm(x_121, x_1), "cycle_2": 100 * norm(x_212, x_2)}
        sum(terms.values()).backward()
        optimizer_G.step()
        switch(critics, True)
        yield {"D/gan_1": d[0], "D/gan_2": d[1]} | {f"G/{name}": term for name, term in terms.items()}


def test_terms_and_every_weight_of_three_steps_equal_the_papers_objective():
    x, y = images()
    ours, theirs = made(), made()
    moves = {name: Move(player) for name, player in ours.players().items()}
    for step, expected in enumerate(authors(theirs, x, y, 3)):
        torch.manual_seed(step)
        terms = play(ours, moves, {"x": x, "y": y}, step)
        assert {name: term.item() for name, term in terms.items()} == pytest.approx(
            {name: term.item() for name, term in expected.items()}, rel=1e-6
        )
    before, theirs = dict(made().named_parameters()), dict(theirs.named_parameters())
    for key, weight in ours.named_parameters():
        assert torch.allclose(weight, theirs[key], rtol=1e-6, atol=1e-8), key
        # a bias that the normalisation cancels is moved by its rounding noise alone
        assert weight.ndim == 1 or not torch.equal(weight, before[key]), key


def test_the_streams_are_the_same_layers_in_the_same_storage():
    translator = made()
    exports = {name: dict(net.named_parameters()) for name, net in translator.exports().items()}
    for part, directions in {"E_L": ("a2b", "a2a"), "G_L": ("a2b", "b2b"), "E_H": exports, "G_H": exports}.items():
        keys = [key for key in exports["a2b"] if key.startswith(part)]
        assert keys
        for key in keys:
            assert len({exports[direction][key].data_ptr() for direction in directions}) == 1, key
    assert exports["a2b"]["E_L.1.weight"] is not exports["b2b"]["E_L.1.weight"]
    assert exports["a2b"]["G_L.last.0.weight"] is not exports["a2a"]["G_L.last.0.weight"]
    own = sum(p.numel() for p in translator.parameters() if p.requires_grad)
    held = {id(p): p.numel() for net in exports.values() for p in net.values()}
    assert sum(held.values()) == own - sum(p.numel() for D in (translator.D_1, translator.D_2) for p in D.parameters())


def test_a_view_is_what_the_export_of_its_direction_makes():
    x, y = images()
    translator = made().eval()
    with torch.no_grad():
        views = translator({"x": x, "y": y})
        for name, direction in (("x->y", "a2b"), ("y->x", "b2a"), ("x->x", "a2a"), ("y->y", "b2b")):
            made_by_export = translator.exports()[direction](views[name[0]])
            assert torch.allclose(views[name], made_by_export, atol=1e-12), name
        assert torch.allclose(views["x->y->x"], translator.exports()["b2a"](views["x->y"]), atol=1e-12)


def test_noise_is_drawn_in_training_only():
    x, _ = images()
    stream = made().exports()["a2b"]
    assert stream.training
    with torch.no_grad():
        assert not torch.equal(stream(x), stream(x))
        used = per_image(stream)
        assert torch.equal(used(x), used(x))
        assert torch.allclose(stream.eval()(x), used(x))
        assert not made().eval().exports()["a2b"].training


def test_kl_is_the_closed_form():
    mu = torch.randn(3, 5, dtype=torch.float64)
    one = torch.eye(5, dtype=torch.float64)
    exact = kl_divergence(MultivariateNormal(mu, one), MultivariateNormal(torch.zeros_like(mu), one)).mean()
    assert kl(mu).item() == pytest.approx(2 / 5 * exact.item(), rel=1e-12)
    assert kl(torch.full((1, 4), 3.0)).item() == 9


def test_the_papers_discriminator():
    """Six halvings, to 2048 filters; one logit is left of 64 pixels, and four by four of 256."""
    with torch.device("meta"):
        D = networks.discriminator("unit_6", 3)
        convs = [m for m in D.modules() if isinstance(m, torch.nn.Conv2d)]
        assert [c.out_channels for c in convs] == [64, 128, 256, 512, 1024, 2048, 1]
        assert [c.stride for c in convs] == [(2, 2)] * 6 + [(1, 1)]
        for size, left in ((256, 4), (64, 1), (65, 2), (1, 1)):
            assert D(torch.zeros(1, 3, size, size)).shape == (1, 1, left, left)


def test_odd_sizes_come_back_and_too_few_blocks_are_still_a_network():
    with torch.no_grad():
        for size in ((5, 5), (6, 9), (33, 18)):
            for options in ({}, {"upsample": "resize"}, {"blocks": 0, "shared": 0}):
                stream = per_image(made(**options).exports()["a2b"])
                assert stream(torch.rand(1, 3, *size, dtype=torch.float64)).shape == (1, 3, *size)
