"""Translations within masks: what lies outside of a mask stays as it is in the source."""

from __future__ import annotations

import re
from collections.abc import Sequence

from torch import Tensor

from i2i.text import plural
from i2i.translators.base import Views

MASKS = {"x": "mask", "y": "mask_y"}
"""Names of the masks [n, 1, h, w], from 0 to 1, of both sides."""


def masked(views: Views, batch: Views, pairs: bool = False) -> Views:
    """Return views in which each translation is that within the mask of its source, and the source outside.

    ``batch`` has ``MASKS``, or none; they are views too. So the players judge what a user pastes back. Of ``pairs``, y
    is the source outside as well: a discriminator would tell whole images of y from these at a glance. Reconstructions
    are those of the whole translation. Raises ValueError for a translation with other channels than its source.
    """
    views = dict(views)
    for source, name in MASKS.items():
        if name in batch and source in views:
            changed = translations([name for name, view in views.items() if view.ndim == 4], source)
            for view in [*changed, "y"] if pairs and source == "x" else changed:
                views[view] = within(batch[name], views[view], views[source], view)
    return views | {name: batch[name] for name in MASKS.values() if name in batch}


def translations(names: Sequence[str], source: str) -> list[str]:
    """Return the views that are translations of a source: the one after it, and those that differ in a number."""
    following = names[names.index(source) + 1 :]
    if not following or following[0] in ("x", "y"):
        return []
    return [name for name in following if _numberless(name) == _numberless(following[0])]


def _numberless(name: str) -> str:
    return re.sub(r"\d+", "#", name)


def within(mask: Tensor, made: Tensor, source: Tensor, name: str) -> Tensor:
    """Return the view ``made`` within the mask, and its source outside. Raises ValueError if their channels differ."""
    if made.shape != source.shape:
        raise ValueError(
            f"{name} has {plural(made.shape[1], 'channel')} and its source {source.shape[1]}, so it cannot be put into "
            "that; train without masks, or with --channels 3"
        )
    return mask * made + (1 - mask) * source
