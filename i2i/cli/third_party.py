"""Options for third-party models, shared by ``translate`` and ``describe``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from i2i.cli.options import options_of
from i2i.runtime.adapters.options import NAMES, ModelOptions


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add an option for each field of :class:`ModelOptions`."""
    return options_of(ModelOptions, "Third-party models", command)


def take(options: dict[str, Any]) -> ModelOptions:
    """Remove these options from ``options`` and return them. Raises ValueError for invalid values."""
    return ModelOptions(**{name: options.pop(name) for name in NAMES})
