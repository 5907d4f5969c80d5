"""What the command line may say of a model that others made: the options that ``translate`` and ``describe`` share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from i2i.cli.options import options_of
from i2i.runtime.adapters.options import NAMES, ModelOptions


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds an option for each field of :class:`ModelOptions`."""
    return options_of(ModelOptions, "Third-party models", command)


def taken_from(options: dict[str, Any]) -> ModelOptions:
    """What ``options`` say of the model, taken out of them. Raises ValueError for what has no meaning."""
    return ModelOptions(**{name: options.pop(name) for name in NAMES})
