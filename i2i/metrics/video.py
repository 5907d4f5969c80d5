"""Metrics of a translated video beside its source."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from i2i.metrics.estimate import Estimate, NotMeasurableError
from i2i.runtime.video.temporal.flicker import Flicker


def flicker(frames: Iterable[tuple[np.ndarray, np.ndarray]]) -> Estimate:
    """Return by how many levels of 255 a video changes from frame to frame where its source does not.

    ``frames`` are pairs of source and result, RGB [h, w, 3]; every pair of successive ones is measured, by
    :class:`Flicker`, which has the definition. The source as its own result gives the yardstick: its noise.
    Raises NotMeasurableError where no two successive frames show the same scene.
    """
    measured = Flicker(every=1)
    for source, result in frames:
        measured(source, result, 0.0)
    if measured.of_result is None:
        raise NotMeasurableError("flicker needs two successive frames of the same scene")
    return Estimate(measured.of_result)
