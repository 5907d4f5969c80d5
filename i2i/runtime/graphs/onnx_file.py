"""What an ONNX file says of itself, read from its bytes: no session, no weights, no ``onnx`` package.

A file from elsewhere is looked over here before ONNX Runtime sees it: its description, and whether it would make the
runtime open other files or need program code. Only the wire format of protobuf is needed, which is tags, lengths and
bytes.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from i2i.runtime.errors import ModelError
from i2i.spec import METADATA_KEY, Spec
from i2i.text import not_found, plural

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
_DOMAIN = {"node": 7, "function": 10}  # the field that names the domain of an operator
# Those whose operators are within ONNX Runtime itself.
_DOMAINS = frozenset(("", "ai.onnx", "ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc", "com.ms.internal.nhwc"))
Field = tuple[int, int | str | bytes]  # of a message that is written: its number, and its value
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

    Raises ModelError for what is no ONNX file, for a description that cannot be read, for a model that keeps weights
    in other files, since a path within a model could name any file of this machine, and for one whose operators would
    have to be loaded as a library.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise ModelError(not_found(path, "model file"))
        stat = path.stat()
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror or error}") from error
    if stat.st_size == 0:
        raise ModelError(f"{path}: not an ONNX model: it is empty")
    return _read_spec(path, stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


@lru_cache(maxsize=8)
def _read_spec(path: Path, *_state: int) -> Spec | None:
    """``read_spec`` of a file as it is now: to choose a model and to open it each need this."""
    try:
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
        facts = _look_over(memoryview(data))
        if not facts.graphs:
            raise ValueError("it holds no graph")
    except ValueError as error:
        raise ModelError(f"{path}: not an ONNX model, or a truncated one: {error}") from error
    if facts.external is not None:
        raise ModelError(
            f"{path}: it keeps weights in another file ({facts.external!r}), which is refused; a model must be one "
            "file (onnx.save writes one unless save_as_external_data is set)"
        )
    if strange := facts.domains - facts.own - _DOMAINS:
        raise ModelError(
            f"{path}: cannot run this model: it uses operators of {', '.join(map(repr, sorted(strange)))}, which come "
            "in a library of program code, and none is loaded; export it with the operators of ONNX alone"
        )
    try:
        return None if facts.text is None else Spec.from_json(facts.text)
    except ValueError as error:
        raise ModelError(f"{path}: {error}") from error


@dataclass
class _Facts:
    """What was seen in a model's file."""

    text: str | None = None  # the description
    graphs: int = 0
    external: str | None = None  # where the first data outside of the file would be read from
    domains: set[str] = field(default_factory=set)  # of the operators that are used
    own: set[str] = field(default_factory=set)  # of those that the file itself defines


def read_metadata(path: Path) -> dict[str, str]:
    """All that a sound ONNX file says of itself by key and value."""
    with open(path, "rb") as file:
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    pairs = [_pair(value) for number, value in _walk(data) if number == _METADATA]
    return {pair.get(1, b"").decode(errors="replace"): pair.get(2, b"").decode(errors="replace") for pair in pairs}


def _look_over(model: memoryview) -> _Facts:
    facts = _Facts()
    for number, value in _walk(model):
        facts.graphs += number == 7
        if number == _METADATA and _pair(value).get(1) == METADATA_KEY.encode():
            facts.text = _pair(value).get(2, b"").decode()
        _look_into(value, _FIELDS["model"].get(number), facts, 0)
    return facts


def _look_into(value: memoryview | int | None, message: str | None, facts: _Facts, depth: int) -> None:
    """Takes down the operators' domains within this message, and the location of data that is in another file."""
    if message is None or value is None or isinstance(value, int):
        return
    if depth > _DEPTH:
        raise ValueError("its graphs are nested too deeply")
    for number, part in _walk(value):
        if message == "tensor":
            if facts.external is None and (number == _EXTERNAL_DATA or (number == _DATA_LOCATION and part == 1)):
                facts.external = _pair(part).get(2, b"?").decode(errors="backslashreplace")
            continue
        if number == _DOMAIN.get(message) and not isinstance(part, int):
            (facts.domains if message == "node" else facts.own).add(bytes(part).decode(errors="backslashreplace"))
        _look_into(part, _FIELDS[message].get(number), facts, depth + 1)


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
            raise ValueError(f"a field of {plural(size, 'byte')} begins {plural(end - at, 'byte')} before the end")
        yield tag >> 3, view[at : at + size]
        at += size


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    if at < len(view) and view[at] < 0x80:  # as nearly all of them
        return view[at], at + 1
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


def described(spec: Spec) -> bytes:
    """The description as it is put behind a model's bytes."""
    return message((_METADATA, message((1, METADATA_KEY), (2, spec.to_json()))))


def message(*fields: Field) -> bytes:
    """A message of protobuf."""
    parts = []
    for number, value in fields:
        if isinstance(value, int):
            parts.append(_number(number << 3) + _number(value))
        else:
            data = value.encode() if isinstance(value, str) else value
            parts.append(_number(number << 3 | 2) + _number(len(data)) + data)
    return b"".join(parts)


def _number(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)
