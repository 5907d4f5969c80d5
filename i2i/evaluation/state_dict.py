"""Tensors of a PyTorch file (.pth) without PyTorch: those of a state dict, as NumPy arrays.

A pickle can call only what ``find_class`` returns, and here that is what a plain state dict needs. Callers check the
file's hash first.
"""

from __future__ import annotations

import collections
import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

_MAGIC = 0x1950A86A20F9469CFC6C  # of files before PyTorch 1.6
_DTYPES = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ByteStorage": np.dtype("u1"),
}


class _Storage:
    """Numbers that tensors are views of; in old files they follow the pickle."""

    def __init__(self, dtype: np.dtype, numbers: np.ndarray | None = None) -> None:
        self.dtype, self.numbers = dtype, numbers


class _Tensor:
    def __init__(self, storage: _Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> None:
        self.storage, self.offset, self.size, self.stride = storage, offset, size, stride

    def array(self) -> np.ndarray:
        numbers = self.storage.numbers
        if numbers is None:
            raise ValueError("a tensor without numbers")
        last = self.offset + sum((n - 1) * s for n, s in zip(self.size, self.stride, strict=True))
        if min(self.size, default=1) > 0 and not 0 <= last < len(numbers):
            raise ValueError("a tensor reaches beyond its numbers")
        steps = [step * numbers.itemsize for step in self.stride]
        view = np.lib.stride_tricks.as_strided(numbers[self.offset :], self.size, steps, writeable=False)
        return np.array(view)


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: Any, archive: zipfile.ZipFile | None = None, root: str = "") -> None:
        super().__init__(file)
        self.archive, self.root, self.storages = archive, root, dict[str, _Storage]()

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _Tensor
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda tensor, *_: tensor
        raise pickle.UnpicklingError(f"it names {module}.{name}, which no state dict needs")

    def persistent_load(self, pid: Any) -> _Storage:
        _, dtype, key, _, count = pid[:5]
        if key not in self.storages:
            numbers = None
            if self.archive is not None:
                numbers = np.frombuffer(self.archive.read(f"{self.root}/data/{key}"), dtype, count)
            self.storages[key] = _Storage(dtype, numbers)
        return self.storages[key]


def read_state_dict(path: Path) -> dict[str, np.ndarray]:
    """Return the tensors of a state dict by name. Raises ValueError, which names the file, for any other file."""
    try:
        tensors = _zipped(path) if zipfile.is_zipfile(path) else _legacy(path)
        return {name: tensor.array() for name, tensor in tensors.items() if isinstance(tensor, _Tensor)}
    except (pickle.UnpicklingError, EOFError, AttributeError, KeyError, IndexError, TypeError, ValueError,
            zipfile.BadZipFile) as error:  # fmt: skip
        raise ValueError(f"{path}: not the state dict of a PyTorch network, or a damaged one: {error}") from error


def _zipped(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
        tensors: dict[str, Any] = _Unpickler(
            io.BytesIO(archive.read(name)), archive, name.removesuffix("/data.pkl")
        ).load()
    return tensors


def _legacy(path: Path) -> dict[str, Any]:
    """Read the format before PyTorch 1.6: five pickles, then each storage as its length and its numbers."""
    with open(path, "rb") as file:
        if _Unpickler(file).load() != _MAGIC:
            raise ValueError("its magic number is another")
        for _ in range(2):  # version; byte order and sizes of types
            _Unpickler(file).load()
        reader = _Unpickler(file)
        tensors: dict[str, Any] = reader.load()
        for key in _Unpickler(file).load():
            storage = reader.storages[key]
            count = int.from_bytes(file.read(8), "little")
            data = file.read(count * storage.dtype.itemsize)
            storage.numbers = np.frombuffer(data, storage.dtype, count)
    return tensors
