"""Import of third-party generators: recognised by tensor names and shapes, rebuilt, and stored as runs."""

from i2i.importer.runs import import_checkpoint, load_checkpoint

__all__ = ["import_checkpoint", "load_checkpoint"]
