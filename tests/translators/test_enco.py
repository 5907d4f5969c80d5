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


def test_the_content_term_by_hand():
    """The mean over the stages; maps of so few places that all are compared."""
    translator = make("enco", patches=2000)
    v = {"x": torch.zeros(2, 3, 32, 32)}
    for i, channels in enumerate(translator.G.staged):
        v |= {f"{name}({i})": torch.randn(2, channels, (32 >> i) ** 2).requires_grad_() for name in "du"}
    loss = translator.alike(v, torch.zeros(2, 1, 4, 4))
    wanted = []
    for i, (H, P) in enumerate(zip(translator.H, translator.P, strict=True)):
        down, up = (torch.cat(list(v[f"{name}({i})"].transpose(1, 2))) for name in "du")
        wanted.append((2 - 2 * torch.cosine_similarity(P(H(up)), H(down))).mean().item())
    assert loss.item() == pytest.approx(sum(wanted) / 3, rel=1e-5)
    assert all(1 < each < 3 for each in wanted)
    loss.backward()
    assert all(v[f"d({i})"].grad is None and v[f"u({i})"].grad.abs().sum() > 0 for i in range(3))
    # equal maps, and predictors that return what they are given: nothing is left to learn
    same = v | {f"u({i})": v[f"d({i})"] for i in range(3)}
    translator.P = torch.nn.ModuleList(torch.nn.Identity() for _ in range(3))
    assert translator.alike(same, torch.zeros(2, 1, 4, 4)).item() == pytest.approx(0, abs=1e-5)


def test_the_heads_are_the_authors():
    translator = make("enco")
    for H, P in zip(translator.H, translator.P, strict=True):
        names = ["Linear", "BatchNorm1d", "ReLU", "Linear"]
        assert [type(layer).__name__ for layer in P] == names
        assert [type(layer).__name__ for layer in H] == [*names, "BatchNorm1d"]
        assert [layer.bias is not None for layer in (H[0], H[3], P[0], P[3])] == [False, False, False, True]
        assert [layer.affine for layer in (H[1], H[4], P[1])] == [True, False, True]
        assert (P[0].in_features, P[0].out_features, P[3].out_features) == (256, 128, 256)
    with pytest.raises(ValueError, match="patches is 1; expected at least 2"):
        make("enco", patches=1)


def test_the_projections_do_not_agree_on_one_direction():
    """Where keys and predictions have nothing in common, the easiest way to agree would be the same vector for all."""
    translator = make("enco")
    heads = torch.nn.ModuleList([translator.H, translator.P])
    optimizer = torch.optim.Adam(heads.parameters(), lr=1e-3, betas=(0.5, 0.999))
    v = {"x": torch.zeros(1, 3, 32, 32)}
    for i, channels in enumerate(translator.G.staged):
        v |= {f"{name}({i})": torch.rand(1, channels, (32 >> i) ** 2) for name in "du"}
    for _ in range(20):
        optimizer.zero_grad()
        translator.alike(v, torch.zeros(1, 1, 4, 4)).backward()
        optimizer.step()
    with torch.no_grad():
        for i, H in enumerate(translator.H):
            keys = torch.nn.functional.normalize(H(v[f"d({i})"][0].T))
            assert keys.mean(0).norm() < 0.5


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
