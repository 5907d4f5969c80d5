"""Training aids of generative adversarial networks: options of several methods, each with a value that turns it off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from i2i.gan import Adversarial, Critic, wide
from i2i.translators.base import Views


@dataclass(frozen=True)
class Aids:
    """Training aids of a game, off at 0. Label smoothing, which belongs to the objective, is in ``gan``.

    Raises ValueError for a negative value, for ``minibatch`` under a gradient penalty, and for ``balance`` of an
    objective whose losses have no lower bound.
    """

    gan: Adversarial
    noise: float = 0.0
    """Standard deviation of the noise added to every image that D sees, real or generated, in the loss of either
    player (Arjovsky & Bottou 2017, arXiv:1701.04862, section 3)."""
    minibatch: int = 0
    """Kernels of minibatch discrimination; see i2i.networks.minibatch."""
    matching: float = 0.0
    """Weight of feature matching in G's loss (Salimans et al. 2016, arXiv:1606.03498, section 3.1)."""
    balance: float = 0.0
    """D does not move in a step in which its term "gan" is below this."""

    def __post_init__(self) -> None:
        for name in ("noise", "minibatch", "matching", "balance"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it cannot be negative; 0 turns it off")
        if self.minibatch and any(rule.penalty for rule in self.gan.rules):
            raise ValueError(
                f"minibatch discrimination compares the images of a batch, and constraint {self.gan.constraint} limits "
                "the slope at each image by itself; choose minibatch=0, or constraint none, clip or spectral"
            )
        if self.balance and self.gan.objective == "wgan":
            raise ValueError(
                "balance stops D while its loss is small, and the loss of objective wgan has no least value; choose "
                "balance=0 or another objective"
            )

    def seen(self, D: Callable, parts: Sequence[int] = ()) -> Callable:
        """Return D as a function of images without noise and changes, which it makes itself; see Adversarial.seen."""
        return self.gan.seen(_Noisy(D, self.noise) if self.noise else D, parts)

    def matched(self, features: Critic, real: Tensor, fake: Tensor) -> Views:
        """Return G's term: the squared difference of the mean features [n, f] of both sets, averaged over f.

        The paper sums over the features; the mean does not depend on the width of the network.
        """
        with torch.no_grad():
            goal = wide(features(real)).mean(0)
        return {"matching": self.matching * mse_loss(wide(features(fake)).mean(0), goal)}

    def skip(self) -> Callable[[Views], Tensor] | None:
        """Function of D's terms that is true while D is ahead, see ``Player.skip``; None without a balance."""
        return partial(_ahead, self.balance) if self.balance else None


class _Noisy:
    """A discriminator as a function of images without noise, which it adds itself."""

    def __init__(self, D: Callable, std: float) -> None:
        self.D, self.std = D, std
        self.remembers: bool = getattr(D, "remembers", False)  # see i2i.gan.scored

    def __call__(self, x: Tensor, *others: Any) -> Any:
        return self.D(x + self.std * torch.randn_like(x), *others)


def _ahead(balance: float, terms: Views) -> Tensor:
    return terms["gan"] < balance
