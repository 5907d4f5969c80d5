"""Generators that others trained: recognised by names and shapes alone, rebuilt, and made runs of."""

from i2i.importer.recognition import Found, network
from i2i.importer.runs import import_checkpoint

__all__ = ["Found", "import_checkpoint", "network"]
