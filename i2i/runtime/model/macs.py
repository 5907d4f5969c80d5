"""Multiply-accumulate operations and parameters of an ONNX file, counted while ONNX Runtime runs it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from i2i.runtime.model.inference import Inference
from i2i.runtime.session import Output, Port, Session
from i2i.spec import Spec


def count(path: Path, spec: Spec, side: int) -> int:
    """Return the operations of the file's convolutions and matrix products for an image of that side in pixels.

    Sizes of a graph that takes any image are only known once it runs: ONNX Runtime's profile of an inference has them.
    """
    with tempfile.TemporaryDirectory() as folder:
        session = _Profiled(path, folder)
        Inference(path, spec).blank(session, side)
        events = json.loads(Path(session.session.end_profiling()).read_text())
    return sum(_of(event["args"]) for event in events if "output_type_shape" in event.get("args", {}))


def parameters(path: Path) -> int:
    """Return the number of floating-point and 8-bit weights: tensors of more than one value."""
    import onnx

    kinds = {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE, onnx.TensorProto.INT8}
    tensors = onnx.load(path, load_external_data=False).graph.initializer
    return sum(prod(tensor.dims) for tensor in tensors if tensor.data_type in kinds and prod(tensor.dims) > 1)


class _Profiled(Session):
    """A session on the processor that writes a profile, with the nodes as they are in the file."""

    provider, on_cpu, survives_fork = "cpu", True, False

    def __init__(self, path: Path, folder: str) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.enable_profiling, options.profile_file_prefix = True, str(Path(folder, "profile"))
        options.add_session_config_entry("session.disable_prepacking", "1")  # which hides weights from the profile
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.inputs = [Port(node.name, node.type, node.shape) for node in self.session.get_inputs()]
        self.outputs = [Port(node.name, node.type, node.shape) for node in self.session.get_outputs()]

    def run(self, feeds: Mapping[str, np.ndarray], output: Output | None = None) -> list[np.ndarray]:
        return self.session.run(None, dict(feeds))


def _of(facts: dict[str, Any]) -> int:
    """Return the operations of a node of the profile."""
    given = [next(iter(shape.values())) for shape in facts["input_type_shape"] if shape]
    results = [next(iter(shape.values())) for shape in facts["output_type_shape"] if shape]
    match facts.get("op_name"):
        case "Conv":
            return prod(results[0]) * prod(given[1][1:])
        case "ConvTranspose":
            return prod(given[0]) * prod(given[1][1:])
        case "MatMul" | "Gemm":
            return prod(results[0]) * given[0][-1]
    return 0
