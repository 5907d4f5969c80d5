"""EnCo's choice of patches, its terms over a run, and its maps."""

import pytest
import torch

from i2i.engine.step import Move, play
from i2i.networks import ResNet
from i2i.translators.enco import EnCo, places
from tests.translators.cases import batch, make

pytestmark = pytest.mark.usefixtures("one_thread")


def test_half_of_the_patches_are_those_of_the_smallest_output():
    torch.manual_seed(0)
    attention = torch.stack([torch.arange(1000.0), torch.arange(1000.0).flip(0)])
    at = places(attention, 40)
    assert at.shape == (2, 40)
    assert all(len(set(row.tolist())) == 40 for row in at)
    least, rest = at[0].sort().values.split(20)
    assert least.max() < 200  # the twenty smallest of 160 random ones
    assert 450 < rest.float().mean() < 700  # the others are above them, and spread
    assert at[1].sort(descending=True).values[:20].min() > 800
    everywhere = places(torch.rand(1, 9), 40)
    assert sorted(everywhere[0].tolist()) == list(range(9))


def test_identity_is_a_term_of_the_first_half_of_a_run():
    translator, data = make("enco"), batch("enco")
    moves = {name: Move(player) for name, player in translator.players().items()}
    first = play(translator, moves, data)
    translator.progress = 0.5
    assert set(first) - set(play(translator, moves, data)) == {"G/idt"}
    assert list(translator(data)) == ["x", "G(x)", "y", "d(0)", "d(1)", "d(2)", "u(0)", "u(1)", "u(2)"]


def test_the_weights_of_the_terms():
    translator, data = make("enco"), batch("enco")
    torch.manual_seed(0)
    v = translator(data)
    torch.manual_seed(1)
    terms = translator.generator_loss(v)
    assert terms["idt"].item() == pytest.approx(5 * (v["G(y)"] - v["y"]).abs().mean().item(), rel=1e-5)
    torch.manual_seed(1)
    loss = translator.alike(v, translator.D(v["G(x)"]).detach())
    assert terms["enco"].item() == pytest.approx(loss.item(), rel=1e-5)  # 2 / 2
    assert 0 < loss < 2
    # the predictor as the identity and equal maps: nothing is left to learn
    same = v | {f"d({i})": torch.rand_like(v[f"d({i})"]) for i in range(3)}
    same |= {f"u({i})": same[f"d({i})"] for i in range(3)}
    translator.P = torch.nn.ModuleList(torch.nn.Identity() for _ in range(3))
    assert translator.alike(same, torch.zeros(2, 1, 4, 4)).item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("blocks", [1, 4, 5, 9])
def test_maps_of_both_halves_have_equal_shapes(blocks, residual):
    net = ResNet(ngf=2, blocks=blocks, antialias=True, upsample="blur", residual=residual)
    x = torch.randn(1, 3, 33, 46)
    image, down, up = net.stages(x)
    assert torch.equal(image, net(x))
    assert [map.shape for map in down] == [map.shape for map in up]
    assert [tuple(map.shape[1:]) for map in down] == [(2, 33, 46), (4, 17, 23), (8, 9, 12)]
    assert [map.shape[1] for map in down] == net.staged
    inner = []
    for block in net.blocks:
        block.register_forward_hook(lambda m, i, o: inner.append(o))
    _, down, up = net.stages(x)
    if blocks > 4:
        assert down[2] is inner[1]
        assert up[2] is inner[-3]  # the second and the seventh of nine
    else:
        assert up[2] is inner[-1]


def test_another_generator_is_refused():
    with pytest.raises(ValueError, match="expected resnet_N"):
        EnCo(generator="unet_256")
