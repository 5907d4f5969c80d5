"""Whole optimisation steps in float64, through the real players and the real step of the loop, against the losses that
the authors' code printed and the weights that it arrived at."""

import numpy as np
import pytest
import torch

from i2i.engine.step import Move, play
from i2i.translators.cyclegan import CycleGAN
from i2i.translators.pix2pix import Pix2Pix
from tests.oracle import HERE, adopt, assert_trained, group

pytestmark = pytest.mark.usefixtures("one_thread")

STEPS = {
    "step_pix2pix_in": ["D/gan", "G/gan", "G/l1"],
    "step_pix2pix_bn": ["D/gan", "G/gan", "G/l1"],
    "step_cyclegan": [
        "G/gan_G", "G/gan_F", "G/cycle_x", "G/cycle_y", "G/identity_y", "G/identity_x", "D/gan_Y", "D/gan_X",
    ],
}  # fmt: skip


def build(name, oracle):
    """Return the translator of an oracle with its weights before the first step."""
    nets = {net: group(oracle, f"before/{net}") for net in ("G", "F", "D", "D_X", "D_Y")}
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
def test_three_steps_give_the_losses_and_the_weights_of_the_authors_code(name):
    oracle = np.load(HERE / f"{name}.npz")
    translator = build(name, oracle)
    moves = {player: Move(p) for player, p in translator.players().items()}
    batch = {"x": torch.from_numpy(oracle["a"]), "y": torch.from_numpy(oracle["b"])}
    for step, expected in enumerate(oracle["losses"]):
        terms = play(translator, moves, batch, step)
        assert set(terms) == set(STEPS[name])
        assert [terms[term].item() for term in STEPS[name]] == pytest.approx(expected.tolist(), rel=1e-6)
    for net in ("G", "F", "D_X", "D_Y") if name == "step_cyclegan" else ("G", "D"):
        assert_trained(getattr(translator, net), oracle, net)
