"""Whole optimisation steps in float64: losses and weights of the players equal those of the authors' code."""

import numpy as np
import pytest
import torch

from i2i.engine.step import Move, play
from i2i.translators.cyclegan import CycleGAN
from i2i.translators.pix2pix import Pix2Pix
from tests.oracle import HERE, adopt, equal, group

pytestmark = pytest.mark.usefixtures("one_thread")

STEPS = {
    "step_pix2pix_in": ["D/gan", "G/gan", "G/l1"],
    "step_pix2pix_bn": ["D/gan", "G/gan", "G/l1"],
    "step_cyclegan": [
        "G/gan_G", "G/gan_F", "G/cycle_x", "G/cycle_y", "G/identity_y", "G/identity_x", "D/gan_Y", "D/gan_X",
    ],
}  # fmt: skip


def trained(oracle, when, net):
    """Return what is trained of a network, by the authors' keys; ``before`` holds running statistics as well."""
    weights = group(oracle, f"{when}/{net}")
    return {key: weights[key] for key in group(oracle, f"after/{net}")}


def build(name, oracle):
    """Build the translator of an oracle, with its weights before the steps."""
    nets = {net: trained(oracle, "before", net) for net in ("G", "F", "D", "D_X", "D_Y")}
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


@pytest.mark.parametrize("name", STEPS)
def test_three_steps_give_the_authors_losses_and_weights(name):
    oracle = np.load(HERE / f"{name}.npz")
    made = build(name, oracle)
    moves = {player: Move(p) for player, p in made.players().items()}
    batch = {"x": torch.from_numpy(oracle["a"]), "y": torch.from_numpy(oracle["b"])}
    for step, losses in enumerate(oracle["losses"]):
        terms = play(made, moves, batch, step)
        assert set(terms) == set(STEPS[name])
        assert [terms[term].item() for term in STEPS[name]] == pytest.approx(list(losses), rel=1e-6)
    for net in ("G", "F", "D", "D_X", "D_Y"):
        before, after = (trained(oracle, when, net) for when in ("before", "after"))
        if not after:
            continue
        ours = [p.detach().numpy() for p in getattr(made, net).parameters()]
        for (key, expected), weight in zip(after.items(), ours, strict=True):
            # A bias before an instance norm has no gradient, and moves by rounding alone.
            assert equal(weight, expected, rel=1e-6, absolute=1e-8), (net, key)
            assert not key.endswith("weight") or not np.array_equal(expected, before[key])
