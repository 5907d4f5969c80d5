"""Convert a module to an ONNX graph: any batch and size, opset 18, one file, readable names."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator

import numpy as np
import onnx
import torch
from torch import nn

from i2i import __version__
from i2i.errors import ExportError
from i2i.exporter import ports
from i2i.spec import Spec

# The least opset with reflection padding, and the highest that every released CUDA provider has kernels for.
OPSET = 18


def to_onnx(module: nn.Module, spec: Spec) -> onnx.ModelProto:
    """Return the graph of ``module``, with the inputs and output of ``spec``. Raises ExportError."""
    inputs = ports.inputs(spec)
    free = tuple({axis: size for axis, size in enumerate(end.sizes) if isinstance(size, str)} for end in inputs)
    with _quiet() as chatter:
        try:
            program = torch.onnx.export(
                module,
                ports.examples(spec),
                dynamo=True,
                opset_version=OPSET,
                external_data=False,
                input_names=[end.name for end in inputs],
                output_names=[ports.output(spec).name],
                dynamic_shapes=free,
            )
        except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
            raise ExportError(
                f"PyTorch {torch.__version__} could not export {type(module).__name__}: {error}\n{chatter.getvalue()}"
            ) from error
    assert program is not None  # only the legacy exporter returns nothing
    model = program.model_proto
    _check_form(model, spec)
    _tidy(model, spec)
    return model


def _check_form(model: onnx.ModelProto, spec: Spec) -> None:
    """Raise ExportError unless the graph has the requested opset, free sizes and types."""
    opsets = {entry.domain or "ai.onnx": entry.version for entry in model.opset_import}
    if opsets != {"ai.onnx": OPSET} or model.functions:
        got = ", ".join(f"{domain} {version}" for domain, version in opsets.items())
        raise ExportError(f"the graph is not in plain opset {OPSET}: it imports {got}. No file was written")
    values, promised = (*model.graph.input, *model.graph.output), (*ports.inputs(spec), ports.output(spec))
    if [value.name for value in values] != [end.name for end in promised]:
        got, want = (", ".join(one.name for one in several) for several in (values, promised))
        raise ExportError(f"the graph has {got} for its inputs and output; expected {want}. No file was written")
    for value, end in zip(values, promised, strict=True):
        tensor = value.type.tensor_type
        sizes = [d.dim_param or d.dim_value for d in tensor.shape.dim]
        fixed = tuple(size if isinstance(size, int) else None for size in sizes)
        want_type = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(end.dtype))
        if tensor.elem_type != want_type or fixed != tuple(s if isinstance(s, int) else None for s in end.sizes):
            raise ExportError(
                f"{end.name!r} came out as type {tensor.elem_type} {sizes}; expected type {want_type}, {end.words}: "
                "does the network fix a size, or are the domains another network's? No file was written"
            )


def _tidy(model: onnx.ModelProto, spec: Spec) -> None:
    """Name the sizes, describe the file, and remove the exporter's notes, which contain paths of this machine."""
    graph = model.graph
    for entry in (model, graph, *graph.node, *graph.value_info, *graph.initializer, *graph.input, *graph.output):
        del entry.metadata_props[:]
    for node in graph.node:
        node.doc_string = ""
    for value, end in zip((*graph.input, *graph.output), (*ports.inputs(spec), ports.output(spec)), strict=True):
        value.doc_string = end.words
        for dim, size in zip(value.type.tensor_type.shape.dim, end.sizes, strict=True):
            if isinstance(size, str):
                dim.dim_param = size
    graph.name = "i2i"
    model.ir_version = onnx.helper.find_min_ir_version_for(model.opset_import)  # for older releases of ONNX Runtime
    model.producer_name, model.producer_version = "i2i", __version__
    model.doc_string = ports.explain(spec)


@contextlib.contextmanager
def _quiet() -> Iterator[io.StringIO]:
    """Capture what PyTorch's exporter prints, warns and logs; yield it, to be shown on failure."""
    said = io.StringIO()
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "torch.export")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield said
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
