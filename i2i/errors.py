"""Base class of the errors that i2i raises by design."""

from __future__ import annotations

MAY_PASS = 75
"""Exit status after a fault that may pass, where the same command continues: EX_TEMPFAIL of sysexits.h."""


class I2IError(ValueError):
    """Base class of i2i's errors: a model, an image, a video, a dataset or a provider that cannot be used.

    ``str(error)`` is one line that says what happened, what was expected and how to fix it. Arguments of a wrong type
    or value raise a plain TypeError or ValueError, and files that cannot be opened or written an OSError.
    """


class DataError(I2IError):
    """A dataset that cannot be trained on; the message names the files."""


class ExportError(I2IError):
    """An export that fails its checks; no file is written."""

    exit_status = 1
