"""What every entry of TRANSLATORS does, by being in the table."""

import inspect
import itertools

import pytest
import torch

from i2i.engine.step import Move, play
from i2i.gan import CONSTRAINTS, OBJECTIVES
from i2i.translators import TRANSLATORS, Translator, translator_class

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = {
    "pix2pix": {"generator": "unet_32", "ngf": 2, "ndf": 2},
    "cyclegan": {"generator": "resnet_1", "ngf": 2, "ndf": 2, "pool": 2},
}
TERMS = {  # exactly the paper's
    "pix2pix": {"D/gan", "G/gan", "G/l1"},
    "cyclegan": {
        "G/gan_G", "G/gan_F", "G/cycle_x", "G/cycle_y", "G/identity_x", "G/identity_y", "D/gan_X", "D/gan_Y",
    },
}  # fmt: skip
VIEWS = {
    "pix2pix": ["x", "G(x)", "y"],
    "cyclegan": ["x", "G(x)", "y", "F(y)", "F(G(x))", "G(F(y))", "G(y)", "F(x)"],
}
GAMES = [pair for pair in itertools.product(OBJECTIVES, CONSTRAINTS) if pair != ("wgan", "none")]


def make(method, x=3, y=3, **options):
    torch.manual_seed(0)
    return translator_class(method)(x, y, **(SMALL[method] | options))


def batch(x=3, y=3, n=2, size=32):
    torch.manual_seed(1)
    return {"x": torch.rand(n, x, size, size) * 2 - 1, "y": torch.rand(n, y, size, size) * 2 - 1}


@pytest.mark.parametrize("method", TRANSLATORS)
def test_views_terms_and_exports(method):
    translator = make(method)
    views = translator(batch())
    assert list(views) == VIEWS[method]
    assert all(view.shape == (2, 3, 32, 32) and view.abs().max() <= 1 for view in views.values())
    moves = {name: Move(player) for name, player in translator.players().items()}
    assert set(play(translator, moves, batch())) == TERMS[method]
    for direction, net in translator.exports().items():
        assert direction in ("a2b", "b2a")
        assert net.minimum >= 1
        assert net.receptive_field is None or net.receptive_field > 1


@pytest.mark.parametrize("method", TRANSLATORS)
@pytest.mark.parametrize(("objective", "constraint"), GAMES)
def test_every_game_moves_every_parameter_by_exactly_one_player(method, objective, constraint):
    translator = make(method, objective=objective, constraint=constraint)
    data, players = batch(), translator.players()
    owners = [p for player in players.values() for p in player.net.parameters()]
    assert len({id(p) for p in owners}) == len(owners) == len(list(translator.parameters()))
    moves = {name: Move(player) for name, player in players.items()}
    for step in range(2):
        terms = play(translator, moves, data, step)
        penalties = {name for name in terms if "penalty" in name}
        assert set(terms) - penalties == TERMS[method]
        assert bool(penalties) == (constraint in ("gp", "gp-real", "r1"))
        assert all(torch.isfinite(term) for term in terms.values())
    for name, move in moves.items():
        states = move.optimizer.state
        assert len(states) == len(move.parameters), name
        assert all(state["exp_avg_sq"].isfinite().all() for state in states.values())
        # a gradient reached each of them; a bias that a norm cancels has only rounding noise, yet not none
        silent = [p.shape for p in move.parameters if p.ndim > 1 and not states[p]["exp_avg_sq"].any()]
        assert not silent, (name, silent)
    bound = max(p.abs().max() for D in critics(translator) for p in D.parameters())
    assert (bound <= 0.01) == (constraint == "clip")


def critics(translator):
    return [net for name, net in translator.named_children() if name.startswith("D")]


@pytest.mark.parametrize("method", TRANSLATORS)
def test_saved_and_loaded_it_is_the_same(method):
    translator, other = make(method), make(method, ngf=2)
    moves = {name: Move(player) for name, player in translator.players().items()}
    for step in range(3):
        play(translator, moves, batch(), step)
    other.load_state_dict(translator.state_dict())
    translator.eval(), other.eval()
    with torch.no_grad():
        ours, theirs = translator(batch()), other(batch())
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("method", TRANSLATORS)
@pytest.mark.parametrize(("x", "y"), [(1, 3), (3, 1), (4, 4)])
def test_any_channels(method, x, y):
    translator = make(method, x, y)
    moves = {name: Move(player) for name, player in translator.players().items()}
    terms = play(translator, moves, batch(x, y))
    assert all(torch.isfinite(term) for term in terms.values())
    assert any("identity" in name for name in terms) == (method == "cyclegan" and x == y)


def test_the_table_and_its_errors():
    assert all(issubclass(translator_class(method), Translator) for method in TRANSLATORS)
    assert set(TRANSLATORS) == set(SMALL) == set(TERMS)
    assert {name for name in vars(Translator) if not name.startswith("_")} == {"forward", "players", "exports"}
    for wrong, words in (
        ("cycelgan", "pix2pix, cyclegan"),
        ("no.such:Thing", "cannot be imported"),
        ("json:JSONDecoder", "no Translator"),
    ):
        with pytest.raises(ValueError, match=words):
            translator_class(wrong)


@pytest.mark.parametrize("method", TRANSLATORS)
def test_hyperparameters_are_keywords_with_defaults(method):
    parameters = list(inspect.signature(translator_class(method)).parameters.values())
    assert [p.name for p in parameters[:2]] == ["in_channels", "out_channels"]
    assert all(p.kind is p.KEYWORD_ONLY and isinstance(p.default, bool | int | float | str) for p in parameters[2:])
