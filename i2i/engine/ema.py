"""Exponential moving average (EMA) of the weights of the exported networks."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

AVERAGED = ("running_mean", "running_var", "totals", "counts")
"""Buffers that are statistics of what the weights compute: of batch normalisation, and of the latent vectors of labels.
Beside averaged weights belong their averages; other buffers are copied."""


class EMA:
    """Average the weights of networks, and the statistics that belong to them, over the steps of a run.

    The decay is (1 + step) / (10 + step) until that reaches ``decay``, so that the first weights do not dominate a
    short run. With ``decay`` 0 the average equals the current weights.
    """

    def __init__(self, networks: dict[str, nn.Module], decay: float) -> None:
        self.decay = decay
        self.live = networks
        self.networks = {name: _copied(net) for name, net in networks.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Update the averages with the weights after step number ``step`` (from 0)."""
        weight = 1 - min(self.decay, (1 + step) / (10 + step)) if self.decay else 1.0
        for name, net in self.networks.items():
            torch._foreach_lerp_(list(net.parameters()), list(self.live[name].parameters()), weight)
            for (key, mean), live in zip(net.named_buffers(), self.live[name].buffers(), strict=True):
                if key.rpartition(".")[2] in AVERAGED:
                    mean.lerp_(live, weight)
                else:
                    mean.copy_(live)

    def state_dict(self) -> dict[str, dict]:
        return {name: net.state_dict() for name, net in self.networks.items()}

    def load_state_dict(self, state: dict[str, dict]) -> None:
        for name, net in self.networks.items():
            net.load_state_dict(state[name])


def _copied(net: nn.Module) -> nn.Module:
    """Return a deep copy without gradients. Tensors are cloned, which those without contents support as well."""
    copies: dict[int, Tensor] = {id(p): nn.Parameter(p.detach().clone(), False) for p in net.parameters()}
    return copy.deepcopy(net, copies | {id(buffer): buffer.clone() for buffer in net.buffers()})
