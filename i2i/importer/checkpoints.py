"""Read the tensors of a checkpoint file. No code of the file is run and no object but tensors and containers made."""

from __future__ import annotations

import io
import pickle
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from i2i.engine.state_file import DAMAGE
from i2i.importer import unpickling
from i2i.spec import METADATA_KEY

StateDict = dict[str, Tensor]

# What a file without weights begins with, and what it is then.
NO_CHECKPOINTS = {
    b"<": "a web page or other markup, no weights: the download went wrong",
    b"version https://git-lfs": "a Git LFS pointer to the weights, not the weights: fetch them with `git lfs pull`",
    b"\x08": "an ONNX file or another protocol buffer; an ONNX file needs no import, but a description: `i2i describe "
    "FILE -o COPY.onnx`, then `i2i translate -m COPY.onnx`",
    b"\x1f\x8b": "compressed by gzip: unpack it first",
    b"\x89HDF": "an HDF5 file, such as Keras writes, no PyTorch weights",
}
DAMAGED = (*DAMAGE, zipfile.BadZipFile, zlib.error, NotImplementedError)
NO_FLOAT = ", not floating point"
DEEPEST = 5  # levels of dicts around a network


class Checkpoint(NamedTuple):
    """The contents of a checkpoint file."""

    parts: dict[str, StateDict]
    """Every dict of tensors by the names above it, joined by dots; "" for the file itself. Tensors are on the CPU."""
    ignored: list[str]
    """Names of the classes and functions in the file that were not loaded."""


def read(path: Path) -> Checkpoint:
    """Read a ``.pth``, ``.pt``, ``.ckpt``, ``.pkl`` or ``.safetensors`` file, recognised by its bytes.

    Dicts, whole modules and TorchScript archives are read. Raises ValueError, with the reason, for a file that is
    damaged or is no checkpoint.
    """
    ignored: dict[str, None] = {}
    with open(path, "rb") as file:
        head = file.read(64)
    if not head:
        raise ValueError(f"{path} is empty")
    if head[5:9] == b"\0\0\0{":  # the end of a header's length, whose first bytes may be any, and the header
        found = {"": _safetensors(path)}
    else:
        for start, what in NO_CHECKPOINTS.items():
            if head.lstrip().startswith(start):
                raise ValueError(f"{path} is {what}")
        if program := _program(path):
            raise ValueError(f"{path} is {program}; expected a network's state_dict")
        if head.startswith(b"PK\3\4") and not zipfile.is_zipfile(path):
            raise ValueError(f"{path} is cut short: its end is missing; download or copy it again")
        found = _pickled(path, ignored)
    if not found:
        raise ValueError(f"{path} contains no dict of tensors; expected a network's state_dict{_without(ignored)}")
    # Whole numbers, such as a random generator's state or the indices of an attention, may lie beside a network.
    sound = {name: {k: t for k, t in part.items() if not _odd(t).endswith(NO_FLOAT)} for name, part in found.items()}
    sound = {name: part for name, part in sound.items() if any(map(torch.is_floating_point, part.values()))} or found
    odd = [f"{key} ({why})" for tensors in sound.values() for key, tensor in tensors.items() if (why := _odd(tensor))]
    if odd:
        raise ValueError(f"{path} contains tensors that are no weights: {', '.join(odd[:5])}")
    return Checkpoint(sound, list(ignored))


def _without(ignored: Mapping[str, None]) -> str:
    return f"; not loaded: {', '.join(list(ignored)[:5])}" if ignored else ""


def _safetensors(path: Path) -> StateDict:
    try:
        with safe_open(path, framework="pt") as file:
            if METADATA_KEY in (file.metadata() or {}):
                raise ValueError(
                    f"{path} was written by i2i: `i2i export` and `i2i translate -m` take its run as it is"
                )
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged or no safetensors file: {error}") from error


def _pickled(path: Path, ignored: dict[str, None]) -> dict[str, StateDict]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch warns of old formats
            content = torch.load(
                _archive(path), map_location="cpu", weights_only=False, pickle_module=unpickling.module(ignored)
            )
            return dict(_parts(content))
    except MemoryError as error:
        raise ValueError(f"{path} is damaged, or takes more memory than there is") from error
    except DAMAGED as error:
        meaningless = isinstance(error, pickle.UnpicklingError | LookupError | AttributeError | TypeError)
        known = [] if meaningless else str(error).partition(". ")[0].splitlines()[:1]
        reason = "".join(f": {line}" for line in known)
        raise ValueError(
            f"{path} is damaged, or neither a PyTorch checkpoint nor a safetensors file{reason}{_without(ignored)}"
        ) from error


def _program(path: Path) -> str:
    """Return what a file is that torch.load must not get; "" for others, and for what is no readable archive."""
    if tarfile.is_tarfile(path):
        return "a tar archive, which torch.load would unpack"
    try:
        with zipfile.ZipFile(path) as archive:
            exported = any("serialized_exported_program" in name for name in archive.namelist())
    except DAMAGED:
        return ""
    return "an exported PyTorch program, which is code" if exported else ""


def _archive(path: Path) -> Path | io.BytesIO:
    """Return what torch.load reads: the file, or a copy of a TorchScript archive without its code.

    torch.load would pass an archive with constants on to torch.jit.load, which runs code.
    """
    if not zipfile.is_zipfile(path):
        return path
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if not any(name.endswith("constants.pkl") for name in names):
            return path
        copy = io.BytesIO()
        with zipfile.ZipFile(copy, "w") as without_code:
            for name in names:
                if name.endswith(("/data.pkl", "/version", "/byteorder")) or "/data/" in name:
                    without_code.writestr(name, archive.read(name))
    copy.seek(0)
    return copy


def _odd(tensor: Tensor) -> str:
    """Return the reason why a tensor is neither weights nor a counter; "" if it is one."""
    if tensor.is_meta:
        return "without values, on the meta device"
    dense = tensor.layout == torch.strided and not tensor.is_quantized
    if not dense or tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        return "no plain numbers in a row"
    counter = tensor.ndim == 0 and tensor.dtype != torch.bool and not tensor.is_complex()
    if tensor.is_floating_point() or counter:
        return ""
    return f"{str(tensor.dtype).removeprefix('torch.')}{NO_FLOAT}"


def _parts(content: Any, names: tuple[str, ...] = ()) -> Iterator[tuple[str, StateDict]]:
    """Yield every dict of tensors in nested containers and modules, with the names above it."""
    if isinstance(content, list | tuple):
        content = dict(enumerate(content))
    if not isinstance(content, Mapping) or "param_groups" in content:  # an optimiser's state is no network
        return
    if isinstance(content, unpickling.Inert) and ("_modules" in content or content.origin.startswith("__torch__")):
        yield ".".join(names), dict(_state(content))
        return
    tensors = {key: value for key, value in content.items() if isinstance(value, Tensor) and isinstance(key, str)}
    if tensors:
        yield ".".join(names), tensors
    if len(names) < DEEPEST:
        for key, value in content.items():
            yield from _parts(value, (*names, str(key)))


def _state(module: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yield the state_dict of a pickled nn.Module or a TorchScript module, which has all in one dict."""
    if "_modules" in module:
        unsaved = module.get("_non_persistent_buffers_set", ())
        buffers = {name: value for name, value in module["_buffers"].items() if name not in unsaved}
        module = {**module["_parameters"], **buffers, **module["_modules"]}
    for name, value in module.items():
        if isinstance(value, Tensor):
            yield f"{prefix}{name}", value
        elif isinstance(value, unpickling.Inert):
            yield from _state(value, f"{prefix}{name}.")
