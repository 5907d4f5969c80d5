"""The step of the loop against the authors' procedure, written out, and the traps that it avoids."""

from contextlib import nullcontext
from functools import partial

import pytest
import torch
from torch import nn

from i2i.engine.ema import EMA
from i2i.engine.step import Move, play
from i2i.networks.blocks import RunningNorm2d
from i2i.networks.latent import LabelMeans
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


def test_averaged_weights_have_the_averages_of_their_statistics():
    """Of batch norm and of labels; what is no average, such as a count of batches, is that of the network itself."""
    live = nn.ModuleDict({"linear": nn.Linear(1, 1), "norm": RunningNorm2d(1), "labels": LabelMeans(1, False, 1)})
    ema = EMA({"G": live}, decay=0.5)
    wanted = {key: value.double() for key, value in live.state_dict().items()}
    for step, share in enumerate((0.9, 9 / 11, 0.75)):  # 1 - (1 + step) / (10 + step)
        with torch.no_grad():
            for value in live.state_dict().values():
                value.fill_(4**step)
        ema.update(step)
        wanted = {key: (1 - share) * mean + share * 4**step for key, mean in wanted.items()}
    wanted["norm.num_batches_tracked"] = torch.tensor(16.0)
    found = ema.networks["G"].state_dict()
    assert {"norm.running_mean", "norm.running_var", "labels.totals", "labels.counts"} < found.keys()
    for key, value in found.items():
        assert torch.allclose(value.double(), wanted[key].double(), rtol=1e-6), key
