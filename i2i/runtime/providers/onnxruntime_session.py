"""Opening a session, and knowing where it really runs.

ONNX Runtime lists providers that cannot load, and a session that asked for CUDA runs on the CPU without an error; only
``session.get_providers()`` tells the truth of the whole, and ``placement`` of the nodes.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from i2i.runtime.errors import ModelError, ProviderError
from i2i.runtime.providers import placement
from i2i.runtime.system import host, packages

CUDA = (
    "CUDAExecutionProvider",
    # Every new size would be tuned anew under the default search, and the arena would double itself each time it grows.
    {"cudnn_conv_algo_search": "HEURISTIC", "arena_extend_strategy": "kSameAsRequested"},
)
REPAIR = {
    "cuda": "pip install 'onnxruntime-gpu[cuda,cudnn]'",
    "tensorrt": "pip install 'onnxruntime-gpu[cuda,cudnn]' 'tensorrt-cu13<11'",
}
Wanted = tuple[str, dict[str, str]]  # a provider of ONNX Runtime and its options
_OUT_OF_MEMORY = (
    "bfc_arena",
    "bad_alloc",
    "out of memory",
    "outofmemory",
    "failed to allocate memory",
    "cuda_error_out_of_memory",
    "alloc_failed",
    "allocation_failed",
)


def onnxruntime() -> ModuleType:
    """The module, or a ModelError that says how to mend an installation in which it is only a shell."""
    import onnxruntime

    if not hasattr(onnxruntime, "InferenceSession"):
        raise ModelError("; ".join(packages.shells()) or "onnxruntime is installed but empty: run `i2i doctor`")
    return onnxruntime


def open_in_onnxruntime(path: Path | bytes, wanted: Sequence[Wanted], threads: int, arena: bool = True) -> Any:
    """An ``onnxruntime.InferenceSession`` on these providers, of which those that do not load are left out, and on the
    CPU. Raises ModelError."""
    ort = onnxruntime()
    if wanted and hasattr(ort, "preload_dlls"):
        with contextlib.redirect_stdout(io.StringIO()):  # it prints; the session tells what loaded
            ort.preload_dlls()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.enable_cpu_mem_arena = arena
    options.log_severity_level = 3  # errors
    if wanted:
        options.add_session_config_entry(placement.RECORD, "1")
    providers = [*wanted, "CPUExecutionProvider"]
    try:
        # Else it prints an error of a provider and goes on without it.
        return ort.InferenceSession(
            path if isinstance(path, bytes) else str(path), options, providers=providers, enable_fallback=0
        )
    except Exception as error:  # ONNX Runtime's errors have no common class but this
        name = "its rewritten graph" if isinstance(path, bytes) else path
        where = " on a GPU" if wanted else ""
        raise ModelError(
            f"{name}: ONNX Runtime {ort.__version__} cannot run this model{where}: {reason(error)}"
        ) from error


def check_card(provider: str) -> None:
    """ProviderError if there is no card, or ONNX Runtime has nothing for it."""
    if not host.cuda_devices():
        raise ProviderError(
            f"provider {provider} was asked for, but the NVIDIA driver shows no card; `i2i doctor` says more"
        )
    if not offers(ONNX_NAMES[provider]):
        raise ProviderError(
            f"provider {provider} was asked for, but this ONNX Runtime was built without it; `i2i doctor` says more"
        )


ONNX_NAMES = {"cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}


def offers(name: str) -> bool:
    """Whether ONNX Runtime was built with a provider, which does not say that it loads."""
    return name in onnxruntime().get_available_providers()


def not_loaded(provider: str, instead: str) -> str:
    """The sentence for a provider that was asked for and did not load."""
    why = missing_library(provider)
    return (
        f"provider {provider} was asked for, but {'CUDA' if provider == 'cuda' else 'TensorRT'} did not load "
        f"{f'({why}) ' if why else ''}and {instead} would run instead; onnxruntime-gpu needs libraries of its own "
        f"versions: {REPAIR[provider]}"
    )


def missing_library(provider: str) -> str | None:
    """Why the library of ONNX Runtime for that provider does not load, which ONNX Runtime itself only prints."""
    pattern = "onnxruntime_providers_{}.dll" if sys.platform == "win32" else "libonnxruntime_providers_{}.so"
    module = onnxruntime()
    folder = Path(module.__file__ or "").parent / "capi"
    try:
        ctypes.CDLL(str(folder / pattern.format("shared")), mode=ctypes.RTLD_GLOBAL)
        ctypes.CDLL(str(folder / pattern.format(provider)))
    except OSError as error:
        return str(error).replace(f"{folder}/", "")
    return None


def check_placement(session: Any, path: Path, provider: str) -> None:
    """ProviderError, which names them, if nodes that work on pixels were left to the processor."""
    nodes = placement.left_to_cpu(session, path)
    if nodes:
        more = f" and {len(nodes) - 5} more" if len(nodes) > 5 else ""
        raise ProviderError(
            f"{path}: {provider} cannot run {', '.join(nodes[:5])}{more}; the processor would, and the image would go "
            "to it and back each time. Allow that with --allow-fallback (allow_fallback=True), or take --provider cpu"
        )


def is_out_of_memory(error: Exception) -> bool:
    """Whether an inference failed because a memory, of the processor or of a GPU, does not hold it."""
    text = str(error).lower()
    return any(sign in text for sign in _OUT_OF_MEMORY)


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


def on_processor(provider: str) -> bool:
    """Whether a provider computes on the processor, where one image a core gets most done."""
    return provider in ("cpu", "openvino")
