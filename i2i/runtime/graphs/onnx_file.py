"""Description and safety checks of ONNX files, read from their bytes without a session or the ``onnx`` package.

Every file is checked here before ONNX Runtime opens it: it must not make the runtime open other files or load program
code. The checks need only the wire format of protobuf: tags, lengths and bytes.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from i2i.runtime.errors import ModelError, describe_command
from i2i.spec import METADATA_KEY, Spec
from i2i.text import not_found, plural

# Message -> field number -> message, on every path to a tensor (onnx.proto).
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
_DOMAIN = {"node": 7, "function": 10}  # the field with the domain of an operator
# Domains whose operators are part of ONNX Runtime.
_DOMAINS = frozenset(("", "ai.onnx", "ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc", "com.ms.internal.nhwc"))
_DEPTH = 64  # of nested graphs; protobuf itself stops at 100

_IMPORT = "`i2i import` makes a run of a third-party one; of a run of i2i give the run's folder"
# First bytes of files that are often mistaken for ONNX files.
_STRANGERS = (
    (b"<", "it is a web page: the download failed"),
    (b"version https://git-lfs", "it is a Git LFS pointer: fetch the file itself with `git lfs pull`"),
    (b"PK\x03\x04", f"it is a PyTorch checkpoint, which could run code: {_IMPORT}"),
    (b"\x80", f"it is a Python pickle, which could run code: {_IMPORT}"),
    (b"\x89HDF", "it is an HDF5 file, such as Keras writes"),
)


class OpenedFile:
    """A model's file as it was when it was opened; parts of it are opened later, and another file has other weights."""

    def __init__(self, path: Path) -> None:
        self.path, self._state = path, _size_and_time(path)

    def unchanged(self) -> Path:
        """Return the path. Raises ModelError if the file was replaced or deleted since."""
        if _size_and_time(self.path) != self._state:
            raise ModelError(
                f"{self.path}: the model's file has changed since it was opened; open the model again (start the "
                "program again, or send SIGHUP to a service)"
            )
        return self.path


def _size_and_time(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns


def read_spec(path: str | Path) -> Spec | None:
    """Return the description in a model's file, or None for a valid ONNX file without one.

    Raises ModelError for a file that is not ONNX, a description that cannot be read, operators that need a library of
    program code, and weights in other files, since a path within a model could name any file of this machine.
    """
    spec, external = _read(Path(path))
    if external is not None:
        raise ModelError(
            f"{path}: it keeps weights in another file ({external!r}), which is not read; "
            f"{describe_command(Path(path))} writes one file that contains them"
        )
    return spec


def has_external_data(path: Path) -> bool:
    """True if the model keeps weights in other files. Raises ModelError for all else that ``read_spec`` refuses."""
    return _read(path)[1] is not None


def _read(path: Path) -> tuple[Spec | None, str | None]:
    """Return what ``parse`` returns for a file."""
    try:
        if not path.is_file():
            raise ModelError(not_found(path, "model file"))
        stat = path.stat()
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror or error}") from error
    if stat.st_size == 0:
        raise ModelError(f"{path}: not an ONNX model: it is empty")
    return _parse_file(path, stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


@lru_cache(maxsize=8)
def _parse_file(path: Path, *_state: int) -> tuple[Spec | None, str | None]:
    """Parse a file in its present state, once for the choice of a model and for its opening."""
    try:
        with open(path, "rb") as file:
            # Closed when the last view of it goes; an exception may hold one for a while.
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror or error}") from error
    return parse(memoryview(data), path)


def parse(model: memoryview, path: Path) -> tuple[Spec | None, str | None]:
    """Return the description in a model's bytes, if any, and the location of its first external data, if any.

    Raises ModelError, which starts with ``path``, for bytes that are not ONNX, a description that cannot be read, and
    operators that need a library of program code.
    """
    start = bytes(model[:64]).lstrip()
    if model[5:9] == b"\0\0\0{":  # the end of a header's length, and the header
        raise ModelError(f"{path}: not an ONNX model: it is a safetensors file: {_IMPORT}")
    for magic, what in _STRANGERS:
        if start.startswith(magic):
            raise ModelError(f"{path}: not an ONNX model: {what}")
    try:
        facts = _look_over(model)
        if not facts.graphs:
            raise ValueError("it contains no graph")
    except ValueError as error:
        raise ModelError(f"{path}: not an ONNX model, or a truncated one: {error}") from error
    if strange := facts.domains - facts.own - _DOMAINS:
        raise ModelError(
            f"{path}: cannot run this model: it uses operators of {', '.join(map(repr, sorted(strange)))}, which need "
            "a library of program code, and none is loaded; export it with the operators of ONNX alone"
        )
    try:
        return (None if facts.text is None else Spec.from_json(facts.text)), facts.external
    except ValueError as error:
        raise ModelError(f"{path}: {error}") from error


@dataclass
class _Facts:
    """Facts found in a model's file."""

    text: str | None = None  # the description
    graphs: int = 0
    external: str | None = None  # location of the first external data
    domains: set[str] = field(default_factory=set)  # of the operators in use
    own: set[str] = field(default_factory=set)  # of operators that the file itself defines


def read_metadata(path: Path) -> dict[str, str]:
    """Return the metadata of a valid ONNX file."""
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
    """Record the domains of operators in this message and the location of external data."""
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
    """Return the fields of a StringStringEntryProto: 1 is the key, 2 the value."""
    if isinstance(entry, int):
        return {}
    return {number: bytes(part) for number, part in _walk(entry) if not isinstance(part, int)}


def _walk(view: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """Yield the fields of a message: (number, bytes) if it has a length, (number, value) for an integer.

    Raises ValueError where the bytes are no protobuf.
    """
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
    if at < len(view) and view[at] < 0x80:  # the usual case
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
    """Return the description as bytes to append to a model's."""
    from onnx import ModelProto, StringStringEntryProto  # slow to import

    entry = StringStringEntryProto(key=METADATA_KEY, value=spec.to_json())
    return ModelProto(metadata_props=[entry]).SerializeToString()
