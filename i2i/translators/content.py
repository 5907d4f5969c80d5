"""Terms that keep the content of an image, for the generators of any unpaired method."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from torch import Tensor, nn
from torch.nn.functional import l1_loss, normalize

from i2i.gan import wide
from i2i.text import plural
from i2i.translators.base import Player, Translator, Views
from i2i.translators.masks import MASKS, within

Features = Callable[[Tensor], Sequence[Tensor]]
"""Function of images [n, c, h, w] in [-1, 1] that returns feature maps [n, c', h', w']."""


@dataclass(frozen=True)
class Content:
    """Weights of the terms, each 0 for none; ``features`` are those of the perceptual one."""

    identity: float = 0.0
    """|G(y) - y|: images of the target domain stay (Taigman et al. 2016, arXiv:1611.02200, eq. 6)."""
    geometry: float = 0.0
    """|G(x) - f'(G(f(x)))|, f a rotation by 90 degrees and f' that back (Fu et al. 2018, arXiv:1809.05852, eq. 4)."""
    perceptual: float = 0.0
    """Distance of x and G(x) in the features of a network: the mean squared difference of unit vectors at each place,
    averaged over the maps (Zhang et al. 2018, arXiv:1801.03924, eq. 1, without learned weights)."""
    features: Features | None = None

    def __post_init__(self) -> None:
        for name in ("identity", "geometry", "perceptual"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it cannot be negative; 0 turns it off")


def with_content(translator: Translator, content: Content) -> dict[str, Player]:
    """Return the players of a translator, of which those with its generators have the terms of ``content`` as well.

    Raises ValueError for a method that is not of unpaired images, for one whose generators also take a style where
    they are run again, and for identity between domains of different channels.
    """
    players = translator.players()
    if not (content.identity or content.geometry or content.perceptual):
        return players
    if translator.data != "unpaired":
        raise ValueError(
            f"identity, geometry and perceptual are terms of unpaired methods, and {type(translator).__name__} learns "
            f"from {translator.data}; leave them at 0"
        )
    if translator.prior() is not None and (content.identity or content.geometry):
        raise ValueError(
            f"identity and geometry run a generator of images alone, and that of {type(translator).__name__} also "
            "takes a style; leave them at 0"
        )
    found = dict(players)
    for direction, G in translator.exports().items():
        if direction not in ("a2b", "b2a"):
            continue
        first = next(G.parameters())
        name = next(n for n, player in players.items() if any(p is first for p in player.net.parameters()))
        sides = ("x", "y") if direction == "a2b" else ("y", "x")
        before = found[name]
        loss = partial(_loss, before.loss, partial(_terms, content, G, direction, *sides))
        found[name] = replace(before, loss=loss)
    return found


def _loss(own: Callable[[Views], Views], more: Callable[[Views], Iterator[tuple[str, Tensor]]], v: Views) -> Views:
    return {**own(v), **dict(more(v))}


def _terms(
    content: Content, G: nn.Module, direction: str, source: str, target: str, v: Views
) -> Iterator[tuple[str, Tensor]]:
    """Yield the terms of one generator; the view after its source is the translation of that."""
    names = list(v)
    x, y, made = v[source], v[target], v[names[names.index(source) + 1]]
    if content.identity:
        if x.shape[1] != y.shape[1]:
            raise ValueError(
                f"identity compares G({target}) with {target}, and the domains have "
                f"{plural(x.shape[1], 'channel')} and {plural(y.shape[1], 'channel')}; leave it at 0"
            )
        yield f"identity_{direction}", content.identity * l1_loss(wide(G(y)), y)
    if content.geometry:
        turned = G(x.rot90(1, (2, 3))).rot90(-1, (2, 3))
        if (mask := v.get(MASKS[source])) is not None:
            turned = within(mask, turned, x, "the turned translation")
        yield f"geometry_{direction}", content.geometry * l1_loss(wide(made), wide(turned))
    if content.perceptual:
        assert content.features is not None
        yield f"perceptual_{direction}", content.perceptual * distance(content.features, x, made)


def distance(features: Features, x: Tensor, made: Tensor) -> Tensor:
    """Return the perceptual distance of images; only ``made`` gets a gradient."""
    pairs = list(zip(features(x.detach()), features(made), strict=True))
    terms = [(normalize(wide(b)) - normalize(wide(a)).detach()).square().sum(1).mean() for a, b in pairs]
    return sum(terms[1:], terms[0]) / len(terms)
