"""Running exported models on images and folders. Never imports PyTorch.

The names are found on first use: ``i2i doctor`` must be able to look at an installation in which OpenCV or ONNX
Runtime does not import.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from i2i.runtime.api import translate
    from i2i.runtime.errors import ModelError, NonFiniteError, ProviderError
    from i2i.runtime.generation.api import generate
    from i2i.runtime.jobs.buckets import batches
    from i2i.runtime.jobs.folder import translate_folder
    from i2i.runtime.jobs.options import Options
    from i2i.runtime.model.generator import Generator
    from i2i.runtime.model.loading import load
    from i2i.runtime.model.model import Model

_HOMES = {
    "translate": "api",
    "ModelError": "errors",
    "NonFiniteError": "errors",
    "ProviderError": "errors",
    "generate": "generation.api",
    "batches": "jobs.buckets",
    "Options": "jobs.options",
    "translate_folder": "jobs.folder",
    "Generator": "model.generator",
    "load": "model.loading",
    "Model": "model.model",
}

__all__ = [
    "Generator", "Model", "ModelError", "NonFiniteError", "Options", "ProviderError", "batches", "generate", "load",
    "translate", "translate_folder",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'i2i.runtime' has no attribute {name!r}")
    value = getattr(import_module(f"i2i.runtime.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
