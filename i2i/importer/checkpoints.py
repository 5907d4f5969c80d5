"""What is in a checkpoint's file: tensors and the names above them, and never its code."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from i2i.engine.run import DAMAGE
from i2i.importer.pickles import UNREADABLE, scan
from i2i.spec import METADATA_KEY

StateDict = dict[str, Tensor]

# What a file that holds no weights begins with, and what it is then.
IMPOSTORS = {
    b"<": "a web page or other markup, no weights: the download went wrong",
    b"version https://git-lfs": "a Git LFS pointer to the weights, not the weights: fetch them with `git lfs pull`",
    b"\x08": "an ONNX file or other protocol buffer, no PyTorch weights",
}
READABLE = 2  # the highest protocol of pickles that PyTorch reads without running them; it writes no other by itself
DEEPEST = 5  # levels of dicts around a network


def read(path: Path) -> dict[str, StateDict]:
    """Every dict of tensors in a ``.pth``, ``.pt``, ``.pkl`` or ``.safetensors`` file, told apart by its bytes.

    They are keyed by the names above them, joined by dots; "" for the file itself. Tensors are on the CPU. Raises
    ValueError, with the reason, for a file that is damaged, is something else, or is more than tensors.
    """
    with open(path, "rb") as file:
        head = file.read(64)
    if not head:
        raise ValueError(f"{path} is empty")
    if head[5:9] == b"\0\0\0{":  # the end of a header's length, whose first bytes may be any, and the header
        found = {"": _safetensors(path)}
    else:
        for start, what in IMPOSTORS.items():
            if head.lstrip().startswith(start):
                raise ValueError(f"{path} is {what}")
        found = dict(_parts(_load(path)))
    if not found:
        raise ValueError(f"{path} holds no dict of tensors; expected a network's state_dict")
    # A dict without a single weight, such as a random generator's state, is no network; it may lie beside one.
    found = {name: part for name, part in found.items() if any(map(torch.is_floating_point, part.values()))} or found
    odd = [f"{key} ({why})" for tensors in found.values() for key, tensor in tensors.items() if (why := _odd(tensor))]
    if odd:
        raise ValueError(f"{path} holds tensors that are no weights: {', '.join(odd[:5])}")
    return found


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


def _load(path: Path) -> Any:
    if program := _program(path):
        raise ValueError(f"{path} is {program}, which is code; expected a network's state_dict")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is read; all that matters about it is an error
            return torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError as error:
        raise ValueError(f"{path} is damaged, or takes more memory than there is") from error
    except DAMAGE as error:
        raise ValueError(f"{path} {_reason(path, error)}") from error


def _reason(path: Path, error: Exception) -> str:
    """Why PyTorch refuses to read a file."""
    called, protocol = scan(path)
    if called:
        return (
            f"is more than tensors: loading it would call {', '.join(called[:5])}"
            f"{' and more' if len(called) > 5 else ''}. Nothing of it was run. Where its own code is at hand, "
            "save the tensors alone: torch.save(net.state_dict(), 'G.pth')"
        )
    if protocol > READABLE and "Unsupported operand" in str(error):
        return f"is a pickle of protocol {protocol}, which cannot be read without running it; save it with torch.save"
    known = [] if isinstance(error, pickle.UnpicklingError) else str(error).partition(". ")[0].splitlines()[:1]
    return "is damaged, or neither a PyTorch checkpoint nor a safetensors file" + "".join(f": {line}" for line in known)


def _odd(tensor: Tensor) -> str:
    """Why a tensor is neither weights nor a counter; "" where it is."""
    if tensor.is_meta:
        return "without values, on the meta device"
    dense = tensor.layout == torch.strided and not tensor.is_quantized
    if not dense or tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        return "no plain numbers in a row"
    counter = tensor.ndim == 0 and tensor.dtype != torch.bool and not tensor.is_complex()
    if tensor.is_floating_point() or counter:
        return ""
    return f"{str(tensor.dtype).removeprefix('torch.')}, not floating point"


def _program(path: Path) -> str | None:
    """What kind of program a file is; None for weights and for what is no readable archive."""
    try:
        if not zipfile.is_zipfile(path):
            return None
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except UNREADABLE:
        return None
    if any(name.endswith("/constants.pkl") for name in names):
        return "a TorchScript program"
    return "an exported PyTorch program" if any("serialized_exported_program" in name for name in names) else None


def _parts(content: Any, names: tuple[str, ...] = ()) -> Iterator[tuple[str, StateDict]]:
    if isinstance(content, list | tuple):
        content = dict(enumerate(content))
    if not isinstance(content, Mapping) or "param_groups" in content:  # an optimiser's state is no network
        return
    tensors = {key: value for key, value in content.items() if isinstance(value, Tensor) and isinstance(key, str)}
    if tensors:
        yield ".".join(names), tensors
    if len(names) < DEEPEST:
        for key, value in content.items():
            yield from _parts(value, (*names, str(key)))
