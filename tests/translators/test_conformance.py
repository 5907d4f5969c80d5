"""Tests of every entry of TRANSLATORS; the expectations for each are its row in cases.py."""

import inspect
import itertools

import pytest
import torch

from i2i.data.dataset import KINDS
from i2i.engine.settings import Settings
from i2i.engine.step import Move, autocast_for, play
from i2i.gan import CONSTRAINTS, OBJECTIVES
from i2i.networks import per_image
from i2i.translators import TRANSLATORS, Translator, translator_class
from tests.translators.cases import CASES, DOMAINS, batch, make, one_set, texts

pytestmark = pytest.mark.usefixtures("one_thread")

GAMES = [  # each objective and each constraint among the fast ones, and all pairs of them among the slow
    pytest.param(objective, constraint, marks=() if objective == "lsgan" or constraint == "gp" else pytest.mark.slow)
    for objective, constraint in itertools.product(OBJECTIVES, CONSTRAINTS)
    if (objective, constraint) != ("wgan", "none")
]
PENALTIES = ("gp", "gp-real", "gp-zero", "r1", "r1r2")
PLAYED = [m for m in TRANSLATORS if "objective" in inspect.signature(translator_class(m)).parameters]
"""Methods whose game has an objective and a constraint; BEGAN's is its own."""


def moves_of(translator, precision="fp32"):
    return {name: Move(player, precision) for name, player in translator.players().items()}


def many(method):
    return translator_class(method).data == "domains"


def without_penalties(terms):
    return {name for name in terms if "penalty" not in name}


@pytest.mark.parametrize("method", TRANSLATORS)
def test_views_and_terms_are_the_papers(method):
    case, translator, data = CASES[method], make(method), batch(method)
    views = translator(data)
    assert list(views) == case.views
    pictures = [name for name, view in views.items() if view.ndim == 4]
    assert all(views[name].shape == (2, 3, 32, 32) and views[name].abs().max() <= 1 for name in pictures)
    assert all(torch.equal(views[name], data[name]) for name in data)
    assert without_penalties(play(translator, moves_of(translator), data)) == case.terms
    with torch.no_grad():
        shown = {name: view for name, view in per_image(translator)(data).items() if view.ndim == 4}
    assert list(shown) == (case.shown or pictures)
    assert all(view.shape == (2, 3, 32, 32) and view.abs().max() <= 1 for view in shown.values())


@pytest.mark.parametrize("method", TRANSLATORS)
def test_exported_networks_take_any_size_and_are_deterministic(method):
    made = make(method)
    exports = made.exports()
    assert set(exports) == CASES[method].exports
    for direction, net in exports.items():
        if direction in ("generate", "energy"):
            continue
        assert set(direction.split("2")) <= {"a", "b"} or (direction == "any" and many(method))
        assert net.minimum >= 1
        assert net.receptive_field is None or net.receptive_field > 1
        used = per_image(net)
        for h, w in ((net.minimum, net.minimum + 3), (33, 47)):
            x = torch.rand(2, 3, h, w) * 2 - 1
            given = (x, torch.eye(DOMAINS)[:2]) if many(method) else (x,)
            if (style := made.prior()) is not None:
                given += (torch.rand(2, style.length),)
            with torch.no_grad():
                once, again = used(*given), used(*given)
                alone = used(*(part[:1] for part in given))
            assert once.shape == x.shape
            assert torch.equal(once, again)
            assert torch.allclose(once[:1], alone, atol=1e-4)


def captioned(method):
    return translator_class(method).data == "captions"


GENERATORS = [method for method in TRANSLATORS if "generate" in CASES[method].exports]


@pytest.mark.parametrize(
    ("method", "labelled"),
    [(m, labelled) for m in GENERATORS for labelled in (False, True) if not (labelled and captioned(m))],
)
def test_generators_draw_one_image_for_each_z(method, labelled):
    translator = make(method, **({"domains": DOMAINS} if labelled else {}))
    play(translator, moves_of(translator), batch(method, labelled=labelled))  # some running averages
    prior, net = translator.prior(), per_image(translator.exports()["generate"])
    assert prior.size == (32, 32)
    given = torch.rand(3, prior.length), *([torch.eye(DOMAINS)] if labelled and translator.conditional else [])
    if captioned(method):
        given = (*given, texts(3))
    with torch.no_grad():
        together, again = net(*given), net(*given)
        alone = net(*(part[:1] for part in given))
    assert together.shape == (3, 3, 32, 32)
    assert torch.equal(together, again)
    assert torch.allclose(together[:1], alone, atol=1e-5)
    assert not torch.allclose(together[0], together[1])


@pytest.mark.parametrize("method", PLAYED)
@pytest.mark.parametrize(("objective", "constraint"), GAMES)
def test_every_game_moves_every_parameter_by_exactly_one_player(method, objective, constraint):
    translator = make(method, objective=objective, constraint=constraint)
    data, players = batch(method), translator.players()
    owners = [p for player in players.values() for p in player.net.parameters()]
    learned = [p for p in translator.parameters() if p.requires_grad]
    assert len({id(p) for p in owners}) == len(owners) == len(learned)
    moves = moves_of(translator)
    for step in range(2):
        terms = play(translator, moves, data, step)
        assert without_penalties(terms) == CASES[method].terms
        assert any("penalty" in name for name in terms) == (constraint in PENALTIES)
        assert all(torch.isfinite(term) for term in terms.values())
    for name, move in moves.items():
        states = move.optimizer.state
        assert len(states) == len(move.parameters), name
        assert all(state["exp_avg_sq"].isfinite().all() for state in states.values())
        # a gradient reached each of them; a bias that a norm cancels has only rounding noise, yet not none
        silent = [p.shape for p in move.parameters if p.ndim > 1 and not states[p]["exp_avg_sq"].any()]
        assert not silent, (name, silent)
    bound = max(p.abs().max() for D in critics(translator) for p in D.parameters())
    assert bound <= 0.01 or constraint != "clip"  # CUT's first weights are smaller than that by themselves
    assert any(player.after for player in players.values()) == (constraint == "clip")


def critics(translator):
    return [net for name, net in translator.named_children() if name.startswith("D")]


@pytest.mark.parametrize("method", TRANSLATORS)
def test_gradients_are_finite_in_half_precision(method):
    translator, data = make(method), batch(method)
    moves, autocast = moves_of(translator, "bf16"), autocast_for("bf16", torch.device("cpu"))
    for step in range(2):
        terms = play(translator, moves, data, step, autocast=autocast)
        assert all(torch.isfinite(term) and term.dtype == torch.float32 for term in terms.values())
    states = [state for move in moves.values() for state in move.optimizer.state.values()]
    assert all(state["exp_avg_sq"].isfinite().all() for state in states)
    assert all(p.dtype == torch.float32 and p.isfinite().all() for p in translator.parameters())


@pytest.mark.parametrize("method", TRANSLATORS)
def test_saved_and_loaded_it_is_the_same(method):
    translator, other, data = make(method), make(method), batch(method)
    moves = moves_of(translator)
    for step in range(3):
        play(translator, moves, data, step)
    shipped = next(iter(translator.exports()))
    before = next(iter(other.exports()[shipped].parameters())).clone()
    assert not torch.equal(next(iter(translator.exports()[shipped].parameters())), before)
    other.load_state_dict(translator.state_dict())
    translator.eval(), other.eval()
    with torch.no_grad():
        ours, theirs = translator(data), other(data)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("method", TRANSLATORS)
@pytest.mark.parametrize(("x", "y"), [(1, 1), (1, 3), (3, 1), (4, 4)])
def test_any_channels(method, x, y):
    if one_set(method):
        y = x
    translator = make(method, x, y)
    terms = play(translator, moves_of(translator), batch(method, x, y))
    assert all(torch.isfinite(term) for term in terms.values())
    assert without_penalties(terms) == CASES[method].terms - (CASES[method].alike if x != y else set())


def test_the_table_and_its_errors():
    assert all(issubclass(translator_class(method), Translator) for method in TRANSLATORS)
    assert set(TRANSLATORS) == set(CASES)
    public = {"forward", "players", "exports", "critics", "foundations", "prior"}
    public |= {"augment", "conditional", "good", "progress"}
    assert {name for name in vars(Translator) if not name.startswith("_")} == public
    for wrong, words in (
        ("cycelgan", "pix2pix, cyclegan"),
        ("no.such:Thing", "cannot be imported"),
        ("json:JSONDecoder", "no Translator"),
    ):
        with pytest.raises(ValueError, match=words):
            translator_class(wrong)


@pytest.mark.parametrize("method", TRANSLATORS)
def test_hyperparameters_are_keywords_with_defaults_and_the_authors_settings_are_settings(method):
    made = translator_class(method)
    parameters = list(inspect.signature(made).parameters.values())
    assert [p.name for p in parameters[:2]] == ["in_channels", "out_channels"]
    assert all(p.kind is p.KEYWORD_ONLY and isinstance(p.default, bool | int | float | str) for p in parameters[2:])
    assert made.data in KINDS
    assert Settings.from_dict({"method": method, **made.authors}).method == method


def test_an_unknown_objective_or_constraint_is_refused_by_every_translator():
    assert set(TRANSLATORS) - set(PLAYED) == {"began", "distill"}
    for method, wrong in itertools.product(PLAYED, ({"objective": "lsgn"}, {"constraint": "spectre"})):
        with pytest.raises(ValueError, match="choose one of"):
            make(method, **wrong)
