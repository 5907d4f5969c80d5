"""An exported model as a function of images."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from i2i.images import Image
from i2i.runtime import pixels
from i2i.runtime.errors import ModelError
from i2i.runtime.machine import PeakMemory, available_memory, cores
from i2i.runtime.onnxfile import read_spec
from i2i.runtime.providers import open_session, quietly, reason, running_on
from i2i.spec import Spec

LARGE = 512 * 512
"""Pixels above which a CPU runs one image at a time, on all cores and without keeping the memory."""

BATCH = 8
"""Images at once on a GPU."""

_PLENTY = 4096  # bytes for each pixel, more than any generator here needs: below it, nothing has to be measured
_TYPES = {"uint8": "tensor(uint8)", "float32": "tensor(float)"}
_OUT_OF_MEMORY = ("bfc_arena", "bad_alloc", "out of memory", "Failed to allocate memory", "CUDA_ERROR_OUT_OF_MEMORY")


def load(path: str | Path, provider: str = "auto", threads: int | None = None) -> Model:
    """Opens an exported ``.onnx`` file as a function of images.

    Args:
        provider: auto | cpu | cuda. ``cuda`` raises ProviderError if CUDA does not load; ``auto`` takes what there is,
            and ``model.provider`` says what that was.
        threads: processor threads that the model may use; by default all cores.

    Raises ModelError for a file that cannot be run, with the reason.
    """
    return Model(Path(path), provider, threads)


class Model:
    """A translator: ``model(image)`` returns the translated image, of the same height, width and type.

    Attributes:
        spec: what the file promises.
        provider: where it really runs, ``cuda`` or ``cpu``.
        threads: that it may use on a CPU: together on one image, or ``side_by_side`` on as many images, called from as
            many threads, which gets more done.
    """

    def __init__(
        self, path: Path, provider: str = "auto", threads: int | None = None, side_by_side: bool = False
    ) -> None:
        if threads is not None and threads < 1:
            raise ValueError(f"threads is {threads}; expected at least 1")
        self.path, self.threads, self.side_by_side = path, threads or cores(), side_by_side
        spec = read_spec(path)
        session = open_session(path, provider, 1 if side_by_side else self.threads)
        if spec is None:
            raise ModelError(
                f"{path}: it holds no i2i description, so what its pixels mean is unknown. The model expects "
                f"{_form(session)}; only files that `i2i export` wrote can be run"
            )
        self.spec: Spec = spec
        self.provider = running_on(session)
        self._session = session
        self._whole: Any = None  # the session for large images on the CPU
        self._lock = threading.Lock()
        self._bytes_per_pixel: float | None = None
        self._check_form()

    @property
    def name(self) -> str:
        """What its results are named after: the file, or the domain it translates to if the file is one of a run."""
        stem = self.path.stem
        name = self.spec.target.name if stem.removesuffix(".tensor") in ("a2b", "b2a") else stem
        return re.sub(r"[^\w.-]+", "-", name)

    def __repr__(self) -> str:
        return f"<i2i model {self.path.name}: {self.spec.source.name} -> {self.spec.target.name} on {self.provider}>"

    def __call__(self, image: np.ndarray, background: int = 255) -> np.ndarray:
        """Translates [h, w], [h, w, c] or [n, h, w, c] of uint8 or uint16; h, w and the type come back as they were.

        Channels are grey, RGB, or either with alpha behind, which is carried over: the model sees the colours on a
        grey of level ``background``. Grey and colour, 8 and 16 bits are converted to what the model takes. The result
        has the colour channels of the model's target; [h, w] returns as [h, w] if that is grey, else as [h, w, 3].

        Raises ModelError for other arrays, for results that are not finite, and for images beyond the memory.
        """
        return pixels.from_images(self.translate(pixels.to_images(image, self.path.name), background), image)

    def translate(self, images: Sequence[Image], background: int = 255) -> list[Image]:
        """Translates images of one size, on a GPU several together."""
        ready = [pixels.prepare(image, self.spec, background) for image in images]
        size = 1 if self.provider == "cpu" else BATCH
        batches = [np.stack(ready[at : at + size]) for at in range(0, len(ready), size)]
        results = [result for batch in batches for result in self.run(batch)]
        return [pixels.restore(result, image, self.spec) for result, image in zip(results, images, strict=True)]

    def run(self, batch: np.ndarray) -> np.ndarray:
        """The bare graph: [n, h, w, c] in the source's channels, range and ``spec.dtype``, to the target's."""
        height, width = batch.shape[1:3]
        session = self._session
        if self.provider == "cpu" and height * width > LARGE:
            session = self._session_for_large()
            self._check_memory(width, height)
        if self.spec.io == "tensor":
            self._check_size(width, height)
            batch = pixels.to_tensor(batch, self.spec)
        result = self._run(session, batch)
        return pixels.from_tensor(result, self.spec) if self.spec.io == "tensor" else result

    def _run(self, session: Any, batch: np.ndarray) -> np.ndarray:
        try:
            return session.run(None, {session.get_inputs()[0].name: batch}, quietly())[0]
        except Exception as error:  # ONNX Runtime's errors have no common class but this
            text = str(error)
            shape = " x ".join(map(str, batch.shape))
            if any(sign in text for sign in _OUT_OF_MEMORY):
                raise ModelError(
                    f"{self.provider} memory does not hold this image ({shape}); make it smaller"
                ) from error
            raise ModelError(f"{self.path.name} failed on {batch.dtype} [{shape}]: {reason(error)}") from error

    def _session_for_large(self) -> Any:
        with self._lock:
            if self._whole is None:
                self._whole = open_session(self.path, "cpu", self.threads, arena=False)
            return self._whole

    def _check_memory(self, width: int, height: int) -> None:
        """A ModelError instead of the kernel's killer, for an image that would take more memory than there is."""
        free = available_memory()
        if free is None or width * height * _PLENTY <= free:
            return
        with self._lock:
            if self._bytes_per_pixel is None:
                self._bytes_per_pixel = min(self._measure() for _ in range(2))  # other threads can only add to it
        need = width * height * self._bytes_per_pixel
        if need > 0.9 * free:
            raise ModelError(
                f"translating {width} x {height} pixels would take about {need / 2**30:.1f} GiB of memory and "
                f"{free / 2**30:.1f} GiB are free; make the image smaller"
            )

    def _measure(self) -> float:
        blank = np.zeros((1, 512, 512, self.spec.source.channels), self.spec.dtype)
        peak = PeakMemory()
        self._run(self._whole, blank if self.spec.io == "pixels" else pixels.to_tensor(blank, self.spec))
        return (peak.grown() or 0) / (512 * 512)

    def _check_size(self, width: int, height: int) -> None:
        """A bare network does not pad; a pixel graph does."""
        least, multiple = self.spec.minimum, self.spec.multiple
        if min(width, height) < least or width % multiple or height % multiple:
            raise ModelError(
                f"{self.path.name} is a bare network that takes at least {least} pixels in multiples of {multiple}, "
                f"got {width} x {height}; `i2i export --io pixels` writes one that takes any size"
            )

    def _check_form(self) -> None:
        """Whether the graph is what its description promises."""
        spec, inputs, outputs = self.spec, self._session.get_inputs(), self._session.get_outputs()
        if spec.domains:
            raise ModelError(f"{self.path}: a model of several domains ({', '.join(spec.domains)}) is not supported")
        axis = 3 if spec.io == "pixels" else 1
        ends = ((inputs, spec.source.channels), (outputs, spec.target.channels))
        sound = all(
            len(nodes) == 1
            and len(nodes[0].shape) == 4
            and nodes[0].type == _TYPES[spec.dtype]
            and (nodes[0].shape[axis] == channels or not isinstance(nodes[0].shape[axis], int))
            and not any(isinstance(size, int) for at, size in enumerate(nodes[0].shape) if at != axis)
            for nodes, channels in ends
        )
        if not sound:
            order = "[N, H, W, {}]" if spec.io == "pixels" else "[N, {}, H, W]"
            promised = " to ".join(f"{spec.dtype} {order.format(channels)}" for _, channels in ends)
            raise ModelError(
                f"{self.path}: its description promises {promised} (any N, H, W), but the model expects "
                f"{_form(self._session)}; export it again"
            )


def _form(session: Any) -> str:
    """The inputs and outputs of a graph, in words."""
    return " and returns ".join(
        ", ".join(f"{node.name!r}: {_type(node.type)} {_shape(node.shape)}" for node in nodes)
        for nodes in (session.get_inputs(), session.get_outputs())
    )


def _type(text: str) -> str:
    name = text.removeprefix("tensor(").removesuffix(")")
    return {"float": "float32", "double": "float64"}.get(name, name)


def _shape(shape: Sequence[int | str | None]) -> str:
    layout = ""
    if len(shape) == 4:
        layout = {True: " (channels first)", False: " (channels last)"}.get(shape[1] in (1, 3, 4), "")
        layout = layout if shape[1] in (1, 3, 4) or shape[3] in (1, 3, 4) else ""
    return f"[{', '.join(str(size) if size is not None else '?' for size in shape)}]{layout}"
