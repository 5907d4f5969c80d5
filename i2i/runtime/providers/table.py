"""Execution providers by name, and how each opens a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from i2i.runtime.errors import ModelError, ProviderError
from i2i.runtime.log import note
from i2i.runtime.providers.onnxruntime_session import (
    CUDA,
    check_card,
    check_placement,
    not_loaded,
    offers,
    open_in_onnxruntime,
    running_on,
)
from i2i.runtime.system import host

PROVIDERS = ("auto", "cpu", "cuda", "tensorrt", "openvino")


def open_session(
    path: Path | bytes,
    provider: str = "auto",
    threads: int = 0,
    arena: bool = True,
    *,
    side_by_side: bool = False,
    precision: str = "fp32",
    allow_fallback: bool = False,
) -> Any:
    """A session of the file, or of the bytes of one: ONNX Runtime's, or what has the same methods.

    Args:
        provider: ``cuda``, ``tensorrt`` and ``openvino`` fail where they do not load; ``auto`` takes CUDA if a card is
            there and it loads; ``cpu``.
        threads: of one inference on the processor, or of as many inferences if they run ``side_by_side``; 0 leaves it
            to the library.
        arena: whether the processor keeps memory between calls, which is faster; without it large images need less.
        precision: of the model, which TensorRT has to be told.
        allow_fallback: whether nodes that work on pixels may run on the processor under a GPU's provider.

    Bytes are taken to be a form of a file that was opened before. TensorRT would build an engine for each, which takes
    minutes, so CUDA runs them.

    Raises ProviderError or ModelError.
    """
    if provider not in PROVIDERS:
        raise ValueError(f"unknown provider {provider!r}; choose from {', '.join(PROVIDERS)}")
    if provider == "openvino":
        from i2i.runtime.providers.openvino_session import Session

        if side_by_side:
            return Session(path, threads, max(1, threads), arena)
        # ONNX Runtime infers in as many threads as call it; a form is called from several if it has but a few itself.
        streams = max(1, host.cores() // threads) if isinstance(path, bytes) and threads else 1
        return Session(path, threads * streams, streams, arena)
    threads = 1 if side_by_side else threads
    if provider == "tensorrt" and isinstance(path, Path):
        from i2i.runtime.providers.tensorrt_session import TensorRT

        return TensorRT(path, threads, precision, allow_fallback)
    if provider == "tensorrt":
        provider = "cuda"
    if provider == "cuda":
        check_card(provider)
    wanted = [CUDA] if provider != "cpu" and host.cuda_devices() and offers(CUDA[0]) else []
    try:
        session = open_in_onnxruntime(path, wanted, threads, arena)
    except ModelError as error:
        if not wanted:
            raise
        session = open_in_onnxruntime(path, [], threads, arena)  # or the model is at fault, and not the card
        if provider == "cuda":
            raise ProviderError(f"{error}. The CPU can: --provider cpu") from error
        note(f"{error}; it runs on the CPU instead")
    if provider == "cuda" and running_on(session) != "cuda":
        raise ProviderError(not_loaded(provider, running_on(session)))
    if running_on(session) == "cuda" and isinstance(path, Path) and not allow_fallback:
        check_placement(session, path, "cuda")
    return session
