"""Errors of models and execution providers."""

from __future__ import annotations

import shlex
from pathlib import Path

from i2i.errors import I2IError


class ModelError(I2IError):
    """A model file that cannot be used, or an image that the model cannot take."""


class TooLargeError(ModelError):
    """An image, or a batch, that does not fit into memory."""


class NonFiniteError(ModelError):
    """The model returned NaN or infinity: its weights are damaged, or its precision is too low for this image."""


class ProviderError(I2IError):
    """The requested execution provider did not load."""

    exit_status = 4


def describe_command(model: Path, arguments: str = "") -> str:
    """Return, for error messages, the `i2i describe` command that writes a copy of ``model`` beside it."""
    copy = model.with_name(f"{model.stem}-described.onnx")
    words = ["i2i describe", shlex.quote(str(model)), *([arguments] if arguments else []), "-o", shlex.quote(str(copy))]
    return f"`{' '.join(words)}`"
