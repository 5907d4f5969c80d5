"""A model in TensorRT, through ONNX Runtime.

TensorRT builds an engine for a range of sizes, which takes minutes, and ONNX Runtime would build it anew for each size
beyond those seen so far. So there is an engine for each bucket of sizes, built when its first image comes and kept
beside the model (``compiled``). ONNX Runtime's own name of an engine leaves the weights out, so a folder's name holds
them; and it trusts what lies there, so a folder that is not as it was built is built anew. What is in no bucket CUDA
runs, and it is said.
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
from i2i.runtime.log import note
from i2i.runtime.providers import engine_cache, onnxruntime_session, table
from i2i.runtime.system import host

NAME = "TensorrtExecutionProvider"
SIDES = (512, 1024, 2048)
"""The longer side up to which images share an engine."""
LEAST = 64
"""Pixels of a side from which on there is one."""
PIXELS = 16 * SIDES[0] ** 2
"""Of a batch, at most: an engine takes the memory of its largest shapes, whatever comes."""

Bucket = int | None  # one of SIDES; 0: the graph has one size alone; None: for CUDA


class TensorRT:
    """A model on TensorRT, with the methods of an ONNX Runtime session that are used here.

    Attributes:
        beyond: the session on CUDA for what is in no bucket.
    """

    def __init__(self, model: Path, threads: int, precision: str, allow_fallback: bool) -> None:
        """Raises ProviderError where TensorRT does not load, and ModelError."""
        onnxruntime_session.check_card("tensorrt")
        preload()
        self._model, self._threads, self._precision = model, threads, precision
        self._allow_fallback = allow_fallback
        self._lock, self._said = threading.Lock(), False
        self.beyond = table.open_session(model, "cuda", threads, allow_fallback=allow_fallback)
        if onnxruntime_session.missing_library("tensorrt") is not None:
            raise ProviderError(onnxruntime_session.not_loaded("tensorrt", "cuda"))
        self._sessions: dict[Bucket, Any] = {None: self.beyond}

    def run(self, outputs: Any, feeds: Mapping[str, np.ndarray], options: Any = None) -> list[np.ndarray]:
        """The outputs, in their order."""
        return self.session_for(feeds).run(outputs, feeds, options)

    def session_for(self, feeds: Mapping[str, np.ndarray]) -> Any:
        """The ONNX Runtime session for inputs of these shapes. Raises ProviderError or ModelError."""
        bucket = bucket_of([(node.shape, feeds[node.name].shape) for node in self.get_inputs()])
        with self._lock:
            if bucket is None and not self._said:
                self._said = True
                note(f"{self._model.name}: images of sides below {LEAST} or above {SIDES[-1]} pixels run on CUDA, too")
            if bucket not in self._sessions:
                self._sessions[bucket] = self._open(bucket)
            return self._sessions[bucket]

    def get_inputs(self) -> Any:
        """What it takes."""
        return self.beyond.get_inputs()

    def get_outputs(self) -> Any:
        """What it returns."""
        return self.beyond.get_outputs()

    def get_modelmeta(self) -> Any:
        """What the file says of itself."""
        return self.beyond.get_modelmeta()

    def get_providers(self) -> list[str]:
        """What images of the usual sizes run on, which the constructor has seen to load."""
        return [NAME, *self.beyond.get_providers()]

    def _open(self, bucket: Bucket) -> Any:
        """A session whose engine is there, or is built now."""
        shapes = profile(self.get_inputs(), bucket or 0)
        facts = (
            onnxruntime_session.onnxruntime().__version__,
            library_version(),
            host.cuda_devices()[:1],
            self._precision,
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

    def _session(self, shapes: Mapping[str, str], cache: Path | None) -> Any:
        wanted = [(NAME, options(self._precision, shapes, cache)), onnxruntime_session.CUDA]
        session = onnxruntime_session.open_in_onnxruntime(self._model, wanted, self._threads)
        if onnxruntime_session.running_on(session) != "tensorrt":
            raise ProviderError(onnxruntime_session.not_loaded("tensorrt", onnxruntime_session.running_on(session)))
        if not self._allow_fallback:
            onnxruntime_session.check_placement(session, self._model, "tensorrt")
        return session


def bucket_of(shapes: Sequence[tuple[Sequence[Any], Sequence[int]]]) -> Bucket:
    """The bucket of inputs, each by the graph's shape, in which a number is no free size, and by its own."""
    free = [size for known, given in shapes for size, axis in zip(given, known, strict=True) if _free(axis)]
    if not free:
        return 0
    known, given = shapes[0]
    sides = [size for size, axis in zip(given[1:], known[1:], strict=True) if _free(axis)]
    if sides and min(sides) < LEAST:
        return None
    side = next((side for side in SIDES if max(sides, default=0) <= side), None)
    return side if side is not None and given[0] <= images(side) else None


def images(side: int) -> int:
    """That are translated at once, at most, of so many pixels along their longer side."""
    return max(1, PIXELS // next((bucket for bucket in SIDES if side <= bucket), side) ** 2)


def profile(inputs: Sequence[Any], side: int) -> dict[str, str]:
    """The least, likeliest and largest shapes of the inputs, as ONNX Runtime takes them; empty if none is free."""
    if not any(_free(axis) for node in inputs for axis in node.shape):
        return {}

    def shapes(count: int, pixels: int) -> str:
        return ",".join(
            f"{node.name}:{'x'.join(str(_size(at, axis, count, pixels)) for at, axis in enumerate(node.shape))}"
            for node in inputs
        )

    most = images(side) if side else 1

    return {
        "trt_profile_min_shapes": shapes(1, LEAST),
        "trt_profile_opt_shapes": shapes(max(1, most // 2), side // 2),
        "trt_profile_max_shapes": shapes(most, side),
    }


def options(precision: str, shapes: Mapping[str, str], cache: Path | None) -> dict[str, str]:
    """Of the provider: float32 stays float32 unless the model is of another precision."""
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
    """Loads TensorRT from its pip package, where no loader looks for it."""
    found = util.find_spec("tensorrt_libs")
    for folder in found.submodule_search_locations or () if found is not None else ():
        for name in ("libnvinfer.so.10", "libnvinfer_plugin.so.10", "libnvonnxparser.so.10", "nvinfer_10.dll"):
            with contextlib.suppress(OSError):
                ctypes.CDLL(str(Path(folder) / name), mode=ctypes.RTLD_GLOBAL)


def library_version() -> int | None:
    """Of TensorRT, whose engines no other version reads; None where unknown."""
    with contextlib.suppress(OSError, AttributeError):
        return int(ctypes.CDLL("libnvinfer.so.10").getInferLibVersion())
    return None


def _free(axis: Any) -> bool:
    return not isinstance(axis, int)


def _size(at: int, axis: Any, count: int, pixels: int) -> int:
    """Of a free axis: the first counts images, the others pixels."""
    return axis if not _free(axis) else count if at == 0 else pixels
