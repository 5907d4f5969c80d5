"""The base class of translators: players that each own networks and minimise named loss terms."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from i2i.spec import Prior

Views = dict[str, Tensor]
"""Tensors of a step, keyed as in the paper: "x", "G(x)", "F(G(x))"; images are [n, c, h, w] in [-1, 1]."""


@dataclass(frozen=True)
class Player:
    """One side of the game: its networks, and the loss terms that it reduces."""

    net: nn.Module
    loss: Callable[[Views], Views]
    """Function of the views that returns named, weighted terms; their sum is minimised."""
    every: int = 1
    """Number of steps per move (n_critic)."""
    lr: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    weight_decay: float = 0.0
    """L2 penalty of Adam, added to the gradient."""
    shared: Collection[Tensor] = ()
    """Numbers of a move, which are replaced by their means over all processes before ``after``."""
    after: Callable[[], None] | None = None
    """Function called after each move (weight clipping)."""
    skip: Callable[[Views], Tensor] | None = None
    """Function of the detached terms, averaged over all processes: a true value cancels the move."""

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"a player cannot move once per {self.every} steps; expected at least 1")


class Translator(nn.Module):
    """Networks that translate images between domains, and the game that trains them."""

    data: ClassVar[Literal["pairs", "unpaired", "domains", "images", "captions"]]
    """Content of a batch: "pairs" (x and y show the same scene), "unpaired", "domains": x and its labels c, float32
    [n, domains], one-hot or of attributes; "images": x, and its labels c if the data has any; or "captions": x, text
    and wrong, int64 [n, words]: a caption of each image and one of another image.
    """

    augment: ClassVar[bool] = True
    """True if training images are cropped and mirrored at random by default. A generator would learn that as part of
    the data."""

    conditional: ClassVar[bool] = True
    """True if a generator takes labels c beside z where the data has labels."""

    progress: float = 0.0
    """Share of a run's steps that are done, which the loop sets before each step."""

    authors: ClassVar[dict[str, Any]]
    """Settings of the authors' run, used by ``--preset paper``."""

    good: ClassVar[dict[str, Any]] = {}
    """Hyper-parameters of ``--preset good`` that are this method's own."""

    def forward(self, batch: Views) -> Views:
        """Return every image of a step, each computed once."""
        raise NotImplementedError

    def players(self) -> dict[str, Player]:
        """Return the players by name, in order of play."""
        raise NotImplementedError

    def exports(self) -> dict[str, nn.Module]:
        """Networks to export, by direction: "a2b" or "b2a", "any" for a network of (x, c), "generate" for one of z,
        of (z, c) or of (z, text), or "energy" for one that scores images, of which only weights are kept.

        If the translator has a prior, "a2b" and "b2a" are networks of (x, style). Such a network may have a module
        ``of_style``, from an image of its target domain to the style, which is exported beside it.
        """
        raise NotImplementedError

    def foundations(self) -> dict[str, nn.Module]:
        """Return the parts of the networks to export, by direction, that are the exports of a finished run of the stage
        before, which ``--from`` names; none for a method of one stage.
        """
        return {}

    def prior(self) -> Prior | None:
        """Return what a generator's z, or the style of a translator, is made of; None for a translator without."""
        return None

    def critics(self) -> dict[str, nn.Module]:
        """Return the discriminator of each export's results, of y or of x and y together, which a student can learn
        from; none for a method without such.
        """
        return {}
