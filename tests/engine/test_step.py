"""The step of the loop against the authors' procedure, written out, and the traps that it avoids."""

from contextlib import nullcontext
from functools import partial

import pytest
import torch
from torch import nn

from i2i.engine.step import Move, play
from i2i.translators.base import Player, Translator


class Two(Translator):
    """Two players on two scalars, whose casts would be stale if one autocast context spanned both moves."""

    data = "pairs"

    def __init__(self, every=1):
        super().__init__()
        self.D, self.G, self.every = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False), every
        self.judged_by = []

    def forward(self, batch):
        return {"x": batch["x"], "G(x)": self.G(batch["x"])}

    def d(self, v):
        return {"d": (self.D(v["G(x)"].detach()) - 1).square().mean().float()}

    def g(self, v):
        out = self.D(v["G(x)"])
        self.judged_by.append(out.detach().float())
        return {"g": out.square().mean().float()}

    def players(self):
        return {"D": Player(self.D, self.d, lr=1.0, every=self.every), "G": Player(self.G, self.g, lr=1.0)}


def test_the_second_player_sees_the_new_weights_of_the_first_under_autocast():
    torch.manual_seed(0)
    game = Two()
    x = torch.randn(3, 4)
    gx = game.G(x).detach()
    moves = {name: Move(player, "bf16") for name, player in game.players().items()}
    play(game, moves, {"x": x}, autocast=partial(torch.autocast, "cpu", torch.bfloat16))
    expected = game.D(gx)  # D has moved by now
    assert torch.allclose(game.judged_by[0], expected, atol=0.1)


def test_a_player_leaves_no_gradients_and_changes_no_other_network():
    game = Two()
    moves = {name: Move(player) for name, player in game.players().items()}
    before = {name: p.clone() for name, p in game.named_parameters()}
    seen = []
    moves["D"].player = Player(game.D, lambda v: seen.append(game.G.weight.clone()) or game.d(v))
    play(game, moves, {"x": torch.randn(3, 4)})
    assert torch.equal(seen[0], before["G.weight"])
    assert all(p.grad is None for p in game.parameters())
    assert not torch.equal(game.G.weight, before["G.weight"])


@pytest.mark.parametrize("every", [1, 3])
def test_a_player_moves_once_in_so_many_steps(every):
    game = Two(every)
    moves = {name: Move(player) for name, player in game.players().items()}
    moved = [("D/d" in play(game, moves, {"x": torch.randn(3, 4)}, step)) for step in range(6)]
    assert moved == [(step + 1) % every == 0 for step in range(6)]


def test_the_rate_scales_every_learning_rate():
    game = Two()
    moves = {name: Move(player) for name, player in game.players().items()}
    before = game.G.weight.clone()
    play(game, moves, {"x": torch.randn(3, 4)}, rate=0.0, autocast=nullcontext)
    assert torch.equal(game.G.weight, before)
