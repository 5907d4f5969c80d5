"""A machine with a simulated graphics card."""

from __future__ import annotations

from types import SimpleNamespace
from weakref import WeakSet

import pytest

from i2i.runtime.memory import batch_size
from i2i.runtime.providers import onnxruntime_session
from i2i.runtime.system import host
from tests.runtime.providers.gpu import NAMES, Card


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Card:
    """A machine with that card."""
    real, found = onnxruntime_session.onnxruntime(), Card()
    fake = SimpleNamespace(
        InferenceSession=found.open,
        SessionOptions=real.SessionOptions,
        RunOptions=real.RunOptions,
        get_available_providers=lambda: [*NAMES.values(), "CPUExecutionProvider"],
        __version__="fake",
        __file__=real.__file__,
    )
    monkeypatch.setattr(batch_size, "_IN_USE", WeakSet())  # models of other tests may not be gone yet
    monkeypatch.setattr(onnxruntime_session, "onnxruntime", lambda: fake)
    monkeypatch.setattr(host, "cuda_devices", lambda: ["a card"])
    monkeypatch.setattr(
        onnxruntime_session,
        "missing_library",
        lambda name: None if NAMES[name] in found.loads else "libnvinfer.so.10: cannot open shared object file",
    )
    return found
