"""Activation checkpointing changes what a step keeps in memory, and nothing else."""

import copy

import pytest
import torch

from i2i.engine import train
from i2i.engine.checkpointing import checkpoint, networks
from i2i.engine.step import Move, play
from i2i.translators import TRANSLATORS
from tests.engine.comparison import differences
from tests.engine.conftest import TINY
from tests.translators.cases import CASES, batch, make

pytestmark = pytest.mark.usefixtures("one_thread")


def played(translator, data, steps=3):
    """Return the terms of some steps with everything random that a method has."""
    moves = {name: Move(player) for name, player in translator.players().items()}
    found = []
    for step in range(steps):
        torch.manual_seed(step)
        found.append({name: float(term) for name, term in play(translator, moves, data, step).items()})
    return found


def thrifty(translator):
    checkpoint(translator)
    return translator


GAMES = [(method, {}) for method in TRANSLATORS]
GAMES += [("cyclegan", {"constraint": name}) for name in ("gp", "r1", "spectral")]
GAMES += [("pix2pix", CASES["pix2pix"].run | {"norm": "batch"})]


@pytest.mark.parametrize(("method", "options"), GAMES)
def test_losses_and_weights_are_the_same_to_the_bit(method, options):
    """With dropout, batch norm and its running averages, gradient penalties and spectral normalisation."""
    size = options.get("size", 32)
    options = {name: value for name, value in options.items() if name != "size"}
    plain, other = make(method, **options), thrifty(make(method, **options))
    data = batch(method, size=size)
    assert played(other, data) == played(plain, data)
    states = [dict(one.state_dict()) for one in (other, plain)]
    different = [key for key in differences(*states) if "num_batches_tracked" not in key]
    assert not different


def test_a_generator_is_computed_again_and_a_critic_is_not():
    calls = {"G": 0, "D": 0}
    made = thrifty(make("pix2pix"))
    for name in calls:
        first = next(module for module in getattr(made, name).modules() if isinstance(module, torch.nn.Conv2d))
        first.register_forward_hook(lambda *_, name=name: calls.update({name: calls[name] + 1}))
    played(made, batch("pix2pix"), steps=1)
    assert calls == {"G": 2, "D": 3}


def test_so_is_one_of_which_other_maps_are_taken():
    made, calls = thrifty(make("enco")), []
    made.G.last[1].register_forward_hook(lambda *_: calls.append(1))
    played(made, batch("enco"), steps=1)
    assert len(calls) == 2


def test_copies_compute_with_their_own_weights():
    made = thrifty(make("direct"))
    copied, x = copy.deepcopy(made.G), batch("direct")["x"]
    torch.nn.init.zeros_(copied.last[1].weight)
    assert copied(x).abs().max() == 0 < made.G(x).abs().max()


def test_all_networks_of_a_method_are_found():
    assert list(networks(make("cyclegan"))) == ["G", "F", "D_X", "D_Y"]
    assert list(networks(make("munit"))) == ["C_x", "C_y", "S_x", "S_y", "G_x", "G_y", "D_x", "D_y"]


def test_a_run_may_change_it_when_it_continues(folders, tmp_path):
    options = TINY["pix2pix"] | folders["pix2pix"] | {"sample_every": 0, "save_every": 2, "epochs": 2}
    plain = train("pix2pix", **options, out=tmp_path / "plain", quiet=True)
    other = train("pix2pix", **options, checkpointing="on", out=tmp_path / "other", quiet=True)
    train("pix2pix", **options | {"epochs": 3}, checkpointing="off", out=other, quiet=True)
    train("pix2pix", **options | {"epochs": 3}, out=plain, quiet=True)
    states = [torch.load(max((r / "state").iterdir()), weights_only=True) for r in (other, plain)]
    assert not list(differences(*states))
    with pytest.raises(ValueError, match="checkpointing is 'yes'; choose one of off, on"):
        train("pix2pix", **options, checkpointing="yes", out=tmp_path / "wrong", quiet=True)
