"""A simulated graphics card: ONNX Runtime's sessions on the CPU, which claim to run on the card."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

NAMES = {"cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}
BFC_ARENA = (
    "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code returned while running Conv node. "
    "Status Message: /onnxruntime_src/onnxruntime/core/framework/bfc_arena.cc:376 void* onnxruntime::BFCArena::"
    "AllocateRawInternal(size_t, bool, onnxruntime::Stream*) Failed to allocate memory for requested buffer of size 1"
)


class Session:
    """One on the CPU that says it is on the card, and runs out of memory beyond so many pixels."""

    def __init__(self, card: Card, real: Any, on: Sequence[str]) -> None:
        self._card, self._real, self._on = card, real, on

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def get_providers(self) -> list[str]:
        return [*self._on, "CPUExecutionProvider"]

    def get_provider_graph_assignment_info(self) -> list[Any]:
        nodes = [node for part in self._real.get_provider_graph_assignment_info() for node in part.get_nodes()]
        left = [node for node in nodes if node.op_type in self._card.without]
        return [
            SimpleNamespace(ep_name="CPUExecutionProvider", get_nodes=lambda: left),
            SimpleNamespace(ep_name=self._on[0] if self._on else "", get_nodes=lambda: nodes),
        ]

    def run(self, outputs: Any, feeds: dict[str, np.ndarray], options: Any = None) -> list[np.ndarray]:
        self._card.see(next(iter(feeds.values())))
        return self._real.run(outputs, feeds, options)

    def io_binding(self) -> Any:
        binding = self._real.io_binding()
        real = binding.bind_cpu_input

        def bind(name: str, array: np.ndarray) -> None:
            if array.ndim == 4:
                self._card.bound = array
            real(name, array)

        binding.bind_cpu_input = bind
        return binding

    def run_with_iobinding(self, binding: Any, options: Any = None) -> None:
        self._card.see(self._card.bound)
        self._real.run_with_iobinding(binding, options)


class Card:
    """What the fake card can do, and what it was given.

    Attributes:
        without: kinds of nodes that it has no kernels for.
        pixels: that it holds at once.
        batches: shapes of the images that it was given, those included that it did not hold.
        fails: the error with which a session on the card does not open.
        asked: the providers, with their options, of each session.
        built: the folders in which TensorRT built an engine.
        refuses: what it reads of an engine that it cannot use.
        breaks: whether TensorRT fails to build one.
    """

    def __init__(self) -> None:
        self.without: set[str] = {"Shape"}
        self.pixels: float = float("inf")
        self.batches: list[tuple[int, ...]] = []
        self.asked: list[list[Any]] = []
        self.bound = np.empty(0)
        self.fails = ""
        self.loads: set[str] = set(NAMES.values())
        self.built: list[Path] = []
        self.refuses = b"of another driver"
        self.breaks = False

    def see(self, batch: np.ndarray) -> None:
        self.batches.append(batch.shape)
        if np.prod(batch.shape[:3]) > self.pixels:
            raise RuntimeError(BFC_ARENA)

    def open(self, model: Any, options: Any, providers: list[Any], **_: Any) -> Session:
        import onnxruntime

        self.asked.append(providers)
        if self.fails and len(providers) > 1:
            raise RuntimeError(self.fails)
        on = [each[0] for each in providers if each[0] in self.loads]
        if on[:1] == [NAMES["tensorrt"]]:
            self.load_engine(providers[0][1])
        if not providers[:-1]:
            return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        real = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        return Session(self, real, on)

    def load_engine(self, options: dict[str, str]) -> None:
        """As TensorRT in ONNX Runtime does it: what is in the folder is read, or refused; else it is built there."""
        engine = Path(options.get("trt_engine_cache_path", "nowhere")) / "graph_sm90.engine"
        if engine.exists():
            if engine.read_bytes() == self.refuses:
                raise RuntimeError(f"TensorRT EP could not deserialize engine from cache: {engine}")
            return
        self.built.append(engine.parent)
        if self.breaks:
            raise RuntimeError("no builder")
        if engine.parent.is_dir():
            engine.write_bytes(b"engine")
            engine.with_suffix(".profile").write_bytes(b"profile")
