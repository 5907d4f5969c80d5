"""Steady pictures: what does not change in the source does not change in the result.

Two things are carried from frame to frame. The statistics by which the model normalises (``carried``), so that a result
is not brighter or darker as a whole because a part of the frame changed. And the result itself: where the source is
what it was in the frame before, if need be at another place (``motion``), the result is mixed with what was there. In
formulas, with the translation O_t of the source I_t and the result R_t,

    R_t = O_t + w (R_{t-1} - O_t),  w = exp(-step / seconds) exp(-(change / 8)^2) exp(-(drift / 1.5)^2),

with R_{t-1} moved along the motion. It is an average along the motion with a time constant in seconds, as temporal
filters against noise are, that lets go wherever the source does, and at a scene cut altogether. Where things move, fine
detail is mixed with half of w, since moving it again and again would blur it. The aim is that of
Lai et al., Learning Blind Video Temporal Consistency (arXiv:1808.00449), without their network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction

import cv2
import numpy as np

from i2i.runtime.errors import ModelError
from i2i.runtime.session import Model
from i2i.runtime.video.carried import Carried
from i2i.runtime.video.cuts import Cuts
from i2i.runtime.video.line import Line, Place
from i2i.runtime.video.motion import Motion, Seen, carried
from i2i.runtime.video.reader import Item

CHANGE, DRIFT = 8.0, 1.5  # levels of 255 at which w has fallen to 1 / e
FINE = 0.5  # the share of w for what is finer than 5 pixels, where it moves

Infer = Callable[[np.ndarray], np.ndarray]


class Steady:
    """The memory of one job; frames come to it from any thread, numbered in their order by ``places``."""

    def __init__(self, model: Model, seconds: float, area: int) -> None:
        """``area``: pixels of a frame. ``note`` says so if the model's statistics cannot be carried."""
        self._seconds = seconds
        self._carried: Carried | None = None
        self.note: str | None = None
        try:
            if model.tile.how not in ("auto", "off"):
                raise ModelError("its frames are translated in tiles")
            self._carried = Carried(model, seconds, area)
        except ModelError as error:
            self.note = (
                f"{model.path.name}: no statistics are carried from frame to frame ({error}); its results alone are "
                "steadied, where the source does not change"
            )
        self._seen, self._results = Line(), Line()

    def places(self, items: Iterable[Item], time_base: Fraction) -> Iterator[Item]:
        """The items as they come, each frame with its place in the film."""
        cuts, number, first, last = Cuts(), 0, 0, 0.0
        for item in items:
            if item.frame is not None:
                second = float(item.times[0] * time_base)
                if cuts(item.frame):
                    first = number
                item.place = Place(number, first, second - last)
                number, last = number + 1, second
            yield item

    def infer(self, place: Place, infer: Infer) -> Infer:
        """The model's graph for that frame, in place of ``infer`` if its statistics can be carried."""
        model = self._carried
        return infer if model is None else lambda image: model(image, place)

    def blend(self, place: Place, source: np.ndarray, result: np.ndarray) -> np.ndarray:
        """The steady result [h', w', 3] of a frame, uint8 or uint16, from its source [h, w, 3] and its translation."""
        motion = self._motion(place, source)
        mixed = result.astype(np.float32)  # which is kept: what is rounded in each frame stands still somewhere else
        before = None if place.number == 0 else self._results.get(place.number - 1)
        if before is not None and motion is not None and before.shape == mixed.shape:
            mixed = _mixed(mixed, before, motion, float(np.exp(-place.step / self._seconds)))
        self._results.put(place.number, mixed)
        return np.clip(np.rint(mixed), 0, np.iinfo(result.dtype).max).astype(result.dtype)

    def fail(self) -> None:
        """Lets all frames go that wait for one that failed."""
        for line in (self._seen, self._results, self._carried):
            if line is not None:
                line.fail()

    def _motion(self, place: Place, source: np.ndarray) -> Motion | None:
        seen = Seen.of(source)
        before = None if place.number == 0 else self._seen.get(place.number - 1)
        self._seen.put(place.number, seen)
        return None if before is None or place.begins else Motion.between(seen, before)


def _mixed(result: np.ndarray, before: np.ndarray, motion: Motion, most: float) -> np.ndarray:
    """float32 [h, w, 3], with ``before`` by at most the share ``most``."""
    weight = most * np.exp(-((motion.change / CHANGE) ** 2) - (motion.drift / DRIFT) ** 2)
    narrow = cv2.blur(np.where(motion.still, weight, FINE * weight), (3, 3))
    motion, shape = motion.at(*result.shape[:2]), result.shape[1::-1]
    wide, fine = (cv2.resize(each, shape)[..., None] for each in (weight, narrow))
    off = carried(before, motion.flow) - result
    if motion.still.all():
        return result + wide * off
    coarse = cv2.blur(off, (5, 5))
    return result + wide * coarse + fine * (off - coarse)
