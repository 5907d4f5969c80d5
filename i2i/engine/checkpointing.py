"""Activation checkpointing (Chen et al. 2016, arXiv:1604.06174): memory for computation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils import checkpoint as pytorch

from i2i.gan import rules_on
from i2i.translators import Translator


def networks(translator: Translator) -> dict[str, nn.Module]:
    """Return the networks of a translator, critics included, by their names."""
    found: dict[str, nn.Module] = {}
    for name, child in translator.named_children():
        parts = child.named_children() if type(child) is nn.ModuleList else [("", child)]
        found |= {f"{name}.{part}" if part else name: net for part, net in parts}
    return {name: net for name, net in found.items() if any(True for _ in net.parameters())}


def checkpoint(translator: Translator) -> None:
    """Make the networks of a translator keep only their inputs and results for the backward pass, in place.

    The rest is computed again there, one network at a time, with the same random numbers: results are the same.
    Critics are left as they are: they take little memory beside a generator, a gradient penalty differentiates them
    twice, and spectral normalisation changes them with each pass.
    """
    for net in networks(translator).values():
        if rules_on(net) is None:
            kind: Any = type(net)
            net.__class__ = _checkpointed(kind)


_CLASSES: dict[type[nn.Module], type[nn.Module]] = {}


def _checkpointed(kind: type[nn.Module]) -> type[nn.Module]:
    """Return the class with another ``forward``: unlike a function in an instance, deep copies take it along."""
    if kind in _CLASSES:
        return _CLASSES[kind]

    def forward(self: nn.Module, *given: Any, **named: Any) -> Any:
        once = partial(kind.forward, self)
        if not torch.is_grad_enabled():
            return once(*given, **named)
        norms = [module for module in self.modules() if isinstance(module, nn.BatchNorm2d)]
        contexts: dict[str, Any] = {"context_fn": lambda: (nullcontext(), steady(norms))} if norms else {}
        return pytorch.checkpoint(once, *given, use_reentrant=False, **contexts, **named)

    names = {"forward": forward, "__module__": kind.__module__, "__doc__": kind.__doc__}
    return _CLASSES.setdefault(kind, type(kind.__name__, (kind,), names))


@contextmanager
def steady(norms: Sequence[nn.BatchNorm2d]) -> Iterator[None]:
    """Leave the running averages of these norms as they are, while a pass through them is repeated."""
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0  # the share of the new statistics
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
