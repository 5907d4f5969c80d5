"""Training: the settings of a run, the loop, and runs on disk."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from i2i.engine.api import train
    from i2i.engine.weights import load_generators, load_translator

__all__ = ["load_generators", "load_translator", "train"]

# Imported on first use, so that the command line reads the settings without importing PyTorch.
_HOMES = {"train": "i2i.engine.api", "load_generators": "i2i.engine.weights", "load_translator": "i2i.engine.weights"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
