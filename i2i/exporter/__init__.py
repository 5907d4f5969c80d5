"""From a trained network to one ONNX file that needs no explanation, proven against PyTorch before it is there."""

from i2i.errors import ExportError
from i2i.exporter.writer import choose, default_path, directions, export, export_network

__all__ = ["ExportError", "choose", "default_path", "directions", "export", "export_network"]
