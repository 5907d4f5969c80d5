"""Compiled networks (``torch.compile``), with CUDA graphs where asked for."""

from __future__ import annotations

from typing import Any

from i2i.engine.checkpointing import networks
from i2i.gan import rules_on
from i2i.translators import Translator

OPTIONS: dict[str, dict[str, Any]] = {"on": {}, "graphs": {"mode": "reduce-overhead"}}
"""Options of ``torch.compile`` by the values of the setting."""


def compile_networks(translator: Translator, how: str) -> None:
    """Compile the networks of a translator in place; they do so at their first pass. Copies are not compiled.

    A critic under a gradient penalty is left as it is: compiled networks have no second derivative.
    """
    for net in networks(translator).values():
        if not any(rule.penalty for rule in rules_on(net) or ()):
            net.compile(dynamic=False, **OPTIONS[how])
