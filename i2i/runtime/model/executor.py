"""An opened ``.onnx`` file: its sessions, that it is what its description promises, and the memory it takes."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakMethod

import numpy as np

from i2i.runtime import processing
from i2i.runtime.adapters.options import NOTHING, Told
from i2i.runtime.errors import ModelError, ProviderError, TooLargeError
from i2i.runtime.graphs import signature
from i2i.runtime.graphs.onnx_file import read_spec
from i2i.runtime.log import note
from i2i.runtime.memory import estimate
from i2i.runtime.memory.batch_size import MOST, Room
from i2i.runtime.providers.onnxruntime_session import is_out_of_memory, on_processor, quietly, reason, running_on
from i2i.runtime.providers.table import open_session
from i2i.runtime.system.host import available_memory
from i2i.spec import Spec
from i2i.text import plural

if TYPE_CHECKING:
    from i2i.runtime.providers.io_binding import Binding

LARGE = 512 * 512
"""Pixels above which a processor runs one image at a time, on all cores and without keeping the memory."""

_PLENTY = 4096  # bytes for each pixel, more than any generator here needs: below it, nothing has to be measured
_COUNTED = 2**31  # values of a tensor: CUDA's kernels count them in 32 bits, and go astray in silence beyond
_WIDE = 2048  # values for each pixel that comes out, more than any generator makes: below, nothing has to be measured


class Graph:
    """A file that is open to be run, for any number of threads of the process that opened it.

    A process that is forked later has none of the threads that inferences run on, and is told to open the file itself;
    one thread on the CPU is the caller's own, and works there too.

    Attributes:
        spec: what the file promises.
        provider: where it really runs: ``cpu``, ``cuda``, ``tensorrt`` or ``openvino``.
        room: how many images a GPU takes at once.
    """

    def __init__(
        self,
        path: Path,
        provider: str,
        threads: int,
        side_by_side: bool,
        told: Told = NOTHING,
        allow_fallback: bool = False,
    ) -> None:
        """``told`` is what is known of a model that others made; with ``allow_fallback`` a GPU may leave nodes to the
        processor.

        Raises ModelError for a file that cannot be run, and ProviderError for a provider that does not load.
        """
        self.path, self.threads = path, threads
        spec = read_spec(path)
        session = open_session(
            path,
            provider,
            threads,
            side_by_side=side_by_side,
            precision="fp32" if spec is None else spec.precision,
            allow_fallback=allow_fallback,
        )
        if spec is None or told:
            from i2i.runtime.adapters import infer_spec

            spec = infer_spec.describe(session, path, told if spec is None else infer_spec.told_anew(spec, told, path))
        self.spec: Spec = spec
        self.provider = running_on(session)
        measure = WeakMethod(self._measure_device)  # a cycle would keep a model that is gone, and its share of memory
        self.room = Room(lambda: (known := measure()) and known())
        self._session = session
        self._whole: Any = None  # the session for large images on the processor
        self._binding = self._buffers() if self.spec.io == "pixels" and not on_processor(self.provider) else None
        self._wide: Any = None  # the session in float32 for images on which float16 overflows
        self._overflowed = False  # and it was said
        self._process = None if threads == 1 and self.provider == "cpu" else os.getpid()
        self._lock = threading.Lock()
        self._bytes_per_pixel: float | None = None
        self._values_per_pixel: float | None = None  # of the largest tensor
        if self.spec.form is None:
            signature.check(self.spec, session, path)
        else:
            from i2i.runtime.adapters import ports

            ports.check(self.spec, session, path)

    def run(self, batch: np.ndarray, target: np.ndarray | None = None) -> np.ndarray:
        """[n, h, w, c] in the source's channels, range and ``spec.dtype`` to the target's; ``target`` [1] or [1, D] is
        the second input of a model of several domains, the same for all images."""
        if self._process not in (None, os.getpid()):
            raise ModelError(
                f"{self.path.name} was opened by another process, of which this one is a fork without its threads: "
                "open the model after the fork, or with threads=1 on the CPU"
            )
        height, width = batch.shape[1:3]
        session = self._session
        if self._grows and height * width > LARGE:
            session = self._session_for_large()
            self._check_memory(width, height, target)
        if not on_processor(self.provider):
            self._check_count(len(batch) * height * width)
        try:
            return self.run_in(session, self._session_in_float32, batch, target)
        except TooLargeError:
            self.room.exceeded(len(batch), height * width)
            raise

    def run_in(
        self, session: Any, in_float32: Callable[[], Any], batch: np.ndarray, target: np.ndarray | None
    ) -> np.ndarray:
        """``run`` in that session, of this file or of a form of it with the same inputs and the same one output; for
        images on which a value is beyond what float16 holds, in the one that ``in_float32`` returns."""
        result = self._through(session, batch, target)
        half = self.spec.precision == "fp16"
        beyond = [i for i, image in enumerate(result) if half and not processing.is_finite(image)]
        if beyond:
            result[beyond] = self._through(in_float32(), batch[beyond], target)
        return result

    @property
    def _grows(self) -> bool:
        """Whether it takes more of the processor's memory for a larger image: a graph of a fixed size sees no other."""
        fixed = self.spec.form is not None and self.spec.form.size is not None
        return on_processor(self.provider) and not fixed

    def open_in_float32(self, model: bytes) -> Any:
        """A session for ``run_in`` of the file's bytes, or of those of a form of it, with float32 for every float16."""
        from i2i.runtime.graphs.float32 import widened  # which takes a while to import

        if not self._overflowed:
            self._overflowed = True
            note(f"{self.path.name}: float16 overflows on some images; those are computed in float32")
        return open_session(widened(model), self.provider, self.threads)

    def _session_in_float32(self) -> Any:
        with self._lock:
            if self._wide is None:
                self._wide = self.open_in_float32(self.path.read_bytes())
            return self._wide

    def _through(self, session: Any, batch: np.ndarray, target: np.ndarray | None) -> np.ndarray:
        """``run`` in that session: pixels as they are, or made what the graph takes, and back."""
        if self.spec.form is not None:
            from i2i.runtime.adapters import convert  # as all of ``foreign``, of others' models alone

            return convert.translate(lambda tensor: self._run(session, tensor, None), batch, self.spec)
        if self.spec.io == "tensor":
            self._check_size(*batch.shape[2:0:-1])
            result = self._run(session, processing.to_tensor(batch, self.spec), target)
            return processing.from_tensor(result, self.spec)
        return self._run(session, batch, target)

    def _run(self, session: Any, batch: np.ndarray, target: np.ndarray | None) -> np.ndarray:
        given = [batch] if target is None else [batch, np.repeat(target, len(batch), axis=0)]
        feeds = {node.name: value for node, value in zip(session.get_inputs(), given, strict=True)}
        try:
            if self._binding is not None and session is self._session:
                bound = session.session_for(feeds) if self.provider == "tensorrt" else session
                returned = (*batch.shape[:3], self.spec.target.channels)
                return self._binding.run(bound, feeds, returned, self.spec.dtype, quietly())
            return session.run(None, feeds, quietly())[0]
        except ProviderError:
            raise
        except Exception as error:  # ONNX Runtime's errors have no common class but this
            shape = " x ".join(map(str, batch.shape))
            if is_out_of_memory(error):
                raise TooLargeError(
                    f"{self.provider} memory does not hold this image ({shape}); make it smaller"
                ) from error
            raise ModelError(f"{self.path.name} failed on {batch.dtype} [{shape}]: {reason(error)}") from error

    def _buffers(self) -> Binding:
        from i2i.runtime.providers.io_binding import Binding  # where there is a GPU
        from i2i.runtime.system.cuda import page_locked

        return Binding(page_locked)

    def at_once(self, height: int, width: int, wish: int | None = None) -> int:
        """How many images of that size a GPU takes together: ``wish``, or as many as its memory has room for."""
        if self.provider == "tensorrt":
            from i2i.runtime.providers.tensorrt_session import images

            wish = min(wish or MOST, images(max(height, width)))
        size = height * width
        batch = self.room.batch(size, wish)
        return batch if self._counts(batch * size) else max(1, int(self._countable() // size))

    def _session_for_large(self) -> Any:
        with self._lock:
            if self._whole is None:
                self._whole = open_session(self.path, self.provider, self.threads, arena=False)
            return self._whole

    def holds(self, width: int, height: int, target: np.ndarray | None = None) -> bool:
        """Whether the memory, a GPU's if it runs there, has room for an image of that size on its way through."""
        try:
            self.check_room(width, height, target)
        except TooLargeError:
            return False
        return on_processor(self.provider) or self.room.holds(width * height)

    def check_room(self, width: int, height: int, target: np.ndarray | None = None) -> None:
        """TooLargeError for an image of that size that the memory of the processor does not hold on its way through, or
        that a GPU cannot count; what its memory does not hold it says itself."""
        if not on_processor(self.provider):
            self._check_count(width * height)
        elif self._grows:
            self._session_for_large()
            self._check_memory(width, height, target)

    def _check_memory(self, width: int, height: int, target: np.ndarray | None) -> None:
        """A ModelError instead of the kernel's killer, for an image that would take more memory than there is."""
        free = available_memory()
        if free is None or width * height * _PLENTY <= free:
            return
        with self._lock:
            if self._bytes_per_pixel is None:
                measured = estimate.of_processor(lambda side: self._through(self._whole, self._blank(side), target))
                # What other threads free meanwhile hides growth; the image and its result are needed in any case.
                values = self.spec.source.channels + self.spec.target.channels * self.spec.scale**2
                self._bytes_per_pixel = max(measured, values * np.dtype(self.spec.dtype).itemsize)
        needed = width * height * self._bytes_per_pixel
        if needed > 0.9 * free:
            raise TooLargeError(
                f"translating {width} x {height} pixels would take about {needed / 2**30:.1f} GiB of memory and "
                f"{free / 2**30:.1f} GiB are free; make the image smaller"
            )

    def _check_count(self, size: int) -> None:
        """TooLargeError where a tensor of so many pixels, of all images together, has more values than CUDA counts."""
        if not self._counts(size):
            raise TooLargeError(
                f"of {size} pixels at once {self.path.name} makes tensors of more than 2^31 values, which ONNX Runtime "
                "does not count on a GPU; make the image smaller"
            )

    def _counts(self, size: int) -> bool:
        """Whether no tensor of so many pixels at once has more values than are counted."""
        return size * _WIDE * self.spec.scale**2 <= _COUNTED or size <= self._countable()

    def _countable(self) -> float:
        """Pixels at once of which no tensor has more values than are counted."""
        with self._lock:
            if self._values_per_pixel is None:
                self._values_per_pixel = self._measure_values()
        return (_COUNTED - 1) / self._values_per_pixel

    def _measure_values(self) -> float:
        """Of the largest tensor, for each pixel of the image; 1 where that cannot be found, which is said."""
        if self.spec.form is not None and self.spec.form.size is not None:
            return 1  # it is run in parts of one size
        try:
            sizes = estimate.Sizes(open_session(estimate.with_shapes(self.path.read_bytes()), "cpu", self.threads))
            once = partial(self._through, sizes, target=self._any_target())
            return estimate.of_largest_tensor(sizes, lambda side: once(self._blank(side)), self.spec)
        except ModelError as error:
            note(
                f"{self.path.name}: how large its tensors are cannot be measured ({error}); results of large images "
                "may be wrong, since ONNX Runtime does not count more than 2^31 values on a GPU"
            )
            return 1

    def _measure_device(self) -> tuple[float, int] | None:
        """Of a GPU, what an inference takes for each pixel, and what is free for more."""
        # Of TensorRT's memory engines decide; what is too large for them goes to CUDA.
        session = self._session.beyond if self.provider == "tensorrt" else self._session
        try:
            return estimate.of_card(lambda side: self._through(session, self._blank(side), self._any_target()))
        except ModelError:
            return None

    def _any_target(self) -> np.ndarray | None:
        names = len(self.spec.domains)
        return np.zeros((1, names), np.float32) if self.spec.attributes else np.zeros(1, np.int64) if names else None

    def _blank(self, side: int) -> np.ndarray:
        return np.zeros((1, side, side, self.spec.source.channels), self.spec.dtype)

    def _check_size(self, width: int, height: int) -> None:
        """A bare network does not pad; a pixel graph does."""
        least, multiple = self.spec.minimum, self.spec.multiple
        if min(width, height) < least or width % multiple or height % multiple:
            raise ModelError(
                f"{self.path.name} is a bare network that takes at least {plural(least, 'pixel')} in multiples "
                f"of {multiple}, got {width} x {height}; `i2i export --io pixels` writes one that takes any size"
            )
