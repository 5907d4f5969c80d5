"""Folders of images as batches of tensors.

``read_folders`` decodes every file once and reports what is wrong before training starts. After that a batch is a pure
function of (seed, step), so that a resumed run sees the same data as an uninterrupted one.
"""

from i2i.data.batches import Batches
from i2i.data.dataset import Dataset, check, has_split, read_folders
from i2i.data.inspection import Report
from i2i.data.transforms import View
from i2i.errors import DataError

__all__ = ["Batches", "DataError", "Dataset", "Report", "View", "check", "has_split", "read_folders"]
