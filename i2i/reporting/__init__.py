"""Reports of runs: one HTML page that needs no network, or a model card. Needs no PyTorch."""

from i2i.reporting.api import report

__all__ = ["report"]
