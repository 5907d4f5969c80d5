"""The table of execution providers: the only place that knows their names."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from i2i.runtime.session import Session


@dataclass(frozen=True)
class Provider:
    """One execution provider. Nothing is imported before a model is opened with it."""

    open: str
    """``module:function``. The function takes a ``Path`` or the bytes of an ONNX file and ``SessionOptions`` and
    returns a ``Session``. Bytes are a rewritten graph of a file that was opened before.

    It raises ProviderError if the provider does not load, and ModelError if it cannot run the model."""
    install: str = ""
    """The command that installs what the provider needs beyond the base install."""


_ONNXRUNTIME = "i2i.runtime.providers.onnxruntime_session"
AUTO = "auto"
"""The provider that takes the best one that loads. It has no session of its own."""

PROVIDERS = {
    AUTO: Provider(f"{_ONNXRUNTIME}:open_auto"),
    "cpu": Provider(f"{_ONNXRUNTIME}:open_cpu"),
    "cuda": Provider(f"{_ONNXRUNTIME}:open_cuda", "pip install 'onnxruntime-gpu[cuda,cudnn]'"),
    "tensorrt": Provider(
        "i2i.runtime.providers.tensorrt_session:open_tensorrt",
        "pip install 'onnxruntime-gpu[cuda,cudnn]' 'tensorrt-cu13<11'",
    ),
    "openvino": Provider("i2i.runtime.providers.openvino_session:open_openvino", 'pip install "i2i[openvino]"'),
}


def open_session(
    model: Path | bytes,
    provider: str = AUTO,
    threads: int = 0,
    *,
    side_by_side: bool = False,
    keep_memory: bool = True,
    precision: str = "fp32",
    allow_fallback: bool = False,
) -> Session:
    """Open a file, or the bytes of a rewritten graph, with a provider; the options are those of ``SessionOptions``.

    Raises ValueError for an unknown provider, ProviderError if it does not load, and ModelError if it cannot run the
    model.
    """
    from i2i.runtime.session import SessionOptions  # NumPy, which the command line does not wait for

    if provider not in PROVIDERS:
        raise ValueError(f"unknown provider {provider!r}; choose from {', '.join(PROVIDERS)}")
    module, _, function = PROVIDERS[provider].open.partition(":")
    options = SessionOptions(threads, side_by_side, keep_memory, precision, allow_fallback)
    session: Session = getattr(import_module(module), function)(model, options)
    return session
