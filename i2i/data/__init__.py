"""Folders of images as batches of tensors: what a folder means, what is wrong with it, and what each step sees.

``read_folders`` decodes every file once and names what is wrong before training starts. After that a batch is a pure
function of (seed, step): a resumed run sees what the unbroken one would have seen.
"""

from i2i.data.batches import Batches
from i2i.data.dataset import Dataset, check, has_split, read_folders
from i2i.data.inspection import Report
from i2i.data.transforms import View
from i2i.errors import DataError

__all__ = ["Batches", "DataError", "Dataset", "Report", "View", "check", "has_split", "read_folders"]
