"""StarGAN's steps in float64: against the authors' procedure, and against losses and weights of their code."""

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from i2i.engine.step import Move, play
from i2i.translators import stargan
from i2i.translators.stargan import StarGAN, permuted
from tests.oracle import HERE, adopt, group

pytestmark = pytest.mark.usefixtures("one_thread")


def authors_step(t, optimizers, x, c, loss_cls, moves_G):
    """One step with their own means: every image made where it is used, both gradients cleared before each move."""
    optimizer_D, optimizer_G = optimizers
    target = c[torch.randperm(len(c))]
    src, cls = t.D(x)
    d_real, d_cls = -src.mean(), loss_cls(cls, c)
    x_fake = t.G(x, target)
    src, _ = t.D(x_fake.detach())
    d_fake = src.mean()
    alpha = torch.rand(len(x), 1, 1, 1, dtype=x.dtype)
    x_hat = (alpha * x.data + (1 - alpha) * x_fake.data).requires_grad_(True)
    src, _ = t.D(x_hat)
    (slope,) = torch.autograd.grad(src, x_hat, grad_outputs=torch.ones_like(src), create_graph=True, retain_graph=True)
    d_gp = ((slope.reshape(len(x), -1).square().sum(1).sqrt() - 1) ** 2).mean()
    optimizer_D.zero_grad(), optimizer_G.zero_grad()
    (d_real + d_fake + 1 * d_cls + 10 * d_gp).backward()
    optimizer_D.step()
    losses = {"D/gan": d_real + d_fake, "D/cls": d_cls, "D/penalty": 10 * d_gp}
    if moves_G:
        x_fake = t.G(x, target)
        src, cls = t.D(x_fake)
        g_fake, g_cls = -src.mean(), loss_cls(cls, target)
        g_rec = (x - t.G(x_fake, c)).abs().mean()
        optimizer_D.zero_grad(), optimizer_G.zero_grad()
        (g_fake + 10 * g_rec + 1 * g_cls).backward()
        optimizer_G.step()
        losses |= {"G/gan": g_fake, "G/cls": g_cls, "G/rec": 10 * g_rec}
    return losses


@pytest.mark.parametrize("attributes", [False, True])
def test_losses_and_every_weight_of_six_steps_equal_the_authors_procedure(attributes):
    def make():
        torch.manual_seed(0)
        options = {"generator": "stargan_1", "discriminator": "stargan_3", "image_size": 32, "ngf": 3, "ndf": 3}
        return StarGAN(domains=4, attributes=attributes, n_critic=3, **options).double()

    def loss_cls(logits, c):
        if attributes:
            return binary_cross_entropy_with_logits(logits, c, reduction="sum") / logits.shape[0]
        return cross_entropy(logits, c.argmax(1))

    ours, theirs, before = make(), make(), make()
    x = torch.rand(4, 3, 32, 32, dtype=torch.float64) * 2 - 1
    c = (torch.rand(4, 4) < 0.5).double() if attributes else torch.eye(4, dtype=torch.float64)
    moves = {player: Move(p) for player, p in ours.players().items()}
    optimizers = [torch.optim.Adam(net.parameters(), lr=1e-4, betas=(0.5, 0.999)) for net in (theirs.D, theirs.G)]
    for step in range(6):
        torch.manual_seed(step)
        terms = play(ours, moves, {"x": x, "c": c}, step)
        torch.manual_seed(step)
        losses = authors_step(theirs, optimizers, x, c, loss_cls, (step + 1) % 3 == 0)
        assert terms.keys() == losses.keys()
        for name, loss in losses.items():
            assert terms[name].item() == pytest.approx(loss.item(), rel=1e-6)
    for (key, one), other, start in zip(ours.named_parameters(), theirs.parameters(), before.parameters(), strict=True):
        assert torch.allclose(one, other, rtol=1e-6, atol=1e-9), key
        assert not torch.equal(one, start), key


@pytest.mark.parametrize("form", ["compact", "exact"])
def test_a_step_of_each_player_gives_the_authors_losses_and_weights(form, request, monkeypatch):
    """The compact form has rounded weights: where that crosses a kink of ReLU or L1, a weight moves otherwise."""
    name = "step_stargan_attributes.npz"
    oracle = dict(
        np.load(HERE / name if form == "compact" else request.getfixturevalue("reference")("oracles/" + name))
    )
    for key in [key for key in oracle if key.startswith("moved/")]:
        before = oracle[key.replace("moved", "before", 1)]
        oracle[key.replace("moved", "after", 1)] = before + 4e-9 * oracle[key]
    x, c, target, alpha = (torch.from_numpy(oracle[name]).double() for name in ("x", "c", "c_target", "alpha"))
    monkeypatch.setattr(stargan, "permuted", lambda c: target)
    monkeypatch.setattr("i2i.gan.between", lambda real, fake: (alpha * real + (1 - alpha) * fake, alpha))
    made = StarGAN(domains=5, attributes=True, image_size=64, ngf=4, ndf=4, n_critic=1).double()
    for name in ("G", "D"):
        before = group(oracle, f"before/{name}")
        adopt(getattr(made, name), {key: before[key] for key in group(oracle, f"after/{name}")})
    terms = play(made, {player: Move(p) for player, p in made.players().items()}, {"x": x, "c": c})
    real, fake, cls, gp, *of_G = oracle["losses"]  # unweighted
    printed = [real + fake, cls, 10 * gp, of_G[0], of_G[1], 10 * of_G[2]]
    names = ("D/gan", "D/cls", "D/penalty", "G/gan", "G/cls", "G/rec")
    assert [terms[name].item() for name in names] == pytest.approx(printed, rel=1e-6)
    compared = different = 0
    for name in ("G", "D"):
        after = group(oracle, f"after/{name}")
        ours = [p.detach().numpy() for p in getattr(made, name).parameters()]
        for expected, weight in zip(after.values(), ours, strict=True):
            assert weight.shape == expected.shape
            compared += weight.size
            different += int((np.abs(weight - expected) > np.maximum(1e-6 * np.abs(expected), 1e-8)).sum())
    assert compared == 212_216
    assert different <= (5 if form == "compact" else 0)


def test_the_sheet_shows_every_domain_or_every_attribute_turned():
    torch.manual_seed(0)
    options = {"generator": "stargan_1", "discriminator": "stargan_3", "image_size": 32, "ngf": 2, "ndf": 2}
    x, c = torch.rand(2, 3, 32, 32), torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    for attributes, towards in ((False, [[0, 1, 0], [0, 1, 0]]), (True, [[1, 1, 1], [0, 1, 1]])):
        made = StarGAN(domains=3, attributes=attributes, **options).eval()
        with torch.no_grad():
            views = made({"x": x, "c": c})
            assert torch.equal(views["G(x,1)"], made.G(x, torch.tensor(towards, dtype=torch.float32)))
            assert torch.equal(views["G(G(x,2),c)"], made.G(views["G(x,2)"], c))
        assert made.train()({"x": x, "c": c})["c'"].shape == c.shape
    assert torch.equal(c, torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]]))  # untouched


def test_targets_are_the_labels_of_the_batch_in_another_order():
    c = torch.eye(8)
    torch.manual_seed(0)
    orders = [stargan.permuted(c) for _ in range(20)]
    assert all(torch.equal(order.sum(0), torch.ones(8)) for order in orders)
    assert len({tuple(order.argmax(1).tolist()) for order in orders}) == 20


def test_both_sides_have_as_many_channels():
    with pytest.raises(ValueError, match="as many channels, not 1 and 3"):
        StarGAN(1, 3)


def test_one_image_has_no_other_label_to_be_translated_to():
    with pytest.raises(ValueError, match="--batch 2 or more"):
        permuted(torch.tensor([[0.0, 1.0]]))
    torch.manual_seed(0)
    c = torch.eye(4)
    assert sorted(map(tuple, permuted(c).tolist())) == sorted(map(tuple, c.tolist()))
    assert not torch.equal(permuted(c), c)
