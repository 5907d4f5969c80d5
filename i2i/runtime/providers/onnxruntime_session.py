"""Sessions of ONNX Runtime on the processor and on CUDA.

ONNX Runtime lists providers that cannot load, and a session that asked for CUDA runs on the CPU without an error. Only
``InferenceSession.get_providers()`` says what the session as a whole runs on, and ``placement`` what each node runs on.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import re
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from i2i.runtime.errors import ModelError, ProviderError, TooLargeError
from i2i.runtime.log import note
from i2i.runtime.providers import placement
from i2i.runtime.providers.table import PROVIDERS
from i2i.runtime.session import Output, Port, Session, SessionOptions, is_out_of_memory
from i2i.runtime.system import host, packages

if TYPE_CHECKING:
    from i2i.runtime.providers.io_binding import Binding

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
# The default search would tune each new size again, and the arena would double itself each time that it grows.
CUDA_OPTIONS = {"cudnn_conv_algo_search": "HEURISTIC", "arena_extend_strategy": "kSameAsRequested"}
Wanted = tuple[str, dict[str, str]]  # ONNX Runtime's name of a provider, and its options
_DTYPES = {"float": "float32", "double": "float64"}


class OnnxRuntimeSession(Session):
    """An ``onnxruntime.InferenceSession`` behind the interface of ``Session``."""

    def __init__(
        self,
        model: Path | bytes,
        wanted: Sequence[Wanted] = (),
        threads: int = 0,
        keep_memory: bool = True,
        buffers: Binding | None = None,
    ) -> None:
        """Open ``model`` on the ``wanted`` providers, except those that do not load, and on the processor.

        ``buffers`` are shared by the sessions of one model; by default a session on a GPU has its own.

        Raises ModelError if ONNX Runtime cannot run the model.
        """
        self._session = _inference_session(model, wanted, threads, keep_memory)
        self.provider = self._session.get_providers()[0].removesuffix("ExecutionProvider").lower()
        self.on_cpu = self.provider == "cpu"
        self.survives_fork = self.on_cpu and threads == 1  # the one thread is the caller's
        self.inputs = [_port(node) for node in self._session.get_inputs()]
        self.outputs = [_port(node) for node in self._session.get_outputs()]
        self.buffers = None if self.on_cpu else buffers or _page_locked_buffers()

    def run(self, feeds: Mapping[str, np.ndarray], output: Output | None = None) -> list[np.ndarray]:
        options = onnxruntime().RunOptions()
        options.log_severity_level = 4  # fatal: an error is raised, and not printed as well
        try:
            if output is not None and self.buffers is not None:
                return [self.buffers.run(self._session, feeds, output.shape, output.dtype, options)]
            results: list[np.ndarray] = self._session.run(None, dict(feeds), options)
            return results
        except Exception as error:  # ONNX Runtime's errors have no common class but this
            kind = TooLargeError if is_out_of_memory(error) else ModelError
            raise kind(_reason(error)) from error

    def check_placement(self, model: Path, provider: str) -> None:
        """Raise ProviderError, naming the nodes, if nodes that work on pixels were left to the processor."""
        nodes = placement.left_to_cpu(self._session, model)
        if nodes:
            more = f" and {len(nodes) - 5} more" if len(nodes) > 5 else ""
            raise ProviderError(
                f"{model}: {provider} cannot run {', '.join(nodes[:5])}{more}; the processor would, and the image "
                "would be copied to it and back each time. Allow that with --allow-fallback (allow_fallback=True), or "
                "take --provider cpu"
            )


def open_cpu(model: Path | bytes, options: SessionOptions) -> OnnxRuntimeSession:
    """Open a model on the processor."""
    return OnnxRuntimeSession(model, (), options.threads_per_inference, options.keep_memory)


def open_cuda(model: Path | bytes, options: SessionOptions) -> OnnxRuntimeSession:
    """Open a model on CUDA. Raises ProviderError if CUDA does not load or leaves nodes to the processor."""
    check_card("cuda", CUDA)
    try:
        session = _open_on_card(model, options)
    except ModelError as error:
        open_cpu(model, options)  # raises if the model is at fault, and not the card
        raise ProviderError(f"{error}. The CPU can: --provider cpu") from error
    if session.on_cpu:
        raise ProviderError(not_loaded("cuda", session.provider))
    return session


def open_auto(model: Path | bytes, options: SessionOptions) -> OnnxRuntimeSession:
    """Open a model on CUDA if there is a card and CUDA loads, else on the processor.

    Raises ProviderError if CUDA leaves nodes that work on pixels to the processor.
    """
    if not host.cuda_devices() or not offers(CUDA):
        return open_cpu(model, options)
    try:
        session = _open_on_card(model, options)
    except ModelError as error:
        session = open_cpu(model, options)
        note(f"{error}; it runs on the CPU instead")
        return session
    if session.on_cpu:
        _note_that_cuda_did_not_load()
    return session


@cache
def _note_that_cuda_did_not_load() -> None:
    why = missing_library("cuda")
    note(f"there is a card, but CUDA did not load{f' ({why})' if why else ''}, so the CPU is used: see `i2i doctor`")


def _open_on_card(model: Path | bytes, options: SessionOptions) -> OnnxRuntimeSession:
    """Open a model on CUDA, or on the processor if CUDA does not load."""
    session = OnnxRuntimeSession(model, [(CUDA, CUDA_OPTIONS)], options.threads_per_inference, options.keep_memory)
    if not session.on_cpu and isinstance(model, Path) and not options.allow_fallback:
        session.check_placement(model, "cuda")
    return session


def onnxruntime() -> ModuleType:
    """Import ONNX Runtime. Raises ModelError, with the repair, for an installation of which only the folder is left."""
    import onnxruntime

    if not hasattr(onnxruntime, "InferenceSession"):
        raise ModelError("; ".join(packages.shells()) or "onnxruntime is installed but empty: run `i2i doctor`")
    return onnxruntime


def _inference_session(model: Path | bytes, wanted: Sequence[Wanted], threads: int, keep_memory: bool) -> Any:
    ort = onnxruntime()
    if wanted and hasattr(ort, "preload_dlls"):
        with contextlib.redirect_stdout(io.StringIO()):  # it prints what does not load
            ort.preload_dlls()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.enable_cpu_mem_arena = keep_memory
    options.log_severity_level = 3  # errors
    if wanted:
        options.add_session_config_entry(placement.RECORD, "1")
    try:
        return ort.InferenceSession(
            model if isinstance(model, bytes) else str(model),
            options,
            providers=[*wanted, CPU],
            enable_fallback=0,  # or it prints a provider's error and goes on without the provider
        )
    except Exception as error:  # ONNX Runtime's errors have no common class but this
        name = "its rewritten graph" if isinstance(model, bytes) else model
        where = " on a GPU" if wanted else ""
        raise ModelError(
            f"{name}: ONNX Runtime {ort.__version__} cannot run this model{where}: {_reason(error)}"
        ) from error


def _port(node: Any) -> Port:
    name = node.type.removeprefix("tensor(").removesuffix(")") if node.type.startswith("tensor(") else node.type
    return Port(node.name, _DTYPES.get(name, name), list(node.shape))


def _page_locked_buffers() -> Binding:
    from i2i.runtime.providers.io_binding import Binding  # needed on a GPU only
    from i2i.runtime.system.cuda import page_locked

    return Binding(page_locked)


def check_card(provider: str, onnx_name: str) -> None:
    """Raise ProviderError if there is no graphics card, or if this ONNX Runtime was built without the provider."""
    if not host.cuda_devices():
        raise ProviderError(
            f"provider {provider} was asked for, but the NVIDIA driver shows no card; `i2i doctor` says more"
        )
    if not offers(onnx_name):
        raise ProviderError(
            f"provider {provider} was asked for, but this ONNX Runtime was built without it; `i2i doctor` says more"
        )


def offers(onnx_name: str) -> bool:
    """True if ONNX Runtime was built with a provider. The provider may still fail to load."""
    return onnx_name in onnxruntime().get_available_providers()


def not_loaded(provider: str, instead: str) -> str:
    """Return the error message for a provider that was asked for and did not load."""
    why = missing_library(provider)
    return (
        f"provider {provider} was asked for, but {'CUDA' if provider == 'cuda' else 'TensorRT'} did not load "
        f"{f'({why}) ' if why else ''}and {instead} would run instead; onnxruntime-gpu needs libraries of its own "
        f"versions: {PROVIDERS[provider].install}"
    )


def missing_library(provider: str) -> str | None:
    """Return why ONNX Runtime's library for a provider does not load, or None. ONNX Runtime itself only prints it."""
    pattern = "onnxruntime_providers_{}.dll" if sys.platform == "win32" else "libonnxruntime_providers_{}.so"
    module = onnxruntime()
    folder = Path(module.__file__ or "").parent / "capi"
    try:
        ctypes.CDLL(str(folder / pattern.format("shared")), mode=ctypes.RTLD_GLOBAL)
        ctypes.CDLL(str(folder / pattern.format(provider)))
    except OSError as error:
        return str(error).replace(f"{folder}/", "")
    return None


def _reason(error: Exception) -> str:
    """Return the message of an ONNX Runtime error without its codes and source files."""
    text = re.sub(r"/onnxruntime_src/\S+:\d+ .*?\) (?=[A-Z])", "", (str(error).strip() or repr(error)).splitlines()[0])
    return re.sub(r"^(\[ONNXRuntimeError\] : \d+ : \w+ : )?(Load model from .*? failed:)?", "", text)[:300]
