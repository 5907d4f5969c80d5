"""Image-to-image translation: from two folders of images to a deployed ONNX translator.

Public names are found on first use, so ``import i2i`` costs nothing, and running models never needs PyTorch.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from i2i.data import check
    from i2i.engine import train
    from i2i.errors import DataError, ExportError, I2IError
    from i2i.evaluation import evaluate
    from i2i.exporter import export
    from i2i.images import ImageError
    from i2i.importer import import_checkpoint
    from i2i.reporting import report
    from i2i.runtime import Generator, Model, ModelError, ProviderError, batches, generate, load, translate
    from i2i.runtime.video import VideoError
    from i2i.spec import Domain, Spec

__version__ = "0.1.0"

# From 1.29 on, ONNX Runtime's packages for Linux and macOS send usage data to their maker unless this is set before it
# is imported. Images and models are private; to send usage data, set the variable to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# Public name -> the module that defines it. No module directly under i2i may bear one of these names:
# importing it would silently replace the function.
_HOMES = {
    "check": "i2i.data",
    "train": "i2i.engine",
    "evaluate": "i2i.evaluation",
    "export": "i2i.exporter",
    "import_checkpoint": "i2i.importer",
    "report": "i2i.reporting",
    "batches": "i2i.runtime",
    "generate": "i2i.runtime",
    "load": "i2i.runtime",
    "translate": "i2i.runtime",
    "I2IError": "i2i.errors",
    "DataError": "i2i.errors",
    "ExportError": "i2i.errors",
    "ImageError": "i2i.images",
    "Generator": "i2i.runtime",
    "Model": "i2i.runtime",
    "ModelError": "i2i.runtime",
    "ProviderError": "i2i.runtime",
    "VideoError": "i2i.runtime.video",
    "Domain": "i2i.spec",
    "Spec": "i2i.spec",
}

__all__ = [
    "DataError", "Domain", "ExportError", "Generator", "I2IError", "ImageError", "Model", "ModelError", "ProviderError",
    "Spec", "VideoError", "__version__", "batches", "check", "evaluate", "export", "generate", "import_checkpoint",
    "load", "report", "train", "translate",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'i2i' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value  # later lookups do not come through here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
