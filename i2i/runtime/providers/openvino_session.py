"""A model in OpenVINO, behind the few methods of an ONNX Runtime session that are used here.

onnxruntime-openvino would overwrite onnxruntime-gpu, so this is the package ``openvino`` itself, on the processor.
Results are computed in float32 whatever the processor could do with less, so that pixels are those of ONNX Runtime.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from i2i.runtime.errors import ModelError, ProviderError
from i2i.runtime.graphs.onnx_file import read_metadata
from i2i.runtime.providers import engine_cache

INSTALL = 'pip install "i2i[openvino]"'
_DEVICE = "CPU"
_TYPES = {"f32": "float", "f16": "float16", "f64": "double", "u8": "uint8", "i64": "int64", "i32": "int32"}
_SHAPES_KEPT = 64  # whose kernels are kept; OpenVINO's 5000 would be memory without end in a folder of many sizes


class Port(NamedTuple):
    """An input or an output, as ONNX Runtime describes it; None in the shape is a free size."""

    name: str
    type: str
    shape: list[int | None]


def openvino() -> ModuleType:
    """The module. Raises ProviderError, with the line that installs it.

    Its reporter of usage, which would write an identity into the home folder when it is imported, is kept out as the
    package itself provides for where it is not installed.
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
        raise ProviderError(f"provider openvino was asked for, but OpenVINO {how}. Repair: {INSTALL}") from error
    finally:
        if blocked:
            del sys.modules[reporter]
    return openvino


class Session:
    """A model compiled for this processor, for any number of threads: each inference has a request of its own."""

    def __init__(self, model: Path | bytes, threads: int = 0, streams: int = 1, keep: bool = True) -> None:
        """
        Args:
            threads: of the processor, of all streams together; 0 leaves it to OpenVINO.
            streams: inferences that run side by side, each on its share of the threads.
            keep: whether memory is kept between inferences.

        Raises ModelError for what OpenVINO cannot run, and ProviderError where it is not installed.
        """
        self._openvino = openvino()
        self._name = model.name if isinstance(model, Path) else "its rewritten graph"
        self._model, self._keep = model, keep
        self._compiled = self._compile(threads, streams)
        self._inputs, self._outputs = list(map(_port, self._compiled.inputs)), list(map(_port, self._compiled.outputs))
        self._requests: deque[Any] = deque()

    def run(self, _: object, feeds: Mapping[str, np.ndarray], __: object = None) -> list[np.ndarray]:
        """The outputs, in their order. Raises ModelError."""
        try:
            request = self._requests.pop()
        except IndexError:
            request = self._compiled.create_infer_request()
        try:
            results = list(request.infer(dict(feeds), share_inputs=True).values())
        except RuntimeError as error:
            raise ModelError(reason(error)) from error
        if self._keep:
            self._requests.append(request)
        else:
            del request
            with contextlib.suppress(RuntimeError):  # another thread is at work on it, and will come here itself
                self._compiled.release_memory()
        return results

    def get_inputs(self) -> list[Port]:
        """What it takes."""
        return self._inputs

    def get_outputs(self) -> list[Port]:
        """What it returns."""
        return self._outputs

    def get_providers(self) -> list[str]:
        """Under the name that ONNX Runtime has for it."""
        return ["OpenVINOExecutionProvider"]

    def get_modelmeta(self) -> SimpleNamespace:
        """The metadata of the file, which OpenVINO does not read."""
        known = read_metadata(self._model) if isinstance(self._model, Path) else {}
        return SimpleNamespace(custom_metadata_map=known)

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
    """What an error of OpenVINO says, without the places in its source where it was raised."""
    lines = [line.strip() for line in str(error).splitlines()]
    told = [line for line in lines if line and not re.match(r"(Exception from |Check '.*' failed at )", line)]
    return (" ".join(told) or str(error).strip())[:300]


def _port(node: Any) -> Port:
    kind = node.get_element_type().get_type_name()
    sizes = [size.get_length() if size.is_static else None for size in node.get_partial_shape()]
    return Port(node.get_any_name(), f"tensor({_TYPES.get(kind, kind)})", sizes)
