"""The interface of a session: a model that an execution provider has loaded and runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

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


class Port(NamedTuple):
    """An input or an output of a graph."""

    name: str
    dtype: str
    """NumPy's name of a tensor's type; ONNX Runtime's name of anything that is no tensor."""
    shape: list[int | str | None]
    """A string or None is a free size. Empty for a scalar, and where the file does not state the shape."""


class Output(NamedTuple):
    """Shape and type of a graph's single output, where the caller knows them before the inference."""

    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class SessionOptions:
    """Options of opening a session. A provider ignores those that do not apply to it."""

    threads: int = 0
    """Processor threads of one inference, or of all inferences together if they run ``side_by_side``; 0: the library's
    own choice."""
    side_by_side: bool = False
    """Run several inferences at once, each on its share of the threads, instead of one on all of them."""
    keep_memory: bool = True
    """Keep memory between inferences, which is faster; without it large images need less."""
    precision: str = "fp32"
    """Precision of the model, ``fp32``, ``fp16`` or ``int8``: TensorRT does not read it from the file."""
    allow_fallback: bool = False
    """Let the processor run nodes that a GPU's provider cannot run."""

    @property
    def threads_per_inference(self) -> int:
        """Threads of one inference, for a library that runs as many inferences at once as there are callers."""
        return 1 if self.side_by_side else self.threads


class Session(Protocol):
    """A loaded model. Any number of threads may call ``run`` at once."""

    provider: str
    """The key in ``PROVIDERS`` of the provider that really runs the model."""
    on_cpu: bool
    """True if the model runs on the processor, where one image per core is the fastest, and not in batches."""
    survives_fork: bool
    """True if a process that is forked later can go on using the session: it has no threads of its own."""
    inputs: Sequence[Port]
    """The graph's inputs."""
    outputs: Sequence[Port]
    """The graph's outputs."""

    @property
    def for_measuring(self) -> Session:
        """The session by which memory per image is measured: this one, unless its memory does not depend on images."""
        return self

    def run(self, feeds: Mapping[str, np.ndarray], output: Output | None = None) -> list[np.ndarray]:
        """Return the outputs in their order.

        ``output`` describes the single output where it is known; a GPU then uses page-locked buffers.

        Raises TooLargeError if the memory does not suffice, ModelError with the plain reason for any other failure of
        the inference, and ProviderError if the provider cannot run the model at this size.
        """
        ...

    def largest_batch(self, side: int) -> int | None:
        """Return how many images of that longer side in pixels can be run at once; None: limited by memory only."""
        return None


def is_out_of_memory(error: Exception) -> bool:
    """True if an inference failed because the memory of the processor or of a GPU did not suffice."""
    text = str(error).lower()
    return any(sign in text for sign in _OUT_OF_MEMORY)
