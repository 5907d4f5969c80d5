"""Running averages of a model's normalisation statistics over the frames of a video.

A network that normalises by the frame's own statistics (``graphs.instance_norm``) makes the whole result brighter or
darker when a part of the frame changes. Here a frame is normalised by a weighted mean: ``OWN`` of its own statistics,
the rest from an exponential average over the frames up to ``LAG`` before it, within the scene. The lag allows ``LAG``
frames to be translated in parallel; it does not depend on the number of workers, so neither do the pixels.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import numpy as np

from i2i.runtime.errors import ModelError, TooLargeError
from i2i.runtime.graphs.instance_norm import Statistics
from i2i.runtime.model.model import Model
from i2i.runtime.providers.table import open_session
from i2i.runtime.session import Output, Session
from i2i.runtime.video.frame.item import FramePosition
from i2i.runtime.video.temporal.frame_state import OrderedValues

OWN = 0.25
"""Share of a frame's own statistics, so that the mean stays close to the frame."""
LAG = 4


class RunningStatistics:
    """A model that normalises by running statistics, for frames from any thread."""

    def __init__(self, model: Model, seconds: float, side_by_side: bool) -> None:
        """Rewrite the model's graph.

        Args:
            model: bound to a domain if it has several.
            seconds: time constant of the average.
            side_by_side: True if frames are inferred in parallel; else one at a time, on all cores.

        Raises ModelError for a model without such normalisations, or whose graph cannot be rewritten.
        """
        forms = Statistics(model.executor.file.unchanged())
        if not forms.norms:
            raise ModelError("it has no normalisation by the statistics of an image")
        self.model, self._seconds = model, seconds
        self._channels = sum(norm.channels for norm in forms.norms)
        threads = max(1, -(-model.threads // LAG)) if side_by_side else model.threads
        self._form = forms.blended()
        self._session = open_session(self._form, model.provider, threads, side_by_side=side_by_side)
        self._wide: Session | None = None  # the same in float32, once a frame asks for it
        self._target = model.target
        self._turn: Any = nullcontext() if side_by_side else threading.Lock()
        self._turn_of_averages, self._turn_to_widen = threading.Lock(), threading.Lock()
        self._side_by_side = side_by_side
        self._own: dict[int, tuple[FramePosition, np.ndarray]] = {}
        self._next, self._average = 0, np.zeros(0, np.float32)
        self._averages = OrderedValues(LAG + 1)

    def __call__(self, image: np.ndarray, place: FramePosition) -> np.ndarray:
        """Translate [h, w, c], in the input format of the model's graph, to [h, w, c'].

        Raises TooLargeError, with what to do, for a frame that the memory does not hold at once.
        """
        given, share = np.zeros((1, self._channels, 2), np.float32), 1.0
        if not place.begins:
            given, share = self._averages.get(max(place.first, place.number - LAG)), OWN
        try:
            if not self._side_by_side:
                self.model.executor.check_size(image.shape[1], image.shape[0])
            with self._turn:
                result, used = self._infer(image, given, share)
        except TooLargeError as error:
            raise TooLargeError(f"{error}, or leave out --steady: its frames cannot be cut into tiles") from error
        self._tell(place, (used - (1 - share) * given) / np.float32(share))
        return result

    def fail(self, number: int) -> None:
        """Raise FrameFailedError in all threads that wait for that frame."""
        self._averages.fail(number)

    def _tell(self, place: FramePosition, own: np.ndarray) -> None:
        """Add the statistics of a frame to the average, in the order of the frames."""
        with self._turn_of_averages:
            self._own[place.number] = (place, own)
            while self._next in self._own:
                at, new = self._own.pop(self._next)
                if at.begins:
                    self._average = new
                else:
                    self._average = self._average + np.float32(-math.expm1(-at.step / self._seconds)) * (
                        new - self._average
                    )
                self._averages.put(self._next, self._average)
                self._next += 1

    def _infer(self, image: np.ndarray, given: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the result and the statistics used: their mean over the parts if the frame is inferred in parts."""
        blended = [_BlendedSession(self._session, given, share)]

        def in_float32() -> _BlendedSession:
            blended.append(_BlendedSession(self._session_in_float32(), given, share))
            return blended[-1]

        result = self.model.executor.run_in(blended[0], in_float32, image[None], self._target)
        return result[0], np.mean(blended[-1].used, axis=0)

    def _session_in_float32(self) -> Session:
        with self._turn_to_widen:
            if self._wide is None:
                self._wide = self.model.executor.open_in_float32(self._form)
            return self._wide


class _BlendedSession(Session):
    """A session of the ``blended`` form of a graph, with the interface of the model's own, for one frame.

    Attributes:
        used: float32 [1, sum of channels, 2] of each inference.
    """

    def __init__(self, session: Session, given: np.ndarray, share: float) -> None:
        self._session, self._further = session, {"own": np.array(share, np.float32), "given": given}
        self.provider, self.on_cpu, self.survives_fork = session.provider, session.on_cpu, session.survives_fork
        self.inputs = [port for port in session.inputs if port.name not in self._further]
        self.outputs = session.outputs[:1]
        self.used: list[np.ndarray] = []

    def run(self, feeds: Mapping[str, np.ndarray], output: Output | None = None) -> list[np.ndarray]:
        result, used = self._session.run({**feeds, **self._further})
        self.used.append(used)
        return [result]

    def largest_batch(self, side: int) -> int | None:
        return self._session.largest_batch(side)
