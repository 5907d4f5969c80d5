"""The statistics of a model's normalisations, carried from frame to frame.

A network that normalises by the frame's own statistics (``i2i.runtime.statistics``) makes all of a result brighter or
darker when a part of the frame changes. Here a frame is normalised by a mixture: ``OWN`` of its own statistics, and
for the rest an exponential average of those of the frames up to ``LAG`` before it, within the scene. The lag lets
``LAG`` frames be translated side by side; it is the same however many are, so the pixels are too.
"""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np

from i2i.runtime import pixels, targets
from i2i.runtime.errors import ModelError, TooLargeError
from i2i.runtime.foreign import ends
from i2i.runtime.graph import LARGE
from i2i.runtime.providers import open_session, quietly, reason
from i2i.runtime.session import Model
from i2i.runtime.statistics import Statistics
from i2i.runtime.video.line import Line, Place

OWN = 0.25
"""The share of a frame's own statistics, which keeps what it is normalised by near to what it shows."""
LAG = 4


class Carried:
    """A model under statistics that are carried, for frames from any thread."""

    def __init__(self, model: Model, seconds: float, area: int) -> None:
        """``seconds``: the time constant of the average; ``area``: pixels of a frame.

        Raises ModelError for a model whose statistics cannot be taken out, or that has none.
        """
        forms = Statistics(model.path)
        if not forms.norms:
            raise ModelError("it has no normalisation by the statistics of an image")
        self.model, self._seconds = model, seconds
        self._channels = sum(norm.channels for norm in forms.norms)
        small = area <= LARGE
        threads = max(1, -(-model.threads // LAG)) if small else model.threads
        self._session = open_session(forms.blended(), model.provider, threads, small)
        self._target = None if model.to is None else targets.vector(model.spec, model.to)
        self._turn, self._turn_of_averages = threading.Lock(), threading.Lock()
        self._alone = not small or not model.on_processor
        self._own: dict[int, tuple[Place, np.ndarray]] = {}
        self._next, self._average = 0, np.zeros(0, np.float32)
        self._averages = Line(LAG + 1)

    def __call__(self, image: np.ndarray, place: Place) -> np.ndarray:
        """[h, w, c] as the model's graph takes it, to [h, w, c']."""
        given, share = np.zeros((1, self._channels, 2), np.float32), 1.0
        if not place.begins:
            given, share = self._averages.get(max(place.first, place.number - LAG)), OWN
        if self._alone:
            self._check_room(image)
            with self._turn:
                result, used = self._infer(image, given, share)
        else:
            result, used = self._infer(image, given, share)
        self._tell(place, (used - (1 - share) * given) / np.float32(share))
        return result

    def _check_room(self, image: np.ndarray) -> None:
        """TooLargeError, with what to do, for a frame that the processor's memory does not hold at once."""
        try:
            self.model.graph.check_room(image.shape[1], image.shape[0], self._target)
        except TooLargeError as error:
            raise TooLargeError(f"{error}, or leave out --steady: its frames cannot be cut into tiles") from error

    def fail(self, number: int) -> None:
        """Lets all frames go that wait for that one."""
        self._averages.fail(number)

    def _tell(self, place: Place, own: np.ndarray) -> None:
        """The statistics of a frame, which are averaged in the order of the frames."""
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
        """The result, and the statistics that were used; the mean of those of its parts where it goes in parts."""
        further: dict[str, Any] = {"own": np.array(share, np.float32), "given": given}
        spec, used = self.model.spec, []

        def infer(array: np.ndarray) -> np.ndarray:
            names = [node.name for node in self._session.get_inputs()]
            feeds = {names[0]: np.ascontiguousarray(array), **further}
            if self._target is not None:
                feeds[names[1]] = self._target
            try:
                result, statistics = self._session.run(None, feeds, quietly())
            except Exception as error:  # ONNX Runtime's errors have no common class but this
                shape = " x ".join(map(str, array.shape))
                raise ModelError(f"{self.model.path.name} failed on a frame [{shape}]: {reason(error)}") from error
            used.append(statistics)
            return result

        if spec.form is not None:
            result = ends.translate(infer, image[None], spec)
        elif spec.io == "tensor":
            result = pixels.from_tensor(infer(pixels.to_tensor(image[None], spec)), spec)
        else:
            result = infer(image[None])
        return result[0], np.mean(used, axis=0)
