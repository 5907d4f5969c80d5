"""Tensors of the Open Inference Protocol (version 2), as JSON or in its binary form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import prod
from typing import Any, NamedTuple

import numpy as np

from i2i.serving.problems import ProblemError
from i2i.text import plural

HEADER = "Inference-Header-Content-Length"
"""Length of the JSON in a body where binary tensors follow it."""

MOST_JSON = 16 << 20
"""Bytes of JSON at most, which takes ten times as much memory once it is parsed."""

BYTES_OF_VALUE = 4
"""Of a pixel's value as JSON, about."""

MOST_AXES, LONGEST_SIDE = 8, 2**31
"""Of a shape: the product of more, or of longer ones, could take minutes, in which nothing else in the process runs."""

TYPES: dict[str, np.dtype[Any]] = {
    "UINT8": np.dtype("uint8"), "UINT16": np.dtype("<u2"), "INT32": np.dtype("<i4"), "INT64": np.dtype("<i8"),
    "FP32": np.dtype("<f4"), "FP64": np.dtype("<f8"),
}  # fmt: skip
NAMES = {dtype: name for name, dtype in TYPES.items()}


class Inputs(NamedTuple):
    """A request for inference.

    Attributes:
        binary: True if the output ``name`` is wanted in binary form.
        outputs: the names of the outputs that are wanted; empty: all.
    """

    id: str | None
    tensors: dict[str, np.ndarray]
    parameters: dict[str, Any]
    outputs: tuple[str, ...]
    binary: bool


def read(body: bytes, json_bytes: str | None) -> Inputs:
    """Return the request in a body; ``json_bytes`` is the value of HEADER. Raises ProblemError 400."""
    try:
        length = len(body) if json_bytes is None else int(json_bytes)
        if not 0 <= length <= len(body):
            raise ValueError(f"{HEADER} is {length}, and the body has {plural(len(body), 'byte')}")
        if length > MOST_JSON:
            raise ProblemError(413, f"JSON of more than {MOST_JSON >> 20} MiB is not read; send binary tensors")
        document = json.loads(body[:length])
        rest = memoryview(body)[length:]
        tensors = {}
        for each in document["inputs"]:
            tensor, rest = _tensor(each, rest)
            tensors[str(each["name"])] = tensor
        if rest:
            raise ValueError(f"left over after the last tensor: {plural(len(rest), 'byte')}")
        parameters = dict(document.get("parameters") or {})
        wanted = list(document.get("outputs") or [])
        binary = bool(parameters.pop("binary_data_output", False))
        flags = [(each.get("parameters") or {}).get("binary_data", binary) for each in wanted]
        names = tuple(str(each["name"]) for each in wanted)
        identity = document.get("id")
        return Inputs(None if identity is None else str(identity), tensors, parameters, names, any(flags) or binary)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError) as error:
        reason = f"the member {error} is missing" if isinstance(error, KeyError) else str(error)
        raise ProblemError(400, f"not a request of the Open Inference Protocol: {reason}") from error


def _tensor(given: Mapping[str, Any], rest: memoryview) -> tuple[np.ndarray, memoryview]:
    """Return one tensor, and the binary data after it."""
    name, kind, sides = given["name"], given["datatype"], given["shape"]
    if kind not in TYPES:
        raise ValueError(f"the datatype of {name} is {kind}; expected one of {', '.join(TYPES)}")
    dtype = TYPES[kind]
    if len(sides) > MOST_AXES:
        raise ValueError(f"the shape of {name} has {len(sides)} sides; expected {MOST_AXES} at most")
    shape = [int(side) for side in sides]
    if not shape or min(shape) < 1 or max(shape) > LONGEST_SIDE:
        raise ValueError(f"the shape of {name} is {shape}; expected sides from 1 to {LONGEST_SIDE:,}")
    size = (given.get("parameters") or {}).get("binary_data_size")
    if size is not None:
        needed = prod(shape) * dtype.itemsize
        if size != needed or needed > len(rest):
            raise ValueError(f"{name} has {plural(min(int(size), len(rest)), 'byte')}; {kind} {shape} has {needed}")
        return np.frombuffer(rest[:needed], dtype).reshape(shape), rest[needed:]
    values = np.asarray(given["data"])
    if values.size != prod(shape):
        raise ValueError(f"{name} has {plural(values.size, 'value')}; {shape} has {prod(shape)}")
    if values.dtype.kind not in "iuf" or (dtype.kind != "f" and values.dtype.kind == "f"):
        raise ValueError(f"the values of {name} are no numbers of {kind}")
    if dtype.kind != "f" and not (np.iinfo(dtype).min <= values.min() and values.max() <= np.iinfo(dtype).max):
        raise ValueError(f"the values of {name} are beyond {kind}")
    return values.astype(dtype).reshape(shape), rest


def check_json(count: int) -> None:
    """Raise ProblemError 413 for more values than are written as JSON."""
    most = MOST_JSON // BYTES_OF_VALUE
    if count > most:
        raise ProblemError(
            413,
            f"the output has more values ({count:,}) than are written as JSON ({most:,}): ask for binary output, by "
            "the parameter binary_data_output",
        )


def write(facts: dict[str, Any], name: str, tensor: np.ndarray, binary: bool) -> tuple[bytes, dict[str, str]]:
    """Return the body and the headers of an answer with one output."""
    output: dict[str, Any] = {"name": name, "datatype": NAMES[tensor.dtype], "shape": list(tensor.shape)}
    if not binary:
        output["data"] = tensor.ravel().tolist()
        return json.dumps(facts | {"outputs": [output]}).encode(), {"Content-Type": "application/json"}
    data = np.ascontiguousarray(tensor).tobytes()
    output["parameters"] = {"binary_data_size": len(data)}
    head = json.dumps(facts | {"outputs": [output]}).encode()
    return head + data, {"Content-Type": "application/octet-stream", HEADER: str(len(head))}
