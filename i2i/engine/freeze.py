"""Parts of a translator whose weights do not move."""

from __future__ import annotations

from torch import nn

from i2i.text import split_names
from i2i.translators import Translator


def freeze(translator: Translator, names: str) -> None:
    """Keep the weights, and the running averages of batch norm, of the named networks or parts of them as they are.

    Raises ValueError for a name that is none, with those that exist, and where a player has nothing left to train.
    """
    for name in split_names(names):
        part = dict(_parts(translator)).get(name)
        if part is None:
            raise ValueError(_unknown(translator, name))
        part.requires_grad_(False)
        for module in part.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 0.0  # the share of the new statistics
    for name, player in translator.players().items():
        if not any(p.requires_grad for p in player.net.parameters()):
            raise ValueError(f"freeze is {names}, which leaves player {name} nothing to train; freeze parts of it")


def _parts(module: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return the modules within a module that have weights, by their dotted names."""
    return [(name, part) for name, part in module.named_modules() if name and next(part.parameters(), None) is not None]


def _unknown(translator: Translator, name: str) -> str:
    """Return the error for an unknown name, with the parts of the innermost network that it names rightly."""
    known, within = dict(_parts(translator)), name.rpartition(".")[0]
    while within and within not in known:
        within = within.rpartition(".")[0]
    inner = [part for part, _ in known[within].named_children()] if within else []
    there = [f"{within}.{part}" for part in inner if f"{within}.{part}" in known]
    names = there or [part for part, _ in translator.named_children() if part in known]
    return f"freeze has no part {name!r}; there are {', '.join(names)}, and the parts within them"
