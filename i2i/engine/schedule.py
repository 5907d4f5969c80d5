"""Length of a run and its learning rate, as in the authors' pix2pix and CycleGAN."""

from __future__ import annotations

from i2i.engine.settings import Settings


def length(settings: Settings, images: int) -> tuple[int, int]:
    """Return the steps of a run over ``images`` per epoch, and the steps of one epoch (at least 1)."""
    epoch = max(images // settings.images, 1)
    return settings.steps or settings.epochs * epoch, epoch


def learning_rate(step: int, settings: Settings, images: int) -> float:
    """Return the factor on every learning rate at ``step`` (from 0).

    It is constant for the first half, then falls linearly: of n epochs, epoch e (from 1) has 1 - max(0, e - n/2) / (n/2
    + 1), so that of 200 the 101st has 100/101 and the last 1/101. A run whose length is given in steps falls by the
    step. With the schedule "constant" it is always 1.
    """
    if settings.schedule == "constant":
        return 1.0
    steps, epoch = length(settings, images)
    whole, now = (steps, step + 1) if settings.steps else (settings.epochs, step // epoch + 1)
    constant = whole // 2
    return 1 - max(0, now - constant) / (whole - constant + 1)
