"""Sessions of OpenVINO on the processor.

This is the package ``openvino`` itself, since onnxruntime-openvino would overwrite onnxruntime-gpu. Results are
computed in float32 even where the processor has a faster type, so that pixels are those of ONNX Runtime.
Compiled models are kept in ``engine_cache``: OpenVINO's own ``CACHE_DIR`` runs a damaged file without an error.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from i2i.runtime.errors import ModelError, ProviderError, TooLargeError
from i2i.runtime.providers import engine_cache
from i2i.runtime.providers.table import PROVIDERS
from i2i.runtime.session import Output, Port, Session, SessionOptions, is_out_of_memory
from i2i.runtime.system import host

_DEVICE = "CPU"
_TYPES = {"f32": "float32", "f16": "float16", "f64": "float64", "u8": "uint8", "i64": "int64", "i32": "int32"}
_SHAPES_KEPT = 64  # sizes whose kernels are kept; OpenVINO's 5000 would fill the memory in a folder of many sizes


def openvino() -> ModuleType:
    """Import OpenVINO. Raises ProviderError, with the command that installs it.

    Its usage reporter, which would write an identity into the home folder when it is imported, is hidden; the package
    works without it.
    """
    if (known := sys.modules.get("openvino")) is not None:
        return known
    reporter = "openvino_telemetry"
    blocked = reporter not in sys.modules
    if blocked:
        sys.modules[reporter] = None  # type: ignore[assignment]
    try:
        import openvino
    except ImportError as error:
        how = "is not installed" if error.name == "openvino" else f"does not import: {error}"
        raise ProviderError(
            f"provider openvino was asked for, but OpenVINO {how}. Repair: {PROVIDERS['openvino'].install}"
        ) from error
    finally:
        if blocked:
            del sys.modules[reporter]
    return openvino


def open_openvino(model: Path | bytes, options: SessionOptions) -> OpenVinoSession:
    """Open a model in OpenVINO. Raises ProviderError if it is not installed, and ModelError."""
    threads = options.threads
    if options.side_by_side:
        return OpenVinoSession(model, threads, max(1, threads), options.keep_memory)
    # ONNX Runtime runs in as many inferences as there are callers; a rewritten graph is called from several if it has
    # few threads.
    streams = max(1, host.cores() // threads) if isinstance(model, bytes) and threads else 1
    return OpenVinoSession(model, threads * streams, streams, options.keep_memory)


class OpenVinoSession(Session):
    """A model compiled for this processor. Each inference has a request of its own."""

    provider = "openvino"
    on_cpu = True
    survives_fork = False

    def __init__(self, model: Path | bytes, threads: int = 0, streams: int = 1, keep_memory: bool = True) -> None:
        """Compile ``model``, or read it from the cache.

        Args:
            threads: processor threads of all streams together; 0 leaves it to OpenVINO.
            streams: inferences that run side by side, each on its share of the threads.
            keep_memory: keep memory between inferences.

        Raises ModelError if OpenVINO cannot run the model, and ProviderError if it is not installed.
        """
        self._openvino = openvino()
        self._name = model.name if isinstance(model, Path) else "its rewritten graph"
        self._model, self._keep_memory = model, keep_memory
        self._compiled = self._compile(threads, streams)
        self.inputs, self.outputs = list(map(_port, self._compiled.inputs)), list(map(_port, self._compiled.outputs))
        self._requests: deque[Any] = deque()

    def run(self, feeds: Mapping[str, np.ndarray], output: Output | None = None) -> list[np.ndarray]:
        try:
            request = self._requests.pop()
        except IndexError:
            request = self._compiled.create_infer_request()
        try:
            results = list(request.infer(dict(feeds), share_inputs=True).values())
        except RuntimeError as error:
            kind = TooLargeError if is_out_of_memory(error) else ModelError
            raise kind(reason(error)) from error
        if self._keep_memory:
            self._requests.append(request)
        else:
            del request
            with contextlib.suppress(RuntimeError):  # another thread is at work, and does this when it ends
                self._compiled.release_memory()
        return results

    def _compile(self, threads: int, streams: int) -> Any:
        core, version = self._openvino.Core(), self._openvino.__version__
        settings: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": "f32",  # else bfloat16 or float16 where the processor has them
            "NUM_STREAMS": streams,
            "ENABLE_CPU_PINNING": False,  # two processes of one machine would be tied to the same cores
            "CPU_RUNTIME_CACHE_CAPACITY": _SHAPES_KEPT,
        }
        if threads:
            settings["INFERENCE_NUM_THREADS"] = threads
        place = None
        if isinstance(self._model, Path):
            facts = version, core.get_property(_DEVICE, "FULL_DEVICE_NAME"), settings["INFERENCE_PRECISION_HINT"]
            place = engine_cache.place(self._model, "openvino", *facts)
            blob = engine_cache.read(place)
            if blob is not None:
                try:
                    return core.import_model(io.BytesIO(blob), _DEVICE, settings)
                except RuntimeError:  # of another build with the same version: compiled again, and replaced
                    pass
        try:
            # As bytes: a path would let it open files beside the model that the model names.
            data = self._model.read_bytes() if isinstance(self._model, Path) else self._model
            made = core.compile_model(core.read_model(data, b""), _DEVICE, settings)
        except RuntimeError as error:
            raise ModelError(f"{self._name}: OpenVINO {version} cannot run this model: {reason(error)}") from error
        if place is not None:
            engine_cache.write(place, made.export_model().getbuffer())
        return made


def reason(error: Exception) -> str:
    """Return the message of an OpenVINO error without the source files in which it was raised."""
    lines = [line.strip() for line in str(error).splitlines()]
    kept = [line for line in lines if line and not re.match(r"(Exception from |Check '.*' failed at )", line)]
    return (" ".join(kept) or str(error).strip())[:300]


def _port(node: Any) -> Port:
    kind, shape = node.get_element_type().get_type_name(), node.get_partial_shape()
    sizes = [] if shape.rank.is_dynamic else [size.get_length() if size.is_static else None for size in shape]
    return Port(node.get_any_name(), _TYPES.get(kind, kind), sizes)
