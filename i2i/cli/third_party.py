"""Options for third-party models, shared by ``translate`` and ``describe``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from i2i.cli.options import options_of
from i2i.runtime.adapters.options import NAMES, Told


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add an option for each field of :class:`Told`."""
    return options_of(Told, "Third-party models", command)


def take(options: dict[str, Any]) -> Told:
    """Remove these options from ``options`` and return them. Raises ValueError for invalid values."""
    return Told(**{name: options.pop(name) for name in NAMES})
