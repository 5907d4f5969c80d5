"""Folders of images as batches of tensors.

``read_folders`` decodes every file once and reports what is wrong before training starts. After that a batch is a pure
function of (seed, step), so that a resumed run sees the same data as an uninterrupted one.

Names are found on first use: ``layout``, which needs no PyTorch, also serves the evaluation.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from i2i.data.batches import Batches
    from i2i.data.dataset import Dataset, check, has_split, read_folders
    from i2i.data.inspection import Report
    from i2i.data.transforms import View
    from i2i.errors import DataError

_HOMES = {
    "Batches": "i2i.data.batches",
    "DataError": "i2i.errors",
    "Dataset": "i2i.data.dataset",
    "Report": "i2i.data.inspection",
    "View": "i2i.data.transforms",
    "check": "i2i.data.dataset",
    "has_split": "i2i.data.dataset",
    "read_folders": "i2i.data.dataset",
}

__all__ = ["Batches", "DataError", "Dataset", "Report", "View", "check", "has_split", "read_folders"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'i2i.data' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
