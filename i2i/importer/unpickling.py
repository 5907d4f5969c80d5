"""Unpickle tensors and containers, and put an inert placeholder where the file names any other object.

``torch.load(..., weights_only=False, pickle_module=module())`` reads with it. A pickle can only call what
``find_class`` returns, so the safety rests on one table: ``ALLOWED`` lists every function that a file may call.
"""

from __future__ import annotations

import collections
import pickle
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch import _utils
from torch.serialization import _get_layout


class Inert(dict):
    """Stands for an object of a class that is not loaded: a dict of the object's items and attributes.

    ``origin`` is the name of the class in the file. Calling the class, as pickles do, ignores the arguments.
    """

    origin = ""
    dump_patches = False  # torch.load reads this of the modules in old files

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()

    __hash__ = object.__hash__  # type: ignore[assignment]  # some files use an enum or a path as a key
    __eq__ = object.__eq__

    def __setstate__(self, state: Any) -> None:
        """Take the attributes: a dict, or a pair of dicts where the class has slots."""
        for part in state if isinstance(state, tuple) else (state,):
            if isinstance(part, dict):
                self.update(part)

    def append(self, _item: Any) -> None:
        """Ignore an item of a list or a queue."""

    def extend(self, _items: Any) -> None:
        """Ignore the items of a list."""

    def add(self, _item: Any) -> None:
        """Ignore an item of a set."""


class Function:
    """A function that a pickle may call and cannot change."""

    __slots__ = ("_function",)
    _function: Callable[..., Any]

    def __init__(self, function: Callable[..., Any]) -> None:
        object.__setattr__(self, "_function", function)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"a checkpoint may not set {name}")

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)


def _parameter(tensor: Any, *_: Any) -> Any:
    """Return the tensor of a parameter, without its hooks and attributes."""
    return tensor


def _typed(rebuild: Callable[..., Any], _type: Any, arguments: Any, _state: Any) -> Any:
    """Return the tensor of a subclass or with attributes as a plain tensor."""
    return rebuild(*arguments)


def _tensor(storage: Any, offset: int, size: Any, stride: Any, *_: Any) -> Any:
    """Return a tensor without gradient, hooks and metadata."""
    return _utils._rebuild_tensor(storage, offset, size, stride)


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": collections.OrderedDict,
    "builtins.set": set,
    "__builtin__.set": set,
    "torch.Size": torch.Size,
    "torch.device": torch.device,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch._utils._rebuild_sparse_tensor": _utils._rebuild_sparse_tensor,
    "torch._utils._rebuild_meta_tensor_no_storage": _utils._rebuild_meta_tensor_no_storage,
    "torch.serialization._get_layout": _get_layout,
    "torch._tensor._rebuild_from_type_v2": _typed,
}
CONSTANTS = (torch.dtype, torch.layout)
ALLOWED = {name: Function(function) for name, function in _FUNCTIONS.items()}


def module(ignored: dict[str, None]) -> ModuleType:
    """Return what ``torch.load`` takes as ``pickle_module``; it adds the names of all placeholders to ``ignored``."""

    class Unpickler(pickle._Unpickler):
        # In Python, since the one in C reserves as much memory as a damaged file asks for.
        def find_class(self, module: str, name: str) -> Any:
            full = f"{module}.{name}"
            if full in ALLOWED:
                return ALLOWED[full]
            if module == "torch" and isinstance(constant := vars(torch).get(name), CONSTANTS):
                return constant
            ignored[full] = None
            return type("Inert", (Inert,), {"origin": full})

    found = ModuleType("unpickling")
    found.Unpickler = Unpickler  # type: ignore[attr-defined]
    found.load = lambda file, **options: Unpickler(file, **options).load()  # type: ignore[attr-defined]
    return found
