"""Terms that keep the content of an image, added to the generators of every unpaired method."""

import pytest
import torch

from i2i.engine.step import Move, play
from i2i.translators import TRANSLATORS, translator_class
from i2i.translators.content import Content, distance, with_content
from tests.translators.cases import CASES, batch, make

pytestmark = pytest.mark.usefixtures("one_thread")

UNPAIRED = [method for method in TRANSLATORS if translator_class(method).data == "unpaired"]
STYLED = {"munit"}


def features(images):
    return [images, images[..., ::2, ::2].cumsum(1)]


@pytest.mark.parametrize("method", UNPAIRED)
def test_every_unpaired_method_has_the_terms(method):
    styled = method in STYLED
    content = Content(0.0 if styled else 1.0, 0.0 if styled else 2.0, 3.0, features)
    translator, data = make(method), batch(method)
    players = with_content(translator, content)
    terms = play(translator, {name: Move(player) for name, player in players.items()}, data)
    names = ("perceptual",) if styled else ("identity", "geometry", "perceptual")
    added = {
        f"{name}_{direction}" for name in names for direction in CASES[method].exports if direction[0] != direction[2]
    }
    plain = {name for name in terms if "penalty" not in name} - CASES[method].terms
    assert {name.partition("/")[2] for name in plain} == added
    assert len({name.partition("/")[0] for name in plain}) == 1  # of the generators' player
    assert all(torch.isfinite(term) for term in terms.values())
    assert all(terms[name] > 0 for name in plain)
    assert with_content(translator, Content()).keys() == translator.players().keys()


def test_the_terms_by_hand():
    translator, data = make("cyclegan"), batch("cyclegan")
    v = translator(data)
    terms = with_content(translator, Content(2.0, 3.0, 4.0, features))["G"].loss(v)
    G, F, x, y = translator.G, translator.F, v["x"], v["y"]
    assert terms["identity_a2b"].item() == pytest.approx(2 * (G(y) - y).abs().mean().item(), rel=1e-5)
    assert terms["identity_b2a"].item() == pytest.approx(2 * (F(x) - x).abs().mean().item(), rel=1e-5)
    turned = torch.rot90(G(torch.rot90(x, 1, (2, 3))), 3, (2, 3))
    assert terms["geometry_a2b"].item() == pytest.approx(3 * (v["G(x)"] - turned).abs().mean().item(), rel=1e-5)
    assert terms["perceptual_a2b"].item() == pytest.approx(4 * distance(features, x, v["G(x)"]).item(), rel=1e-6)
    own = translator.generator_loss(v)
    assert all(torch.equal(own[name], terms[name]) for name in own)


def test_the_perceptual_distance_is_that_of_directions():
    x = torch.rand(2, 3, 8, 8) + 0.1
    assert distance(features, x, x).item() == pytest.approx(0, abs=1e-6)
    assert distance(lambda z: [z], x, 5 * x).item() == pytest.approx(0, abs=1e-6)
    right = torch.zeros(1, 2, 1, 1), torch.zeros(1, 2, 1, 1)
    right[0][:, 0], right[1][:, 1] = 1, 3
    assert distance(lambda z: [z], *right).item() == pytest.approx(2)
    made = x.flip(1).requires_grad_()
    given = x.clone().requires_grad_()
    distance(features, given, made).backward()
    assert made.grad.abs().sum() > 0
    assert given.grad is None


def test_what_cannot_have_the_terms_is_refused():
    for method in ("pix2pix", "dcgan"):
        with pytest.raises(ValueError, match=r"are terms of unpaired methods, and .* learns from"):
            with_content(make(method), Content(identity=1.0))
    with pytest.raises(ValueError, match="that of MUNIT also takes a style"):
        with_content(make("munit"), Content(geometry=1.0))
    with pytest.raises(ValueError, match="identity is -1; it cannot be negative"):
        Content(identity=-1)
    grey = make("direct", 1, 3)
    with pytest.raises(ValueError, match="the domains have 1 channel and 3 channels"):
        with_content(grey, Content(identity=1.0))["G"].loss(grey(batch("direct", 1, 3)))
