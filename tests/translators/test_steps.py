"""Three whole optimisation steps equal the authors': losses and every weight after them, in float64.

Through the real players and the real step of the loop; nothing here computes a loss.
"""

import numpy as np
import pytest
import torch

from i2i.engine.step import Move, play
from i2i.translators.cyclegan import CycleGAN
from i2i.translators.pix2pix import Pix2Pix
from tests.oracle import HERE, adopt, group

STEPS = {
    "step_pix2pix_in": ["D/gan", "G/gan", "G/l1"],
    "step_pix2pix_bn": ["D/gan", "G/gan", "G/l1"],
    "step_cyclegan": [
        "G/gan_G", "G/gan_F", "G/cycle_x", "G/cycle_y", "G/identity_y", "G/identity_x", "D/gan_Y", "D/gan_X",
    ],
}  # fmt: skip


def build(name, oracle):
    nets = {net: group(oracle, f"before/{net}") for net in ("G", "F", "D", "D_X", "D_Y")}
    ngf = next(iter(nets["G"].values())).shape[0]
    critic = nets["D"] or nets["D_X"]
    options = {"ngf": ngf, "ndf": next(iter(critic.values())).shape[0]}
    if name == "step_cyclegan":
        blocks = len({key.split(".")[1] for key in nets["G"] if "conv_block" in key})
        layers = sum(key.endswith("weight") for key in critic) - 2
        made = CycleGAN(generator=f"resnet_{blocks}", discriminator=f"patch_{layers}", pool=0, **options)
    else:
        norm = name.rpartition("_")[2].replace("bn", "batch").replace("in", "instance")
        depth = max(key.count("model") for key in nets["G"]) - 1
        made = Pix2Pix(generator=f"unet_{2**depth}", norm=norm, dropout=False, **options)
    made = made.double()
    for net, weights in nets.items():
        if weights:
            adopt(getattr(made, net), weights)
    return made, [net for net, weights in nets.items() if weights]


def check(name, oracle):
    translator, nets = build(name, oracle)
    moves = {player: Move(p) for player, p in translator.players().items()}
    batch = {"x": torch.from_numpy(oracle["a"]), "y": torch.from_numpy(oracle["b"])}
    for step, expected in enumerate(oracle["losses"]):
        terms = play(translator, moves, batch, step)
        assert list(terms) == sorted(terms, key=STEPS[name].index)
        assert [terms[term].item() for term in STEPS[name]] == pytest.approx(list(expected), rel=1e-6)
    compared = 0
    for net in nets:
        after, at = group(oracle, f"after/{net}"), group(oracle, f"at/{net}")
        ours = getattr(translator, net).state_dict()
        ours = {key: value for key, value in ours.items() if not key.endswith("num_batches_tracked")}
        assert len(ours) == len(after)
        for (key, expected), value in zip(after.items(), ours.values(), strict=True):
            value = value.numpy().ravel()[at[key]] if at else value.numpy()
            assert np.allclose(value, expected, rtol=1e-6, atol=1e-9), (net, key, np.abs(value - expected).max())
            compared += value.size
    assert compared > 1000


@pytest.mark.parametrize("name", STEPS)
def test_carried_steps(name):
    check(name, np.load(HERE / f"{name}.npz"))


@pytest.mark.parametrize("name", STEPS)
def test_every_weight(reference, name):
    check(name, np.load(reference(f"oracles/{name}.npz")))
