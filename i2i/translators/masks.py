"""Translations within masks: what lies outside of a mask stays as it is in the source."""

from __future__ import annotations

import re
from collections.abc import Sequence

from torch import Tensor

from i2i.text import plural
from i2i.translators.base import Views


def masked(views: Views, batch: Views) -> Views:
    """Return views in which each translation is that within the mask of its source, and the source outside.

    ``batch`` has the masks [n, 1, h, w] from 0 to 1 of x as "mask" and of y as "mask_y", or neither. So the players
    judge what a user pastes back. Reconstructions are those of the whole translation. Raises ValueError for a
    translation with other channels than its source.
    """
    views = dict(views)
    for source, name in (("x", "mask"), ("y", "mask_y")):
        if name in batch and source in views:
            for view in translations([name for name, view in views.items() if view.ndim == 4], source):
                views[view] = _within(batch[name], views[view], views[source], view)
    return views


def translations(names: Sequence[str], source: str) -> list[str]:
    """Return the views that are translations of a source: the one after it, and those that differ in a number."""
    following = names[names.index(source) + 1 :]
    if not following or following[0] in ("x", "y"):
        return []
    return [name for name in following if _numberless(name) == _numberless(following[0])]


def _numberless(name: str) -> str:
    return re.sub(r"\d+", "#", name)


def _within(mask: Tensor, made: Tensor, source: Tensor, name: str) -> Tensor:
    if made.shape != source.shape:
        raise ValueError(
            f"{name} has {plural(made.shape[1], 'channel')} and its source {source.shape[1]}, so it cannot be put into "
            "that; train without masks, or with --channels 3"
        )
    return mask * made + (1 - mask) * source
