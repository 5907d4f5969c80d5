"""Direct translation is CycleGAN without its cycles."""

import pytest
import torch

from i2i.engine.step import Move, play
from i2i.translators.cyclegan import CycleGAN
from i2i.translators.direct import Direct
from tests.translators.cases import batch, make

pytestmark = pytest.mark.usefixtures("one_thread")


def test_three_steps_are_those_of_cyclegan_with_the_other_terms_switched_off():
    direct = make("direct", pool=0).double()
    cyclegan = make("cyclegan", pool=0, lambda_cyc=0.0, lambda_identity=0.0).double()
    cyclegan.G.load_state_dict(direct.G.state_dict())
    cyclegan.D_Y.load_state_dict(direct.D.state_dict())
    before = {key: value.clone() for key, value in direct.G.state_dict().items()}
    data = {name: images.double() for name, images in batch("direct").items()}
    moves = [{name: Move(player) for name, player in each.players().items()} for each in (direct, cyclegan)]
    for step in range(3):
        ours, theirs = (play(each, moved, data, step) for each, moved in zip((direct, cyclegan), moves, strict=True))
        assert ours["G/gan"].item() == pytest.approx(theirs["G/gan_G"].item(), rel=1e-9)
        assert ours["D/gan"].item() == pytest.approx(theirs["D/gan_Y"].item(), rel=1e-9)
    for mine, other in ((direct.G, cyclegan.G), (direct.D, cyclegan.D_Y)):
        for key, value in mine.state_dict().items():
            # a bias that a norm cancels has rounding noise for a gradient, which Adam blows up to its learning rate
            assert torch.allclose(
                value, other.state_dict()[key], rtol=1e-6, atol=1e-3 if key.endswith("bias") else 1e-9
            )
    assert not any(torch.equal(before[key], value) for key, value in direct.G.state_dict().items() if "weight" in key)


def test_its_generator_is_shallow_and_cyclegans_is_not():
    """Pixels across that one pixel of the result sees, as both are by default."""
    assert Direct(ngf=2, ndf=2).G.receptive_field == 73
    assert CycleGAN(ngf=2, ndf=2).G.receptive_field == 169
