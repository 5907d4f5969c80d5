"""Objectives and constraints against formulas worked by hand, and by gradcheck."""

import math

import pytest
import torch
from torch import nn

from i2i import networks
from i2i.gan import CONSTRAINTS, OBJECTIVES, Adversarial, gp, gp_real, gp_zero, r1, r1r2
from i2i.image_pool import ImagePool

pytestmark = pytest.mark.usefixtures("one_thread")

R, F = torch.tensor([0.5, -1.0], dtype=torch.float64), torch.tensor([2.0, -0.25], dtype=torch.float64)


def log_sigmoid(t):
    return -math.log(1 + math.exp(-t))


BY_HAND = {
    # critic on R and F, generator on F
    "vanilla": (
        -(log_sigmoid(0.5) + log_sigmoid(-1.0)) / 2 - (log_sigmoid(-2.0) + log_sigmoid(0.25)) / 2,
        -(log_sigmoid(2.0) + log_sigmoid(-0.25)) / 2,
    ),
    "minimax": (
        -(log_sigmoid(0.5) + log_sigmoid(-1.0)) / 2 - (log_sigmoid(-2.0) + log_sigmoid(0.25)) / 2,
        (log_sigmoid(-2.0) + log_sigmoid(0.25)) / 2,
    ),
    "lsgan": ((0.25 + 4.0) / 2 + (4.0 + 0.0625) / 2, (1.0 + 1.5625) / 2),
    "wgan": (0.875 + 0.25, -0.875),
    "hinge": ((0.5 + 2.0) / 2 + (3.0 + 0.75) / 2, -0.875),
    "margin": ((0.5 + 1.0) / 2 + (0.0 + 0.75) / 2, (2.0 + 0.25) / 2),
    # the differences of the two pairs are -1.5 and -0.75
    "relativistic": (-(log_sigmoid(-1.5) + log_sigmoid(-0.75)) / 2, -(log_sigmoid(1.5) + log_sigmoid(0.75)) / 2),
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_objective_by_hand(name):
    critic, generator = BY_HAND[name]
    assert OBJECTIVES[name].critic(R, F).item() == pytest.approx(critic, abs=1e-12)
    given = (F, R) if OBJECTIVES[name].paired else (F,)
    assert OBJECTIVES[name].generator(*given).item() == pytest.approx(generator, abs=1e-12)
    assert Adversarial(name, "clip").generator_of(F, lambda: R).item() == pytest.approx(generator, abs=1e-12)
    both = Adversarial(name, "clip").critic_of([R, R[:1]], [F, F[:1]])  # of a critic of two scales
    alone = OBJECTIVES[name].critic(R[:1], F[:1]).item()
    assert both.item() == pytest.approx(critic + alone, abs=1e-12)


def test_smoothed_labels_by_hand():
    cross_entropy = -sum(0.9 * log_sigmoid(r) + 0.1 * log_sigmoid(-r) for r in (0.5, -1.0)) / 2
    cross_entropy -= (log_sigmoid(-2.0) + log_sigmoid(0.25)) / 2
    squares = ((0.5 - 0.9) ** 2 + (-1.0 - 0.9) ** 2) / 2 + (4.0 + 0.0625) / 2
    for name, critic in (("vanilla", cross_entropy), ("minimax", cross_entropy), ("lsgan", squares)):
        assert Adversarial(name, smoothing=0.1).critic_of(R, F).item() == pytest.approx(critic, abs=1e-12)
        assert torch.equal(Adversarial(name, smoothing=0.1).generator_of(F), OBJECTIVES[name].generator(F))
        assert torch.equal(Adversarial(name).critic_of(R, F), OBJECTIVES[name].critic(R, F))
    assert {name for name, rule in OBJECTIVES.items() if rule.smoothed} == {"vanilla", "minimax", "lsgan"}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_objective_gradients(name):
    real, fake = R.clone().requires_grad_(), F.clone().requires_grad_()
    assert torch.autograd.gradcheck(OBJECTIVES[name].critic, (real, fake))
    given = (fake, real) if OBJECTIVES[name].paired else (fake,)
    assert torch.autograd.gradcheck(OBJECTIVES[name].generator, given)


def test_a_paired_objective_is_given_real_images_and_learns_nothing_from_them():
    gan, D = Adversarial("relativistic"), nn.Conv2d(1, 1, 1)
    fake, real = torch.randn(2, 1, 4, 4, requires_grad=True), torch.randn(2, 1, 4, 4, requires_grad=True)
    loss = gan.generator(D, fake, real)
    assert loss.item() == pytest.approx(torch.nn.functional.softplus(D(real) - D(fake)).mean().item(), abs=1e-6)
    loss.backward()
    assert fake.grad is not None
    assert real.grad is None
    with pytest.raises(ValueError, match="objective relativistic compares generated images with real ones"):
        gan.generator(D, fake)
    seen = []
    Adversarial("lsgan").generator_of(F, lambda: seen.append("real"))
    assert seen == []


class Linear(nn.Module):
    """D(x) = a map of two equal halves of <w, x>: its gradient at every x is w."""

    def __init__(self, w):
        super().__init__()
        self.w = nn.Parameter(w)

    def forward(self, x):
        y = (self.w * x).sum(dim=(1, 2, 3)) / 2
        return torch.stack([y, y], dim=1)[:, :, None, None]


@pytest.mark.parametrize(
    ("penalty", "value"),
    [(gp, (5 - 1) ** 2), (gp_real, (5 - 1) ** 2), (r1, 25 / 8), (r1r2, 25 / 4), (gp_zero, 25 / 4)],
)
def test_penalty_of_a_linear_critic_by_hand(penalty, value):
    w = torch.zeros(3, 2, 2, dtype=torch.float64)
    w[0, 0, 0], w[2, 1, 1] = 3, 4  # a slope of 5
    x, y = torch.randn(4, 3, 2, 2, dtype=torch.float64), torch.randn(4, 3, 2, 2, dtype=torch.float64)
    assert penalty(Linear(w), x, y).item() == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize("penalty", [r1, r1r2, gp_zero])
def test_a_penalty_does_not_grow_with_the_map(penalty):
    D = Linear(torch.randn(3, 2, 2, dtype=torch.float64))
    x, y = torch.randn(4, 3, 2, 2, dtype=torch.float64), torch.randn(4, 3, 2, 2, dtype=torch.float64)
    tiled = penalty(lambda x: D(x).repeat(1, 1, 3, 5), x, y)
    assert tiled.item() == pytest.approx(penalty(D, x, y).item(), rel=1e-12)


class Quadratic(nn.Module):
    """D(x) = |x|^2: its gradient at x is 2 x."""

    def forward(self, x):
        return x.square().sum(dim=(1, 2, 3))


def test_where_each_penalty_looks():
    real, fake = torch.zeros(1, 1, 2, 2, dtype=torch.float64), torch.ones(1, 1, 2, 2, dtype=torch.float64)
    torch.manual_seed(0)
    alpha = torch.rand(1, 1, 1, 1, dtype=torch.float64).item()
    torch.manual_seed(0)
    slope = 2 * 2 * (1 - alpha)  # at (1 - alpha) * ones, of four pixels
    assert gp(Quadratic(), real, fake).item() == pytest.approx((slope - 1) ** 2, abs=1e-9)
    assert gp_real(Quadratic(), fake, real).item() == pytest.approx((4 - 1) ** 2, abs=1e-9)
    assert r1(Quadratic(), fake, real).item() == pytest.approx(16 / 2, abs=1e-9)
    assert r1r2(Quadratic(), 2 * fake, fake).item() == pytest.approx((64 + 16) / 2, abs=1e-9)
    torch.manual_seed(0)
    assert gp_zero(Quadratic(), real, fake).item() == pytest.approx(slope**2, abs=1e-9)
    both = gp_zero(lambda x: [Quadratic()(x), Quadratic()(x)], fake, fake)  # two scales
    assert both.item() == pytest.approx(8**2, abs=1e-9)


@pytest.mark.parametrize("penalty", [gp, gp_real, gp_zero, r1, r1r2])
def test_penalty_gradients_reach_the_critic(penalty):
    x, y = torch.randn(2, 1, 2, 2, dtype=torch.float64), torch.randn(2, 1, 2, 2, dtype=torch.float64)

    def value(w, v):
        class D(nn.Module):
            def forward(self, x):
                return (torch.tanh(x * w) * v).sum(dim=(1, 2, 3))

        torch.manual_seed(1)
        return penalty(D(), x, y)

    w = torch.randn(1, 2, 2, dtype=torch.float64, requires_grad=True)
    v = torch.randn(1, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(value, (w, v))


def test_penalties_run_in_single_precision_under_autocast():
    seen = []
    D = nn.Conv2d(3, 1, 3)
    D.register_forward_hook(lambda m, i, o: seen.append(o.dtype))
    x = torch.randn(1, 3, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        terms = Adversarial("wgan", "gp").penalty(D, x.bfloat16(), x)
    assert seen == [torch.float32]
    assert terms["penalty"].dtype == torch.float32


def test_wgan_without_a_constraint_is_an_error_that_names_the_choices():
    with pytest.raises(ValueError, match="clip, gp, gp-real, gp-zero, r1, r1r2, spectral"):
        Adversarial("wgan")
    with pytest.raises(ValueError, match="vanilla, minimax, lsgan, wgan, hinge, margin, relativistic"):
        Adversarial("wgangp")
    with pytest.raises(ValueError, match="none, clip, gp"):
        Adversarial("lsgan", "gradient")


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_constraints_do_what_they_say(name):
    torch.manual_seed(0)
    gan = Adversarial("hinge", name)
    D = gan.constrain(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 1, 3)))
    x = torch.randn(2, 3, 8, 8)
    terms = gan.penalty(D, x, -x)
    assert set(terms) == ({"penalty"} if name in ("gp", "gp-real", "gp-zero", "r1", "r1r2") else set())
    after = gan.after(D)
    assert (after is not None) == (name == "clip")
    if after:
        after()
        assert max(p.abs().max() for p in D.parameters()) <= 0.01
    if name == "spectral":
        for _ in range(30):
            D(x)
        assert torch.linalg.matrix_norm(D[0].weight.flatten(1), 2).item() == pytest.approx(1, abs=1e-2)


def test_the_critic_does_not_reach_the_generator():
    fake = torch.randn(1, 3, 8, 8, requires_grad=True)
    D = nn.Conv2d(3, 1, 3)
    Adversarial("lsgan").critic(D, torch.randn(1, 3, 8, 8), fake).backward()
    assert fake.grad is None
    assert D.weight.grad is not None


def test_the_pool_fills_first_and_then_exchanges():
    torch.manual_seed(0)
    pool = ImagePool(3)
    images = [torch.full((1, 1, 1, 1), float(i)) for i in range(200)]
    out = [pool(image).item() for image in images]
    assert out[:3] == [0, 1, 2]
    passed = sum(o == i for i, o in enumerate(out[3:], 3))
    assert 70 < passed < 130  # at even odds
    assert len(pool.images) == 3
    # every image is either passed on once, or still held, and none is made up
    held = sorted(image.item() for image in pool.images)
    assert sorted(set(out[3:]) | set(held) | {0, 1, 2}) == list(range(200))


def test_the_pool_is_state_and_size_zero_is_none():
    pool, other = ImagePool(2), ImagePool(2)
    pool(torch.rand(3, 1, 2, 2))
    other.load_state_dict(pool.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(pool.images, other.images, strict=True))
    other(torch.rand(1, 1, 2, 2, device="meta"))
    assert {image.device.type for image in other.images} == {"meta"}  # never of two devices at once
    x = torch.rand(1, 1, 2, 2)
    assert ImagePool(0)(x) is x


@pytest.mark.parametrize("constraint", ["none", "spectral"])
@pytest.mark.parametrize("norm", ["instance", "none", "batch"])
def test_a_critic_of_single_images_judges_both_sets_in_one_pass(norm, constraint):
    """With the outputs of two passes; batch norm and spectral normalisation, which two passes change, keep two."""
    gan = Adversarial("lsgan", constraint)
    torch.manual_seed(0)
    D = gan.constrain(networks.discriminator("patch_1", 3, ndf=4, norm=norm)).double()
    real, fake = torch.randn(2, 2, 3, 16, 16, dtype=torch.float64)
    passes = []
    D.register_forward_hook(lambda *_: passes.append(1))
    judged = gan.judged(D, real, fake.requires_grad_())
    one = norm != "batch" and constraint == "none"
    assert len(passes) == (1 if one else 2)
    if constraint == "none":
        assert all(torch.allclose(a, b, rtol=0, atol=1e-12) for a, b in zip(judged, (D(real), D(fake)), strict=True))
    gan.critic(D, real, fake).backward()
    assert fake.grad is None
    assert len(gan.judged(D, real, fake[:1])[1]) == 1
