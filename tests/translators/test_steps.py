"""Whole optimisation steps in float64, through the real players and the real step of the loop.

Against the authors' procedure, written out with their own means (networks switched off and on, one optimiser a side),
and against the losses that the authors' code printed.
"""

import itertools

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits as bce
from torch.nn.functional import l1_loss, mse_loss

from i2i.engine.step import Move, play
from i2i.translators.cyclegan import CycleGAN
from i2i.translators.pix2pix import Pix2Pix
from tests.oracle import HERE, adopt, group

pytestmark = pytest.mark.usefixtures("one_thread")

STEPS = {
    "step_pix2pix_in": ["D/gan", "G/gan", "G/l1"],
    "step_pix2pix_bn": ["D/gan", "G/gan", "G/l1"],
    "step_cyclegan": [
        "G/gan_G", "G/gan_F", "G/cycle_x", "G/cycle_y", "G/identity_y", "G/identity_x", "D/gan_Y", "D/gan_X",
    ],
}  # fmt: skip


def build(name, oracle):
    """The translator of an oracle, with the weights it gives."""
    nets = {net: group(oracle, f"after/{net}") for net in ("G", "F", "D", "D_X", "D_Y")}
    critic = nets["D"] or nets["D_X"]
    options = {key: len(next(iter(net.values()))) for key, net in (("ngf", nets["G"]), ("ndf", critic))}
    if name == "step_cyclegan":
        blocks = len({key.split(".")[1] for key in nets["G"] if "conv_block" in key})
        layers = sum(key.endswith("weight") for key in critic) - 2
        made = CycleGAN(generator=f"resnet_{blocks}", discriminator=f"patch_{layers}", pool=0, **options)
    else:
        norm = {"bn": "batch", "in": "instance"}[name.rpartition("_")[2]]
        depth = max(key.count("model") for key in nets["G"]) - 1
        made = Pix2Pix(generator=f"unet_{2**depth}", norm=norm, dropout=False, **options)
    made = made.double()
    for net, weights in nets.items():
        if weights:
            adopt(getattr(made, net), weights)
    return made


def required(nets, on):
    for net in nets:
        net.requires_grad_(on)


def adam(*nets):
    return torch.optim.Adam(itertools.chain(*(net.parameters() for net in nets)), lr=2e-4, betas=(0.5, 0.999))


def authors_pix2pix(t, x, y):
    """Three steps: D is trained first, switched on; then G, with D switched off."""
    optimizer_D, optimizer_G = adam(t.D), adam(t.G)
    one, zero = (lambda p: bce(p, torch.ones_like(p))), (lambda p: bce(p, torch.zeros_like(p)))
    for _ in range(3):
        fake = t.G(x)
        required([t.D], True)
        optimizer_D.zero_grad()
        d = (zero(t.D(torch.cat((x, fake), 1).detach())) + one(t.D(torch.cat((x, y), 1)))) * 0.5
        d.backward()
        optimizer_D.step()
        required([t.D], False)
        optimizer_G.zero_grad()
        gan, l1 = one(t.D(torch.cat((x, fake), 1))), l1_loss(fake, y) * 100
        (gan + l1).backward()
        optimizer_G.step()
        yield [d, gan, l1]
    required([t.D], True)


def authors_cyclegan(t, x, y):
    """Three steps: both generators first, with both discriminators switched off; then these."""
    optimizer_G, optimizer_D = adam(t.G, t.F), adam(t.D_X, t.D_Y)
    one, zero = (lambda p: mse_loss(p, torch.ones_like(p))), (lambda p: mse_loss(p, torch.zeros_like(p)))
    for _ in range(3):
        fake_y, fake_x = t.G(x), t.F(y)
        required([t.D_X, t.D_Y], False)
        optimizer_G.zero_grad()
        g = [one(t.D_Y(fake_y)), one(t.D_X(fake_x)), l1_loss(t.F(fake_y), x) * 10, l1_loss(t.G(fake_x), y) * 10]
        g += [l1_loss(t.G(y), y) * 10 * 0.5, l1_loss(t.F(x), x) * 10 * 0.5]
        sum(g).backward()
        optimizer_G.step()
        required([t.D_X, t.D_Y], True)
        optimizer_D.zero_grad()
        d = [
            (one(D(real)) + zero(D(fake.detach()))) * 0.5 for D, real, fake in ((t.D_Y, y, fake_y), (t.D_X, x, fake_x))
        ]
        for loss in d:
            loss.backward()
        optimizer_D.step()
        yield g + d


AUTHORS = {"step_pix2pix_in": authors_pix2pix, "step_pix2pix_bn": authors_pix2pix, "step_cyclegan": authors_cyclegan}


@pytest.mark.parametrize("name", STEPS)
def test_losses_and_every_weight_of_three_steps_equal_the_authors_procedure(name):
    oracle = np.load(HERE / f"{name}.npz")
    ours, theirs = build(name, oracle), build(name, oracle)
    x, y = torch.from_numpy(oracle["a"]), torch.from_numpy(oracle["b"])
    moves = {player: Move(p) for player, p in ours.players().items()}
    for step, losses in enumerate(AUTHORS[name](theirs, x, y)):
        terms = play(ours, moves, {"x": x, "y": y}, step)
        assert set(terms) == set(STEPS[name])
        expected = [loss.item() for loss in losses]
        assert [terms[term].item() for term in STEPS[name]] == pytest.approx(expected, rel=1e-6)
    # Running statistics apart: no loss depends on them, and they tell only which half of a batch was judged first.
    ours, theirs, before = (dict(t.named_parameters()) for t in (ours, theirs, build(name, oracle)))
    assert ours.keys() == theirs.keys()
    for key, expected in theirs.items():
        assert torch.allclose(ours[key], expected, rtol=1e-6, atol=1e-9), key
    weights = [key for key in ours if key.endswith("weight")]
    assert len(weights) > 15
    assert not any(torch.equal(ours[key], before[key]) for key in weights)


@pytest.mark.parametrize("name", STEPS)
def test_the_losses_that_the_authors_code_printed_go_on(name):
    """The weights in these files are those after the three steps whose losses stand beside them.

    So our first step from there is the authors' fourth, and continues their three by a parabola: to within the third
    difference of a smooth sequence, which halving or doubling any one term would miss by far.
    """
    oracle = np.load(HERE / f"{name}.npz")
    translator = build(name, oracle)
    moves = {player: Move(p) for player, p in translator.players().items()}
    batch = {"x": torch.from_numpy(oracle["a"]), "y": torch.from_numpy(oracle["b"])}
    terms = play(translator, moves, batch)
    first, second, third = oracle["losses"]
    fourth = 3 * third - 3 * second + first
    assert [terms[term].item() for term in STEPS[name]] == pytest.approx(list(fourth), rel=4e-2)
