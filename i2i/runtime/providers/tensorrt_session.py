"""Sessions of TensorRT, through ONNX Runtime.

TensorRT builds an engine for a range of sizes, which takes minutes, and ONNX Runtime would build it again for each size
beyond those seen so far. So there is one engine for each bucket of sizes, built when its first image arrives and kept
beside the model (``engine_cache``). ONNX Runtime's own name of an engine does not depend on the weights, so the
folder's name does; and ONNX Runtime trusts the files in it, so a folder that has changed since it was built is built
again. CUDA runs sizes that are in no bucket, with a note.
"""

from __future__ import annotations

import contextlib
import ctypes
import threading
from collections.abc import Mapping, Sequence
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np

from i2i.runtime.errors import ModelError, ProviderError
from i2i.runtime.graphs.onnx_file import OpenedFile
from i2i.runtime.log import note
from i2i.runtime.providers import engine_cache, onnxruntime_session
from i2i.runtime.providers.onnxruntime_session import OnnxRuntimeSession
from i2i.runtime.session import Output, Port, Session, SessionOptions
from i2i.runtime.system import host

NAME = "TensorrtExecutionProvider"
SIDES = (512, 1024, 2048)
"""Buckets: the longer side in pixels up to which images share an engine."""
LEAST = 64
"""Shortest side in pixels for which there is an engine."""
PIXELS = 16 * SIDES[0] ** 2
"""Most pixels of a batch: an engine takes the memory of its largest shapes, whatever the images."""

Bucket = int | None  # one of SIDES; 0: the graph takes one size only; None: run on CUDA


def open_tensorrt(model: Path | bytes, options: SessionOptions) -> Session:
    """Open a model on TensorRT, or a rewritten graph on CUDA: to build an engine for each would take minutes."""
    if isinstance(model, bytes):
        return onnxruntime_session.open_cuda(model, options)
    onnxruntime_session.check_card("tensorrt", NAME)
    preload()
    cuda = onnxruntime_session.open_cuda(model, options)
    if onnxruntime_session.missing_library("tensorrt") is not None:
        raise ProviderError(onnxruntime_session.not_loaded("tensorrt", "cuda"))
    return TensorRTSession(model, cuda, options)


class TensorRTSession(Session):
    """A model on TensorRT, and on CUDA for images that are in no bucket of sizes."""

    provider = "tensorrt"
    on_cpu = False
    survives_fork = False

    def __init__(self, model: Path, cuda: OnnxRuntimeSession, options: SessionOptions) -> None:
        """Use ``cuda``, a session of the same model, for images that are in no bucket."""
        self._model, self._cuda, self._options = model, cuda, options
        self._file = OpenedFile(model)
        self._lock, self._noted = threading.Lock(), False
        self._sessions: dict[Bucket, OnnxRuntimeSession] = {None: cuda}
        self.inputs, self.outputs = cuda.inputs, cuda.outputs

    @property
    def for_measuring(self) -> Session:
        """CUDA's session: the memory of an engine is fixed, and images too large for it go to CUDA."""
        return self._cuda

    def run(self, feeds: Mapping[str, np.ndarray], output: Output | None = None) -> list[np.ndarray]:
        return self._session_for(feeds).run(feeds, output)

    def largest_batch(self, side: int) -> int | None:
        return largest_batch(side)

    def _session_for(self, feeds: Mapping[str, np.ndarray]) -> OnnxRuntimeSession:
        """Return the session for inputs of these shapes. Raises ProviderError if its engine cannot be built."""
        bucket = bucket_of([(port.shape, feeds[port.name].shape) for port in self.inputs])
        with self._lock:
            if bucket is None and not self._noted:
                self._noted = True
                note(f"{self._model.name}: images of sides below {LEAST} or above {SIDES[-1]} pixels run on CUDA, too")
            if bucket not in self._sessions:
                self._sessions[bucket] = self._open(bucket)
            return self._sessions[bucket]

    def _open(self, bucket: Bucket) -> OnnxRuntimeSession:
        """Open a session whose engine is read from the cache, or is built now.

        Raises ModelError if the file was replaced since the model was opened.
        """
        self._file.unchanged()
        shapes = profile(self.inputs, bucket or 0)
        facts = (
            onnxruntime_session.onnxruntime().__version__,
            library_version(),
            host.cuda_devices()[:1],
            self._options.precision,
            shapes,
        )
        place = engine_cache.place(self._model, "tensorrt", *facts)
        what = f"images of up to {bucket} pixels a side" if bucket else "its images"
        if place.exists():
            if engine_cache.is_whole(place):
                try:
                    return self._session(shapes, place)
                except ModelError as error:
                    note(f"{error}. The engine that was kept is thrown away")
            else:
                note(f"{place}: the engine that was kept is damaged, and is thrown away")
        note(f"{self._model.name}: TensorRT builds its engine for {what}, which takes minutes")
        try:
            with engine_cache.building(place) as part:
                return self._session(shapes, part)
        except ModelError as error:
            raise ProviderError(f"{error}. TensorRT does not take it for {what}; --provider cuda may") from error

    def _session(self, shapes: Mapping[str, str], cache: Path | None) -> OnnxRuntimeSession:
        wanted = [
            (NAME, provider_options(self._options.precision, shapes, cache)),
            (onnxruntime_session.CUDA, onnxruntime_session.CUDA_OPTIONS),
        ]
        session = OnnxRuntimeSession(
            self._model, wanted, self._options.threads_per_inference, buffers=self._cuda.buffers
        )
        if session.provider != self.provider:
            raise ProviderError(onnxruntime_session.not_loaded(self.provider, session.provider))
        if not self._options.allow_fallback:
            session.check_placement(self._model, self.provider)
        return session


def bucket_of(shapes: Sequence[tuple[Sequence[Any], Sequence[int]]]) -> Bucket:
    """Return the bucket of inputs, each given as the graph's shape, in which a number is a fixed size, and its own."""
    free = [size for known, given in shapes for size, axis in zip(given, known, strict=True) if _free(axis)]
    if not free:
        return 0
    known, given = next((each for each in shapes if len(each[1]) == 4), shapes[0])
    sides = [size for size, axis in zip(given[1:], known[1:], strict=True) if _free(axis)]
    if sides and min(sides) < LEAST:
        return None
    side = next((side for side in SIDES if max(sides, default=0) <= side), None)
    return side if side is not None and given[0] <= largest_batch(side) else None


def largest_batch(side: int) -> int:
    """Return how many images of that longer side in pixels an engine takes at once."""
    return max(1, PIXELS // next((bucket for bucket in SIDES if side <= bucket), side) ** 2)


def profile(inputs: Sequence[Port], side: int) -> dict[str, str]:
    """Return the least, likeliest and largest shapes of the inputs as options of ONNX Runtime; empty if all are
    fixed."""
    if not any(_free(axis) for node in inputs for axis in node.shape):
        return {}

    def shapes(count: int, pixels: int) -> str:
        return ",".join(
            f"{node.name}:{'x'.join(str(_size(at, axis, count, pixels)) for at, axis in enumerate(node.shape))}"
            for node in inputs
        )

    most = largest_batch(side) if side else 1

    return {
        "trt_profile_min_shapes": shapes(1, LEAST),
        "trt_profile_opt_shapes": shapes(max(1, most // 2), side // 2),
        "trt_profile_max_shapes": shapes(most, side),
    }


def provider_options(precision: str, shapes: Mapping[str, str], cache: Path | None) -> dict[str, str]:
    """Return ONNX Runtime's options of the provider. A model in float32 runs in float32."""
    known = {
        "trt_fp16_enable": str(int(precision == "fp16")),
        "trt_int8_enable": str(int(precision == "int8")),
        **shapes,
    }
    if cache is None:
        return known
    return known | {
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(cache),
    }


def preload() -> None:
    """Load TensorRT from its pip package, where the system's loader does not search."""
    found = util.find_spec("tensorrt_libs")
    for folder in found.submodule_search_locations or () if found is not None else ():
        for name in ("libnvinfer.so.10", "libnvinfer_plugin.so.10", "libnvonnxparser.so.10", "nvinfer_10.dll"):
            with contextlib.suppress(OSError):
                ctypes.CDLL(str(Path(folder) / name), mode=ctypes.RTLD_GLOBAL)


def library_version() -> int | None:
    """Return the version of TensorRT, or None if unknown. No other version reads its engines."""
    with contextlib.suppress(OSError, AttributeError):
        return int(ctypes.CDLL("libnvinfer.so.10").getInferLibVersion())
    return None


def _free(axis: Any) -> bool:
    return not isinstance(axis, int)


def _size(at: int, axis: Any, count: int, pixels: int) -> int:
    """Return the size of an axis. Of free axes the first counts images, the others pixels."""
    return axis if not _free(axis) else count if at == 0 else pixels
