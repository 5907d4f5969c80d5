"""Export of a trained network to one self-describing ONNX file, compared with PyTorch before it is written."""

from i2i.errors import ExportError
from i2i.exporter.writer import choose, default_path, directions, export, export_network

__all__ = ["ExportError", "choose", "default_path", "directions", "export", "export_network"]
