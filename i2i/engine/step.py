"""One training step: all images are made once, then each player moves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch
from torch import Tensor

from i2i.engine.distributed import World
from i2i.translators import Player, Translator, Views
from i2i.translators.masks import masked


class Move:
    """A player with its optimiser and gradient scaler."""

    def __init__(self, player: Player, precision: str = "fp32", world: World | None = None) -> None:
        self.player, self.world = player, world or World()
        self.parameters = [p for p in player.net.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(
            self.parameters, lr=player.lr, betas=player.betas, weight_decay=player.weight_decay, fused=True
        )
        self.scaler = torch.amp.GradScaler(self.world.device.type, enabled=precision == "fp16")

    def __call__(self, views: Views, autocast: Callable[[], AbstractContextManager], rate: float = 1.0) -> Views:
        """Reduce the player's loss by one step at ``rate`` times its learning rate; return its detached terms.

        The weights and the optimiser's state stay as they are where the player skips the step.
        """
        with autocast():
            terms = self.player.loss(views)
        found = {name: term.detach() for name, term in terms.items()}
        if not self.skips(found):
            self.backward(terms)
            self.update(rate)
        return found

    def skips(self, terms: Views) -> bool:
        """True if the player skips a step with these detached terms; every process must call this."""
        if not self.player.skip:
            return False
        means = {name: term.clone() for name, term in terms.items()}
        self.world.average(means.values())  # all processes decide alike
        return bool(self.player.skip(means))

    def backward(self, terms: Views, share: float = 1.0, besides: Sequence[Tensor] = ()) -> None:
        """Add ``share`` times the gradient of the terms to the player's weights, and to the leaves ``besides``.

        Other networks get none, so they need not be frozen.
        """
        loss = torch.stack(list(terms.values())).sum()
        self.scaler.scale(loss if share == 1 else share * loss).backward(inputs=[*self.parameters, *besides])

    def update(self, rate: float) -> None:
        """Move the weights by their gradients, averaged over the processes, and remove these."""
        self.world.average(p.grad for p in self.parameters if p.grad is not None)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * self.player.lr
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        self.world.average(self.player.shared)
        if self.player.after:
            self.player.after()

    def state_dict(self) -> dict:
        return {"optimizer": self.optimizer.state_dict(), "scaler": self.scaler.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        """Load a state. The optimiser's settings stay those of the player."""
        self.optimizer.load_state_dict(state["optimizer"])
        for group in self.optimizer.param_groups:
            group |= {"betas": self.player.betas, "weight_decay": self.player.weight_decay}
        if state["scaler"]:  # empty in other precisions than fp16
            self.scaler.load_state_dict(state["scaler"])


def autocast_for(precision: str, device: torch.device) -> Callable[[], AbstractContextManager]:
    """Return a factory of the autocast context of forward passes and losses."""
    half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
    return partial(torch.autocast, device.type, half) if half else nullcontext


def play(
    translator: Translator,
    moves: dict[str, Move],
    batch: Views,
    step: int = 0,
    rate: float = 1.0,
    autocast: Callable[[], AbstractContextManager] = nullcontext,
) -> dict[str, Tensor]:
    """Run step number ``step`` (from 0); return the loss terms of the players that moved, as "G/l1"."""
    # One autocast context for the forward pass and one for each move: within a context the casts of weights are
    # cached, and a second player would see the first one's old weights.
    with autocast():
        views = masked(translator(batch), batch, translator.data == "pairs")
    return {
        f"{name}/{term}": loss
        for name, move in moves.items()
        if (step + 1) % move.player.every == 0
        for term, loss in move(views, autocast, rate).items()
    }
