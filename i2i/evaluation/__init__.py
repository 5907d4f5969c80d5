"""Evaluation of translators: what is measured, on which images, and by which protocol. Needs no PyTorch."""

from i2i.evaluation.api import evaluate
from i2i.evaluation.labelling import label_images
from i2i.evaluation.protocol import Protocol
from i2i.evaluation.results import Evaluation, Table

__all__ = ["Evaluation", "Protocol", "Table", "evaluate", "label_images"]
