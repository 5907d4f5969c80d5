"""What an ONNX file says of itself, read from its bytes: no session, no weights, no ``onnx`` package.

A file from elsewhere is looked over here before ONNX Runtime sees it: its description, and whether it would make the
runtime open other files. Only the wire format of protobuf is needed, which is tags, lengths and bytes.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

from i2i.runtime.errors import ModelError
from i2i.spec import METADATA_KEY, Spec

# Message -> field number -> message, along every way that leads to a tensor (onnx.proto).
_FIELDS = {
    "model": {7: "graph", 25: "function"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
_METADATA, _EXTERNAL_DATA, _DATA_LOCATION = 14, 13, 14
_DEPTH = 64  # of graphs within graphs; protobuf itself stops at 100

# The first bytes of what people mistake for an ONNX file.
_STRANGERS = (
    (b"<", "it is a web page: the download went wrong"),
    (b"version https://git-lfs", "it is a Git LFS pointer: fetch the file itself with `git lfs pull`"),
    (b"PK\x03\x04", "it is a PyTorch checkpoint, which could run code: export the run it came from with `i2i export`"),
    (b"\x80", "it is a Python pickle, which could run code: export the run it came from with `i2i export`"),
    (b"\x89HDF", "it is an HDF5 file, such as Keras writes"),
)


def read_spec(path: str | Path) -> Spec | None:
    """The description of an i2i export; None for a sound ONNX file without one.

    Raises ModelError for what is no ONNX file, for a description that cannot be read, and for a model that keeps
    weights in other files: an export is one file, and a path within a model could name any file of this machine.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise ModelError(f"{path}: no such model file")
        if path.stat().st_size == 0:
            raise ModelError(f"{path}: not an ONNX model: it is empty")
        with open(path, "rb") as file:
            # Closed when the last view of it goes; an exception may hold one for a while.
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror or error}") from error
    start = data[:64].lstrip()
    for magic, what in _STRANGERS:
        if start.startswith(magic):
            raise ModelError(f"{path}: not an ONNX model: {what}")
    try:
        text, graphs, external = _look_over(memoryview(data))
        if not graphs:
            raise ValueError("it holds no graph")
    except ValueError as error:
        raise ModelError(f"{path}: not an ONNX model, or a truncated one: {error}") from error
    if external is not None:
        raise ModelError(
            f"{path}: it keeps weights in another file ({external!r}), which is refused; a model must be one file "
            "(onnx.save writes one unless save_as_external_data is set)"
        )
    try:
        return None if text is None else Spec.from_json(text)
    except ValueError as error:
        raise ModelError(f"{path}: {error}") from error


def _look_over(model: memoryview) -> tuple[str | None, int, str | None]:
    """The description, the number of graphs, and where external data would be read from."""
    text, graphs, external = None, 0, None
    for field, value in _walk(model):
        graphs += field == 7
        if field == _METADATA and _pair(value).get(1) == METADATA_KEY.encode():
            text = _pair(value).get(2, b"").decode()
        if external is None:
            external = _external(value, _FIELDS["model"].get(field), 0)
    return text, graphs, external


def _external(value: memoryview | int | None, message: str | None, depth: int) -> str | None:
    """The location of the first tensor within this message whose data is in another file."""
    if message is None or value is None or isinstance(value, int):
        return None
    if depth > _DEPTH:
        raise ValueError("its graphs are nested too deeply")
    for field, part in _walk(value):
        if message == "tensor":
            if field == _EXTERNAL_DATA or (field == _DATA_LOCATION and part == 1):
                return _pair(part).get(2, b"?").decode(errors="backslashreplace")
            continue
        found = _external(part, _FIELDS[message].get(field), depth + 1)
        if found is not None:
            return found
    return None


def _pair(entry: memoryview | int) -> dict[int, bytes]:
    """A StringStringEntryProto: 1 is the key, 2 the value."""
    if isinstance(entry, int):
        return {}
    return {number: bytes(part) for number, part in _walk(entry) if not isinstance(part, int)}


def _walk(view: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """The fields of a message: (number, bytes) for what has a length, (number, value) for a number."""
    at, end = 0, len(view)
    while at < end:
        tag, at = _varint(view, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(view, at)
            yield tag >> 3, value
            continue
        if kind == 2:
            size, at = _varint(view, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError(f"byte {at} is no protobuf")
        if at + size > end:
            raise ValueError(f"a field of {size} bytes begins {end - at} bytes before the end")
        yield tag >> 3, view[at : at + size]
        at += size


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(view):
            break
        byte = view[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number does not end")
