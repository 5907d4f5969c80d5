"""Conversion of float16 graphs to float32, for images on which float16 overflows."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

HALF, FLOAT = TensorProto.FLOAT16, TensorProto.FLOAT


def widened(model: bytes) -> bytes:
    """Return the bytes of a float16 model with every float16 replaced by float32; the weights keep their values."""
    edited = onnx.load_model_from_string(model)
    graph = edited.graph
    for tensor in graph.initializer:
        _widen(tensor)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                _widen(attribute.t)
            elif node.op_type == "Cast" and attribute.name == "to" and attribute.i == HALF:
                attribute.i = FLOAT
    del graph.value_info[:]
    return edited.SerializeToString()


def _widen(tensor: onnx.TensorProto) -> None:
    if tensor.data_type == HALF:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
