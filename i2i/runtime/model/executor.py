"""Run an opened ``.onnx`` file on batches of pixels, within the memory of the machine."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

from i2i.runtime import processing
from i2i.runtime.adapters.options import NO_OPTIONS, ModelOptions
from i2i.runtime.errors import ModelError, TooLargeError
from i2i.runtime.graphs import spec_check
from i2i.runtime.graphs.onnx_file import OpenedFile, read_spec
from i2i.runtime.log import note
from i2i.runtime.memory.batch_size import MOST, BatchSize
from i2i.runtime.memory.estimate import ProcessorMemory, TensorSizes, device_memory
from i2i.runtime.model import targets
from i2i.runtime.model.inference import Inference
from i2i.runtime.providers.table import open_session
from i2i.runtime.session import Session
from i2i.spec import Spec
from i2i.text import printable

LARGE = 512 * 512
"""Pixels above which a processor runs one image at a time, on all cores and without keeping the memory."""


class Executor:
    """The sessions of one model file, for any number of threads of the process that opened it.

    Attributes:
        file: the file, for all that is opened later.
        spec: what the file takes and returns.
        provider: the provider that really runs the model, a key of ``PROVIDERS``.
        on_cpu: True if that provider runs on the processor.
        batch_size: how many images a GPU takes at once.
    """

    def __init__(
        self,
        path: Path,
        provider: str,
        threads: int,
        side_by_side: bool,
        options: ModelOptions = NO_OPTIONS,
        allow_fallback: bool = False,
    ) -> None:
        """Open ``path``.

        Args:
            options: what the user says about a third-party model.
            allow_fallback: let the processor run nodes that a GPU's provider cannot run.

        Raises ModelError for a file that cannot be run, and ProviderError for a provider that does not load.
        """
        self.path, self.threads, self.file = path, threads, OpenedFile(path)
        spec = targets.check_kind(read_spec(path), targets.TRANSLATOR, printable(path))
        session = open_session(
            path,
            provider,
            threads,
            side_by_side=side_by_side,
            precision="fp32" if spec is None else spec.precision,
            allow_fallback=allow_fallback,
        )
        if spec is None or spec.form is not None or options:
            from i2i.runtime.adapters import infer_spec  # third-party models only

            spec = infer_spec.settle(spec, session, path, options)
        else:
            spec_check.check(spec, session, path)
        self.spec: Spec = spec
        self.provider, self.on_cpu = session.provider, session.on_cpu
        # Nothing here refers to the executor: a cycle would keep a deleted model, and its share of the memory.
        infer = self._infer = Inference(path, spec)
        self.batch_size = BatchSize(lambda: device_memory(lambda side: infer.blank(session.for_measuring, side)))
        self.memory = ProcessorMemory(spec, infer.blank)
        self.tensor_sizes = TensorSizes(path, spec, infer.blank, lambda graph: open_session(graph, "cpu", threads))
        self._session = session
        self._session_for_large: Session | None = None  # on the processor, without its memory kept
        self._session_in_float32: Session | None = None  # for images on which float16 overflows
        self._overflow_noted = False
        self._process = os.getpid()
        self._lock = threading.Lock()

    def run(self, batch: np.ndarray, target: np.ndarray | None = None) -> np.ndarray:
        """Translate [n, h, w, c] in the source's channels, range and ``spec.dtype`` to the target's.

        ``target`` [1] or [1, D] is the second input of a model of several domains or with styles, the same for all
        images.

        Raises TooLargeError if the memory does not suffice, and ModelError for any other failure.
        """
        if not self._session.survives_fork and self._process != os.getpid():
            raise ModelError(
                f"{self.path.name} was opened by another process, of which this one is a fork without its threads: "
                "open the model after the fork, or with threads=1 on the CPU"
            )
        height, width = batch.shape[1:3]
        session = self._session
        if self._memory_grows and height * width > LARGE:
            session = self._open_for_large()
            self.memory.check(session, width, height)
        if not self.on_cpu:
            self.tensor_sizes.check(len(batch) * height * width)
        try:
            return self.run_in(session, self._open_in_float32, batch, target)
        except TooLargeError:
            self.batch_size.exceeded(len(batch), height * width)
            raise

    def run_in(
        self, session: Session, in_float32: Callable[[], Session], batch: np.ndarray, target: np.ndarray | None
    ) -> np.ndarray:
        """Run ``session``, of this file or of a rewritten graph with the same inputs and the same single output.

        Images on which float16 overflows are computed in the session that ``in_float32`` returns.
        """
        result = self._infer(session, batch, target)
        half = self.spec.precision == "fp16"
        beyond = [i for i, image in enumerate(result) if half and not processing.is_finite(image)]
        if beyond:
            result[beyond] = self._infer(in_float32(), batch[beyond], target)
        return result

    def open_graph(self, graph: bytes) -> Session:
        """Open a rewritten graph of the file on the same provider."""
        return open_session(graph, self.provider, self.threads, keep_memory=False)

    def open_in_float32(self, graph: bytes) -> Session:
        """Open the bytes of the file, or of a rewritten graph of it, with float32 in place of every float16."""
        from i2i.runtime.graphs.float32 import widened  # slow to import

        if not self._overflow_noted:
            self._overflow_noted = True
            note(f"{self.path.name}: float16 overflows on some images; those are computed in float32")
        return open_session(widened(graph), self.provider, self.threads)

    def at_once(self, height: int, width: int, wish: int | None = None) -> int:
        """Return how many images of that size a GPU takes together: ``wish`` at most, or as many as fit."""
        most = self._session.largest_batch(max(height, width))
        if most is not None:
            wish = min(wish or MOST, most)
        size = height * width
        batch = self.batch_size.batch(size, wish)
        return batch if self.tensor_sizes.allows(batch * size) else max(1, int(self.tensor_sizes.most_pixels() // size))

    def fits(self, width: int, height: int) -> bool:
        """True if the memory, a GPU's if the model runs there, suffices for an image of that size."""
        try:
            self.check_size(width, height)
        except TooLargeError:
            return False
        return self.on_cpu or self.batch_size.fits(width * height)

    def check_size(self, width: int, height: int) -> None:
        """Raise TooLargeError for an image that is too large for the processor's memory or for a GPU's tensors.

        A GPU's own memory is not checked here.
        """
        if not self.on_cpu:
            self.tensor_sizes.check(width * height)
        elif self._memory_grows:
            self.memory.check(self._open_for_large(), width, height)

    @property
    def _memory_grows(self) -> bool:
        """True if a larger image takes more of the processor's memory: a graph of a fixed size sees only that size."""
        fixed = self.spec.form is not None and self.spec.form.size is not None
        return self.on_cpu and not fixed

    def _open_for_large(self) -> Session:
        with self._lock:
            if self._session_for_large is None:
                self._session_for_large = open_session(
                    self.file.unchanged(), self.provider, self.threads, keep_memory=False
                )
            return self._session_for_large

    def _open_in_float32(self) -> Session:
        with self._lock:
            if self._session_in_float32 is None:
                self._session_in_float32 = self.open_in_float32(self.file.unchanged().read_bytes())
            return self._session_in_float32
