"""The time that a loaded model takes for an image on this machine."""

from __future__ import annotations

import time
from statistics import median

import numpy as np

from i2i.runtime.model.model import Model
from i2i.runtime.system.host import cores, cuda_devices, processor

SIDE, REPEATS = 256, 3


def milliseconds(model: Model, repeats: int = REPEATS) -> float:
    """Return the median time in milliseconds from one image to its result, after a first one that does not count.

    The image is black, ``SIDE`` x ``SIDE``, or of the one size that the model takes. A model of several domains
    translates to its first.
    """
    spec = model.spec
    if spec.domains and model.to is None:
        model = model.toward(spec.domains[:1] if spec.attributes else spec.domains[0])
    height, width = (spec.form.size if spec.form is not None else None) or (SIDE, SIDE)
    image = np.zeros((height, width, spec.source.channels), spec.source.dtype)
    times = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        model(image)
        times.append(1000 * (time.perf_counter() - began))
    return median(times[1:])


def machine(provider: str) -> str:
    """Return the part of this machine that a provider computes on: "cpu, 2 cores of NAME", or the graphics card."""
    if provider in ("cuda", "tensorrt"):
        return f"{provider}, {next(iter(cuda_devices()), 'an unknown card')}"
    return f"{provider}, {cores()} core{'s' * (cores() != 1)} of {processor()}"
