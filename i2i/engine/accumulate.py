"""Gradient accumulation: a training step in parts, so that only one of them is in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call

from i2i.engine.checkpointing import steady
from i2i.engine.step import Move
from i2i.translators import Translator, Views
from i2i.translators.masks import masked


def play_in_parts(
    translator: Translator,
    moves: dict[str, Move],
    batch: Views,
    count: int,
    step: int,
    rate: float,
    autocast: Callable[[], AbstractContextManager],
) -> dict[str, Tensor]:
    """Run step number ``step`` (from 0) on a batch in ``count`` equal parts; return the terms' means over the parts.

    Each player sees the same views as in ``play``: those from before the step. The graph of a part's views serves the
    first player and is freed. A later player's loss is computed on their values; if it has a gradient there, the views
    are computed again, from the same random numbers and weights, and the gradient goes on through them (chain rule).
    """
    size = len(next(iter(batch.values()))) // count
    parts = [_Part(translator, {name: view[i : i + size] for name, view in batch.items()}, autocast)
             for i in range(0, count * size, size)]  # fmt: skip
    due = {name: move for name, move in moves.items() if (step + 1) % move.player.every == 0}
    before: dict[str, Tensor] = {}  # weights of the players that have moved
    found: dict[str, Tensor] = {}
    for name, move in due.items():
        each = [part.backward(move, 1 / count, before) for part in parts]
        terms = {term: torch.stack([one[term] for one in each]).mean(0) for term in each[0]}
        if move.skips(terms):
            move.optimizer.zero_grad()
        else:
            if move is not list(due.values())[-1]:
                before |= _copied(translator, move)
            move.update(rate)
        found |= {f"{name}/{term}": loss for term, loss in terms.items()}
    return found


class _Part:
    """A part of a step's batch, with the values of its views once they are known."""

    def __init__(self, translator: Translator, batch: Views, autocast: Callable[[], AbstractContextManager]) -> None:
        self.translator, self.batch, self.autocast = translator, batch, autocast
        self.values: Views = {}
        self.computed: list[str] = []  # views with a graph
        self.random: list[Tensor] = []

    def backward(self, move: Move, share: float, before: dict[str, Tensor]) -> Views:
        """Add ``share`` of the gradient of a player's loss to its weights; return the detached terms.

        ``before`` are the weights from before the step of those players that have moved.
        """
        if self.values:
            return self._of_values(move, share, before)
        self.random = _random_states(self.batch)
        with self.autocast():
            views = self._masked(self.translator(self.batch))
        self.computed = [name for name, view in views.items() if view.requires_grad]
        with self.autocast():
            terms = move.player.loss(views)
        self.values = {name: view.detach() for name, view in views.items()}
        move.backward(terms, share)
        return {name: term.detach() for name, term in terms.items()}

    def _of_values(self, move: Move, share: float, before: dict[str, Tensor]) -> Views:
        views = {name: value.detach() for name, value in self.values.items()}
        leaves = {name: views[name].requires_grad_() for name in self.computed}
        with self.autocast():
            terms = move.player.loss(views)
        move.backward(terms, share, list(leaves.values()))
        self.values |= {name: view.detach() for name, view in views.items()}
        slopes = {name: leaf.grad for name, leaf in leaves.items() if leaf.grad is not None}
        if slopes:
            with self._repeated(), self.autocast():
                views = self._masked(functional_call(self.translator, before, (self.batch,)))
            torch.autograd.backward([views[name] for name in slopes], list(slopes.values()), inputs=move.parameters)
        return {name: term.detach() for name, term in terms.items()}

    def _masked(self, views: Views) -> Views:
        return masked(views, self.batch, self.translator.data == "pairs")

    @contextmanager
    def _repeated(self) -> Iterator[None]:
        """Draw the random numbers of the first time, and leave the running averages of batch norm as they are."""
        norms = [module for module in self.translator.modules() if isinstance(module, nn.BatchNorm2d)]
        now = _random_states(self.batch)
        _set_random_states(self.random)
        try:
            with steady(norms):
                yield
        finally:
            _set_random_states(now)


def _copied(translator: Translator, move: Move) -> dict[str, Tensor]:
    """Return copies of a player's weights by their names in the translator."""
    own = {id(parameter) for parameter in move.parameters}
    return {name: p.detach().clone() for name, p in translator.named_parameters() if id(p) in own}


def _random_states(batch: Views) -> list[Tensor]:
    """Return the states of the generators that a forward pass draws from: the CPU's, and that of the batch's GPU."""
    device = next(iter(batch.values())).device
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]


def _set_random_states(states: list[Tensor]) -> None:
    torch.set_rng_state(states[0])
    for state in states[1:]:
        torch.cuda.set_rng_state(state)
