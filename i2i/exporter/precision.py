"""Conversion of an exported float32 file to another precision, refused if it loses too much on real images."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import cycle, islice
from typing import Any

import numpy as np
import onnx
import onnxruntime

from i2i.errors import ExportError
from i2i.exporter import ports, precision_loss
from i2i.exporter.calibration import CalibrationImages
from i2i.exporter.float16 import emulated, to_half
from i2i.exporter.int8 import to_int8
from i2i.exporter.precision_loss import Feeds, Limits, Loss
from i2i.runtime.errors import NonFiniteError
from i2i.runtime.graphs.onnx_file import described
from i2i.runtime.model.targets import GENERATOR
from i2i.runtime.processing import to_tensor
from i2i.runtime.providers.table import open_session
from i2i.spec import Spec
from i2i.text import plural

LIMITS = {"fp16": Limits(60, math.inf), "int8": Limits(45, 8)}
"""Limits of the loss of a file on the held-out images."""
SAFE = LIMITS["int8"]
"""Limits of the loss of int8 on the calibration images."""

Say = Callable[[str], None]


def reduced(model: bytes, spec: Spec, precision: str, pictures: CalibrationImages) -> bytes:
    """Convert the bytes of a float32 file to ``precision``, with the loss in its Spec.

    Raises ExportError if the loss is beyond ``LIMITS``, or the graph cannot be converted.
    """
    graph = onnx.load_model_from_string(model)
    calibration, held_out = _feeds(pictures.calibration, spec), _feeds(pictures.held_out, spec)
    facts: dict[str, Any] = {}
    try:
        if precision == "int8":
            graph, chosen, all_ = _in_eight_bits(graph, calibration, spec)
            facts = {"calibration": len(pictures.calibration), "convolutions": [chosen, all_]}
        else:
            to_half(graph)
    except NonFiniteError as error:
        raise ExportError(f"the model in float32 gives no finite result for a calibration image: {error}") from error
    except ValueError as error:
        raise ExportError(f"no {precision} of this model: {error}. {_instead(precision, spec)}") from error
    del graph.metadata_props[:]  # the Spec of the file in float32
    for node in graph.graph.node:  # a session reports by name which nodes it left to the CPU
        node.name = node.name or node.output[0]
    lost, provider = _lost(model, graph, held_out, spec, precision)
    limits = LIMITS[precision]
    if not limits.allow(lost):
        raise ExportError(
            f"{precision} loses too much of this model: on {plural(len(held_out), 'image')} {lost}; {limits} is "
            f"required. {_instead(precision, spec)}"
        )
    facts |= {
        "held_out": len(pictures.held_out),
        "psnr": None if math.isinf(lost.psnr) else float(f"{lost.psnr:.4g}"),
        "largest": float(f"{lost.largest:.3g}"),
        "differing": float(f"{lost.differing:.3g}"),
        "limits": [value if math.isfinite(value) else None for value in limits],
        "provider": provider,
        "onnxruntime": onnxruntime.__version__,
    }
    return graph.SerializeToString() + described(replace(spec, precision=precision, loss=facts))


def _in_eight_bits(
    graph: onnx.ModelProto, calibration: Sequence[Feeds], spec: Spec
) -> tuple[onnx.ModelProto, int, int]:
    want = precision_loss.results(precision_loss.opened(graph), calibration, spec)

    def judge(candidate: onnx.ModelProto) -> Loss:
        return precision_loss.loss(
            precision_loss.results(precision_loss.opened(candidate), calibration, spec), want, spec
        )

    return to_int8(graph, calibration, judge, SAFE.allow)


def _lost(
    whole: bytes, graph: onnx.ModelProto, images: Sequence[Feeds], spec: Spec, precision: str
) -> tuple[Loss, str]:
    """Measure the loss against the float32 file on the CPU: fp16 on the GPU, or emulated without one; int8 on the
    CPU.
    """
    try:
        want = precision_loss.results(open_session(whole, "cpu"), images, spec)
    except NonFiniteError as error:
        raise ExportError(f"the model in float32 gives no finite result for an image: {error}") from error
    session = open_session(graph.SerializeToString(), "cpu" if precision == "int8" else "auto")
    provider = session.provider
    if precision == "fp16" and session.on_cpu:
        session, provider = open_session(emulated(graph), "cpu"), "cpu, rounded as float16"
    try:
        return precision_loss.loss(precision_loss.results(session, images, spec), want, spec), provider
    except NonFiniteError as error:
        raise ExportError(
            f"{precision} gives no finite result for an image, where float32 does: a value in the network is beyond "
            f"its range. {_instead(precision, spec)}"
        ) from error


def _instead(precision: str, spec: Spec) -> str:
    more = (
        "" if spec.kind == GENERATOR else "Give more images of the kind that the model will see (--calibrate DIR), or "
    )
    other = {"fp16": "Use the file in fp32", "int8": f"{more}{'use' if more else 'Use'} --precision fp16"}[precision]
    return f"No file was written. {other}"


def _feeds(images: Sequence[np.ndarray], spec: Spec) -> list[Feeds]:
    """Return the images, or z of a generator, as inputs of the graph, each with the next target; every target occurs
    at least once.
    """
    names = [end.name for end in ports.inputs(spec)]
    targets = len(spec.domains) + 2 * spec.attributes if spec.domains else 0
    feeds = []
    for i, image in enumerate(islice(cycle(images), max(len(images), targets) if images else 0)):
        values = [image[None] if spec.io == "pixels" or spec.generates else to_tensor(image[None], spec.source)]
        values += [tensor.numpy() for tensor in ports.further(spec, 1, i)]
        feeds.append(dict(zip(names, values, strict=True)))
    return feeds
