"""From a module to an ONNX graph: any batch and size, opset 18, one file, names that a stranger can read."""

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
from i2i.spec import METADATA_KEY, Domain, Spec

# The floor for reflection padding and the ceiling of what every released CUDA provider has kernels for.
OPSET = 18


class ExportError(ValueError):
    """A network that could not be exported as promised; no file is left."""

    exit_status = 1


def to_onnx(module: nn.Module, spec: Spec) -> onnx.ModelProto:
    """The graph of ``module``, whose input and output are as ``spec`` promises. Raises ExportError."""
    example = _example(spec)
    axes = (1, 2) if spec.io == "pixels" else (2, 3)
    with _quiet() as chatter:
        try:
            program = torch.onnx.export(
                module,
                (example,),
                dynamo=True,
                opset_version=OPSET,
                external_data=False,
                input_names=["image"],
                output_names=["translation"],
                dynamic_shapes=({0: "n", axes[0]: "h", axes[1]: "w"},),
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


def _example(spec: Spec) -> torch.Tensor:
    """A small input, its three free sizes all different, so that the exporter takes none of them for another."""
    h, w = (-(-max(spec.minimum, side) // spec.multiple) * spec.multiple for side in (24, 40))
    w += spec.multiple * (h == w)
    if spec.io == "tensor":
        return torch.rand(2, spec.source.channels, h, w) * 2 - 1
    pixels = torch.rand(2, h, w, spec.source.channels) * spec.source.peak
    return pixels.to(torch.uint8) if spec.dtype == "uint8" else pixels


def _check_form(model: onnx.ModelProto, spec: Spec) -> None:
    """Raises ExportError unless the graph has the opset, the free sizes and the types that were asked for."""
    opsets = {entry.domain or "ai.onnx": entry.version for entry in model.opset_import}
    if opsets != {"ai.onnx": OPSET} or model.functions:
        got = ", ".join(f"{domain} {version}" for domain, version in opsets.items())
        raise ExportError(f"the graph is not in plain opset {OPSET}: it imports {got}. No file was written")
    want_type = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype))
    for value in (*model.graph.input, *model.graph.output):
        tensor = value.type.tensor_type
        sizes = [d.dim_param or d.dim_value for d in tensor.shape.dim]
        fixed = [size for size in sizes if isinstance(size, int)]
        domain = spec.source if value.name == "image" else spec.target
        if tensor.elem_type != want_type or len(sizes) != 4 or fixed != [domain.channels]:
            raise ExportError(
                f"{value.name!r} came out as type {tensor.elem_type} {sizes}; expected type {want_type} ({spec.dtype}) "
                f"with {domain.channels} channels ({domain.name!r}) and a free batch, height and width: "
                "does the network fix a size, or are the domains another network's? No file was written"
            )


def _tidy(model: onnx.ModelProto, spec: Spec) -> None:
    """Names the sizes, says what the file is, and takes out the exporter's notes, which hold paths of this machine."""
    graph = model.graph
    for value in (*graph.input, *graph.output):
        free = iter("nhw")
        for size in value.type.tensor_type.shape.dim:
            if not size.dim_value:
                size.dim_param = next(free)  # the output repeats the input's names: the same sizes come back
    for entry in (model, graph, *graph.node, *graph.value_info, *graph.initializer, *graph.input, *graph.output):
        del entry.metadata_props[:]
    for node in graph.node:
        node.doc_string = ""
    graph.name = "i2i"
    model.producer_name, model.producer_version = "i2i", __version__
    model.doc_string = explain(spec)
    graph.input[0].doc_string = _form(spec, spec.source)
    graph.output[0].doc_string = _form(spec, spec.target)


def _form(spec: Spec, domain: Domain) -> str:
    order = {1: "grey", 3: "RGB"}.get(domain.channels, f"{domain.channels} channels")
    if spec.io == "tensor":
        return f"float32 [n, {domain.channels}, h, w], {order}, -1..1"
    return f"{spec.dtype} [n, h, w, {domain.channels}], {order}, 0..{domain.peak}"


def explain(spec: Spec) -> str:
    """What the file takes and gives, for whoever opens it in a viewer."""
    least = f"h and w from {spec.minimum}" if spec.io == "tensor" and spec.minimum > 1 else "any h and w"
    mark = {"uint8": "as a checkerboard of 0 and 255, pixel by pixel", "float32": "as NaN"}[spec.dtype]
    return (
        f"{spec.method} translator from {spec.source.name!r} to {spec.target.name!r}. "
        f"image: {_form(spec, spec.source)}; translation: {_form(spec, spec.target)}. "
        f"Any n, {least}; the same n, h and w come back. "
        f"An image whose result is not finite comes back {mark}. "
        f"All the rest is JSON under the metadata key {METADATA_KEY!r}."
    )


@contextlib.contextmanager
def _quiet() -> Iterator[io.StringIO]:
    """Keeps what PyTorch's exporter prints, warns and logs from the user; yields it, for the case that it fails."""
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
