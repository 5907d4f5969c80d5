"""A model repository for NVIDIA's Triton Inference Server, from an exported file."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import onnx

from i2i.atomic import atomically
from i2i.runtime.errors import ModelError
from i2i.runtime.graphs.onnx_file import read_spec
from i2i.runtime.model import targets
from i2i.spec import Spec
from i2i.text import printable

MOST = 8
"""Images of a batch at most."""
WARM_SIDES = (64, 256)
"""Sides in pixels of the images with which Triton runs a model before it is ready."""

_TYPES: dict[int, str] = {
    onnx.TensorProto.UINT8: "TYPE_UINT8", onnx.TensorProto.INT64: "TYPE_INT64", onnx.TensorProto.FLOAT: "TYPE_FP32",
}  # fmt: skip
# cuDNN finds the fastest convolution by heuristics (1), since the default measures again for each size of image.
# The arena grows by what is asked for (1), since the sizes of images differ.
_PARAMETERS = {"cudnn_conv_algo_search": "1", "arena_extend_strategy": "1"}


def write_repository(model: Path, folder: Path, name: str | None = None) -> Path:
    """Add an exported translator to a model repository, as its newest version; return the folder of the model.

    Args:
        model: an export that takes pixels.
        folder: the repository, with a folder for each model. It is made if it is not there.
        name: of the model; default the name of its file.

    Raises ModelError for a file that takes no pixels of any size, and OSError.
    """
    spec = targets.check_kind(read_spec(model), targets.TRANSLATOR, printable(model))
    if spec is None or spec.io != "pixels":
        raise ModelError(f"{printable(model)}: Triton is given files that take pixels; export the run with --io pixels")
    place = folder / re.sub(r"[^\w.-]+", "-", name or model.stem)
    versions = sorted(int(each.name) for each in place.glob("*") if each.name.isdecimal()) if place.is_dir() else []
    newest = place / str(versions[-1]) / "model.onnx" if versions else None
    text = configuration(place.name, onnx.load(model), spec)
    place.mkdir(parents=True, exist_ok=True)
    atomically(place / "config.pbtxt", lambda path: path.write_text(text, encoding="utf-8"))
    if newest is None or not newest.is_file() or newest.read_bytes() != model.read_bytes():
        version = place / str(versions[-1] + 1 if versions else 1)
        version.mkdir()
        atomically(version / "model.onnx", lambda path: shutil.copyfile(model, path))
    return place


def configuration(name: str, model: onnx.ModelProto, spec: Spec) -> str:
    """Return the text of ``config.pbtxt``.

    The preferred sizes of batches are left open: Triton gathers what waits, and only images of one size fit together.
    """
    image, *second = model.graph.input
    lines = [
        f"name: {json.dumps(name)}",
        'backend: "onnxruntime"',
        f"max_batch_size: {MOST}",
        _port("input", image, [-1, -1, spec.source.channels]),
        *(_second(each) for each in second),
        _port("output", model.graph.output[0], [-1, -1, spec.target.channels]),
        "dynamic_batching { }",
        *(_warm_up(side, spec, image, second) for side in WARM_SIDES),
    ]
    lines += [
        f"parameters {{ key: {json.dumps(key)} value {{ string_value: {json.dumps(value)} }} }}"
        for key, value in _PARAMETERS.items()
    ]
    return "\n".join([*lines, ""])


def _port(kind: str, port: onnx.ValueInfoProto, dims: list[int], more: str = "") -> str:
    return f"{kind} {{ name: {json.dumps(port.name)} data_type: {_type(port)} dims: {dims}{more} }}"


def _second(port: onnx.ValueInfoProto) -> str:
    """Return the entry of a domain, attributes or a style; one number for each image is a reshaped list of one."""
    dims = _dims(port)
    return _port("input", port, dims) if dims else _port("input", port, [1], " reshape { shape: [ ] }")


def _warm_up(side: int, spec: Spec, image: onnx.ValueInfoProto, second: list[onnx.ValueInfoProto]) -> str:
    values = [(image, f"dims: {[side, side, spec.source.channels]} random_data: true")]
    values += [(port, f"dims: {_dims(port) or [1]} zero_data: true") for port in second]
    inputs = " ".join(
        f"inputs {{ key: {json.dumps(port.name)} value {{ data_type: {_type(port)} {how} }} }}" for port, how in values
    )
    return f'model_warmup {{ name: "{side} x {side}" batch_size: 1 {inputs} }}'


def _type(port: onnx.ValueInfoProto) -> str:
    return _TYPES[port.type.tensor_type.elem_type]


def _dims(port: onnx.ValueInfoProto) -> list[int]:
    """Return the shape without the batch."""
    return [each.dim_value for each in port.type.tensor_type.shape.dim[1:]]
