"""Opening a session in ONNX Runtime, and knowing where it really runs.

ONNX Runtime lists providers that cannot load, and a session that asked for CUDA runs on the CPU without an error; only
``session.get_providers()`` tells the truth.
"""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from types import ModuleType
from typing import Any

from i2i.runtime import packages
from i2i.runtime.errors import ModelError, ProviderError
from i2i.runtime.machine import cuda_devices

PROVIDERS = ("auto", "cpu", "cuda")
_CUDA = (
    "CUDAExecutionProvider",
    # Every new size would be tuned anew under the default search, and the arena would double itself each time it grows.
    {"cudnn_conv_algo_search": "HEURISTIC", "arena_extend_strategy": "kSameAsRequested"},
)


def onnxruntime() -> ModuleType:
    """The module, or a ModelError that says how to mend an installation in which it is only a shell."""
    import onnxruntime

    if not hasattr(onnxruntime, "InferenceSession"):
        raise ModelError("; ".join(packages.shells()) or "onnxruntime is installed but empty: run `i2i doctor`")
    return onnxruntime


def open_session(path: Path | bytes, provider: str = "auto", threads: int = 0, arena: bool = True) -> Any:
    """An ``onnxruntime.InferenceSession`` of the file, or of the bytes of one.

    Args:
        provider: ``cuda`` fails without CUDA; ``auto`` takes it if a card is there and it loads; ``cpu``.
        threads: of one inference on the CPU; 0 leaves it to ONNX Runtime.
        arena: whether the CPU keeps memory between calls, which is faster; without it large images need less.

    Raises ProviderError or ModelError.
    """
    if provider not in PROVIDERS:
        raise ValueError(f"unknown provider {provider!r}; choose from {', '.join(PROVIDERS)}")
    ort = onnxruntime()
    wanted: list[Any] = ["CPUExecutionProvider"]
    cards = [] if provider == "cpu" else cuda_devices()
    if provider == "cuda" and not cards:
        raise ProviderError("provider cuda was asked for, but the NVIDIA driver shows no card; `i2i doctor` says more")
    if cards and _CUDA[0] in ort.get_available_providers():
        if hasattr(ort, "preload_dlls"):
            with contextlib.redirect_stdout(io.StringIO()):  # it prints; the session tells whether CUDA loaded
                ort.preload_dlls()
        wanted.insert(0, _CUDA)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.enable_cpu_mem_arena = arena
    options.log_severity_level = 3  # errors
    try:
        session = ort.InferenceSession(path if isinstance(path, bytes) else str(path), options, providers=wanted)
    except Exception as error:  # ONNX Runtime's errors have no common class but this
        name = "its rewritten graph" if isinstance(path, bytes) else path
        raise ModelError(f"{name}: ONNX Runtime {ort.__version__} cannot run this model: {reason(error)}") from error
    if provider == "cuda" and running_on(session) != "cuda":
        raise ProviderError(
            f"provider cuda was asked for, but CUDA did not load and {running_on(session)} would run instead; "
            "onnxruntime-gpu needs CUDA and cuDNN of its own version: `i2i doctor` says more"
        )
    return session


def reason(error: Exception) -> str:
    """What an error of ONNX Runtime says, without its codes and the names of its source files."""
    text = re.sub(r"/onnxruntime_src/\S+:\d+ .*?\) (?=[A-Z])", "", str(error).strip().splitlines()[0])
    return re.sub(r"^(\[ONNXRuntimeError\] : \d+ : \w+ : )?(Load model from .*? failed:)?", "", text)[:300]


def quietly() -> Any:
    """Run options under which a failing inference prints nothing: its error is raised, and told by who asked."""
    options = onnxruntime().RunOptions()
    options.log_severity_level = 4  # fatal
    return options


def running_on(session: Any) -> str:
    """The provider that the session really uses first: ``cuda``, ``cpu`` ..."""
    name: str = session.get_providers()[0]
    return name.removesuffix("ExecutionProvider").lower()
