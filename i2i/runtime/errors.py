"""What can be wrong with a model or the machine it is to run on. Standard library only, so that naming them is free."""

from __future__ import annotations


class ModelError(ValueError):
    """A model file that cannot be used, or an image that the model cannot take."""


class TooLargeError(ModelError):
    """An image, or several at once, that the memory does not hold."""


class NonFiniteError(ModelError):
    """The model returned NaN or infinity: its weights are damaged, or its precision is too low for this image."""


class ProviderError(ValueError):
    """The execution provider that was asked for did not load."""

    exit_status = 4
