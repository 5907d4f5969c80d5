"""Steady pictures: what does not change in the source does not change in the result.

Two things are averaged from frame to frame. The statistics by which the model normalises (``running_statistics``), so
that a result does not become brighter or darker as a whole because a part of the frame changed. And the result itself:
where the source is unchanged, possibly at another place (``optical_flow``), the result is averaged with the one before.
With the translation O_t of the source I_t and the result R_t,

    R_t = O_t + w (R_{t-1} - O_t),
    w = exp(-step / seconds) exp(-(fade / DRIFT)^2) exp(-shows^2 ((change / CHANGE)^2 + (drift / DRIFT)^2)),

with R_{t-1} moved along the motion: a temporal average, as in noise filters, whose weight falls where the source
changes and is 0 at a scene cut. A change of the source counts as far as it shows: ``shows`` is the difference of the
two results in units of SHOWN levels, at most MOST. So noise in the source alone does not interrupt the average, what
remains of an old result is too faint to be seen, and ghosts disappear sooner; a fade of the whole picture always
counts. The source is compared with its own average of the same weights, which is what the result shows, so that a slow
change is not missed for being small in each frame. Two exceptions keep stills sharp:

- Where nothing moves and the results differ strongly (such as other brush strokes in each frame), their mean is no
  picture that the model makes. There the result is kept unchanged until the source changes.
- Where something moves, fine detail is averaged with the share FINE of w, since repeated warping blurs it.

The aim is that of Lai et al., Learning Blind Video Temporal Consistency (arXiv:1808.00449), without their network.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction

import cv2
import numpy as np

from i2i.runtime.errors import ModelError
from i2i.runtime.model.model import Model
from i2i.runtime.video.frame.colour import thumbnail
from i2i.runtime.video.frame.item import FramePosition, Item
from i2i.runtime.video.temporal.frame_state import OrderedValues
from i2i.runtime.video.temporal.optical_flow import Motion, MotionInput, carried, largest
from i2i.runtime.video.temporal.running_statistics import RunningStatistics
from i2i.runtime.video.temporal.scene_cuts import HEIGHT, WIDTH, FadeIn, SceneCuts

CHANGE, DRIFT = 12.0, 2.5  # levels of 255 at which w has fallen to 1 / e, where shows is 1
SHOWN, MOST = 12.0, 1.5  # levels of 255 by which results differ where shows is 1, and the most that it is
UNLIKE = 12.0  # levels of 255 from which on results are held and not mixed, wholly from twice as many
FINE = 0.7  # the share of w for what is finer than 5 pixels, where it moves

Infer = Callable[[np.ndarray], np.ndarray]


class Smoother:
    """State of one job's smoothing, for frames from any thread, numbered by ``places``."""

    def __init__(self, model: Model, seconds: float, side_by_side: bool, longest: int) -> None:
        """Prepare the smoothing of a job.

        Args:
            side_by_side: True if frames are inferred in parallel.
            longest: longer side of a frame in pixels.

        ``note`` becomes a text if the model's statistics cannot be averaged.
        """
        self._seconds = seconds
        self._carried: RunningStatistics | None = None
        self.note: str | None = None
        try:
            if model.tile.how not in ("auto", "off") and longest > model.tile.tiling(model.spec).side:
                raise ModelError("its frames are translated in tiles")
            self._carried = RunningStatistics(model, seconds, side_by_side)
        except ModelError as error:
            self.note = (
                f"{model.path.name}: no statistics are carried from frame to frame ({error}); its results alone are "
                "steadied, where the source does not change"
            )
        self._memories = OrderedValues()

    def places(self, items: Iterable[Item], time_base: Fraction) -> Iterator[Item]:
        """Yield the items, each frame with its position."""
        cuts, fade, number, first, last = SceneCuts(), FadeIn(), 0, 0, 0.0
        for item in items:
            if item.frame is not None:
                second = float(item.times[0] * time_base)
                small = thumbnail(item.frame, WIDTH, HEIGHT)
                cut, rises = cuts.begins(small), fade.rises(small, second)
                if cut or rises:
                    first = number
                item.place = FramePosition(number, first, second - last, cut)
                number, last = number + 1, second
            yield item

    def infer(self, place: FramePosition, infer: Infer) -> Infer:
        """Return the function that infers that frame: with running statistics if the model has any, else ``infer``."""
        model = self._carried
        return infer if model is None else lambda image: model(image, place)

    def blend(self, place: FramePosition, source: np.ndarray, result: np.ndarray) -> np.ndarray:
        """Return the smoothed result [h', w', 3] of a frame, uint8 or uint16, from its source and its translation."""
        memory = SmoothedFrame(MotionInput.of(source), result)
        before: SmoothedFrame | None = None if place.number == 0 else self._memories.get(place.number - 1)
        if before is not None and not place.cut and before.result.shape == result.shape:
            memory = memory.mixed(before, float(np.exp(-place.step / self._seconds)), np.iinfo(result.dtype).max)
        self._memories.put(place.number, memory)
        return memory.shown(result.dtype)

    def fail(self, place: FramePosition) -> None:
        """Raise FrameFailedError in all threads that wait for this frame, which failed."""
        for line in (self._memories, self._carried):
            if line is not None:
                line.fail(place.number)


class SmoothedFrame:
    """Temporal averages of the result and of its source, with the same weights.

    So the source is compared not with the frame before but with everything that the result is made of, and many changes
    that are too small to be seen one by one are not missed.
    """

    def __init__(self, seen: MotionInput, result: np.ndarray, source: np.ndarray | None = None) -> None:
        self.seen = seen
        self.result = result.astype(np.float32)  # a mixture that is rounded in each frame stands still too early
        self.source = seen.colour.astype(np.float32) if source is None else source

    def shown(self, kind: np.dtype) -> np.ndarray:
        """Return the result, rounded and clipped."""
        return cv2.add(self.result, 0.0, dtype=cv2.CV_8U if kind == np.uint8 else cv2.CV_16U)  # type: ignore[call-overload]

    def mixed(self, before: SmoothedFrame, most: float, peak: float) -> SmoothedFrame:
        """Return the average with the frame before, which gets at most the weight ``most``."""
        motion = Motion.between(self.seen, before.seen)
        size = motion.still.shape[::-1]
        large = motion.at(*self.result.shape[:2])
        off = carried(before.result, large.flow) - self.result
        levels = cv2.resize(largest(np.abs(off)), size, interpolation=cv2.INTER_AREA) * np.float32(255 / peak)
        shows = np.minimum(cv2.blur(levels, (5, 5)) / SHOWN, MOST)
        most *= math.exp(-((motion.fade / DRIFT) ** 2))
        same = cv2.exp(-((shows * cv2.magnitude(motion.change / CHANGE, motion.drift / DRIFT)) ** 2))
        hold = np.clip((cv2.blur(levels, (9, 9)) - UNLIKE) / UNLIKE, 0, 1) * motion.still
        weight = most * same * (1 - hold) + np.clip(3 * same - 1, 0, 1) * hold
        narrow = cv2.blur(np.where(motion.still, weight, FINE * weight), (3, 3))
        wide, fine = (cv2.merge([cv2.resize(each, large.still.shape[::-1])] * 3) for each in (weight, narrow))
        if motion.still.all():
            result = self.result + wide * off
        else:
            coarse = cv2.blur(off, (5, 5))
            result = self.result + wide * coarse + fine * (off - coarse)
        source = self.source + weight[..., None] * (carried(before.source, motion.flow, cv2.INTER_LINEAR) - self.source)
        return SmoothedFrame(MotionInput.of(np.rint(source).astype(np.uint8)), result, source)
