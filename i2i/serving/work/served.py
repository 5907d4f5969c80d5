"""One loaded model, in use by any number of requests."""

from __future__ import annotations

import hashlib
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np

from i2i.runtime.errors import TooLargeError
from i2i.runtime.jobs.parallel import Infer, ParallelInference
from i2i.runtime.memory.batcher import Batcher
from i2i.runtime.model.model import Model
from i2i.runtime.model.styles import encoder_path
from i2i.serving.work.ticket import Ticket
from i2i.spec import Spec

WARM_SIDES = (64, 256, 513)
"""Sides in pixels of the images with which a model is run before it gets requests. The last opens the session that a
processor uses for large images; opened later, it would read a file that may have been replaced since."""
MOST_BATCHERS = 16
"""Pairs of domain and style whose images a GPU gathers in batches; images of any other run one at a time."""

Stamp = tuple[tuple[int, int, int], ...]
"""Inode, time and size of a model's files, by which a change is seen."""


class Served:
    """A model and the functions that run it. A retired one is closed once the last request has released it.

    Attributes:
        name: by which requests ask for it.
        model: unbound: without a domain, and with its usual style.
        version: the first digits of the SHA-256 of its file.
        stamp: of its files when they were read.
    """

    def __init__(self, name: str, model: Model, stamp: Stamp) -> None:
        self.name, self.model, self.stamp = name, model, stamp
        self.version = hashlib.sha256(model.path.read_bytes()).hexdigest()[:12]
        self._parallel: ParallelInference | None = None
        self._batchers: dict[object, Batcher] = {}
        self._lock = threading.Lock()
        self._users, self._retired = 0, False

    def warm_up(self) -> None:
        """Run images of several sizes, which loads what the first inference of a session loads."""
        bound = first_way(self.model)
        for side in WARM_SIDES:
            with suppress(TooLargeError):  # the next images may be smaller
                bound.run(blank(self.model.spec, side))

    def share(self, parallel: ParallelInference) -> None:
        """Share threads and memory with other models."""
        self._parallel = parallel

    def infer_with(self, bound: Model, ticket: Ticket) -> Infer:
        """Return a function that runs this model, bound to a domain and a style, on one image [h, w, c].

        An image that waits for its turn is given up if ``ticket`` is, and on a CPU one in tiles between two of them.
        """
        assert self._parallel is not None
        if bound.on_cpu:
            return self._parallel.infer_with(bound.tiled("auto", progress=ticket.check), ticket.check)
        key = (bound.to, None if bound.style is None else bound.style.values)
        with self._lock:
            if key not in self._batchers:
                if len(self._batchers) >= MOST_BATCHERS:
                    return self._parallel.one_at_a_time(bound, ticket.check)
                batcher = self._parallel.infer_with(bound)
                assert isinstance(batcher, Batcher)
                self._batchers[key] = batcher
            return self._batchers[key]

    def acquire(self) -> None:
        """Keep the model open until ``release``."""
        with self._lock:
            self._users += 1

    def release(self) -> None:
        """End one use."""
        with self._lock:
            self._users -= 1
        self._close_if_idle()

    def retire(self) -> None:
        """Close the model once nobody uses it."""
        self._retired = True
        self._close_if_idle()

    def _close_if_idle(self) -> None:
        with self._lock:
            if not self._retired or self._users:
                return
            batchers, self._batchers = list(self._batchers.values()), {}
        for (
            batcher
        ) in batchers:  # not here: this may be the thread of the event loop, and a batcher ends its work first
            threading.Thread(target=batcher.close, daemon=True).start()


def stamp_of(path: Path) -> Stamp:
    """Return what changes when the model's file, or the style encoder beside it, is replaced. Raises OSError."""
    return tuple(_stat(file) for file in (path, encoder_path(path)) if file == path or file.exists())


def _stat(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_ino, status.st_mtime_ns, status.st_size


def first_way(model: Model) -> Model:
    """Return the model bound to its first domain, or without attributes; as it is if it has one direction."""
    spec = model.spec
    if not spec.domains:
        return model
    return model.toward([] if spec.attributes else spec.domains[0])


def blank(spec: Spec, side: int) -> np.ndarray:
    """Return a batch of one black image, [1, side, side, c], as the model takes it."""
    side = max(side, -(-spec.minimum // spec.multiple) * spec.multiple)
    return np.zeros((1, side, side, spec.source.channels), spec.dtype)
