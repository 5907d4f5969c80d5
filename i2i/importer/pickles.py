"""What a pickle would call, found by reading it as text is read: nothing in it is looked up or run."""

from __future__ import annotations

import pickletools
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import torch

from i2i.engine.run import DAMAGE

UNREADABLE = (*DAMAGE, zipfile.BadZipFile, zlib.error, OSError)
"""What reading a damaged archive or pickle raises."""

# What a pickle of tensors names, and PyTorch allows: all else in it is code that loading would call.
OF_TENSORS = (
    "torch._utils._rebuild_", "torch.storage.TypedStorage", "torch.storage.UntypedStorage", "torch.Size",
    "torch.device", "collections.OrderedDict",
)  # fmt: skip


def scan(path: Path) -> tuple[list[str], int]:
    """The names in a file's pickles that are no part of tensors, in order, and the pickles' protocol.

    The file is one of ``torch.save``, old or new, or pickles one behind the other. The protocol is -1 where there is
    no pickle.
    """
    found: list[tuple[str, int]] = []
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for member in archive.namelist():
                    if member.endswith("data.pkl"):
                        with archive.open(member) as file:
                            found += _operations(file)
        else:
            with open(path, "rb") as file:
                found += _operations(file)
    except UNREADABLE:
        pass  # a damaged archive is reported as such
    names = dict.fromkeys(name for name, _ in found if name)
    return [name for name in names if not _of_tensors(name)], max((protocol for _, protocol in found), default=-1)


def _of_tensors(name: str) -> bool:
    module, _, last = name.rpartition(".")
    return name.startswith(OF_TENSORS) or (
        module == "torch" and (last.endswith("Storage") or isinstance(getattr(torch, last, None), torch.dtype))
    )


def _operations(file: IO[bytes]) -> Iterator[tuple[str, int]]:
    """(``module.name``, protocol) of all that the pickles of a file look up, and ("", protocol) of each pickle."""
    while True:
        said: list[str] = []  # the strings on the stack, since newer protocols name things by the last two
        memo: list[str] = []
        protocol, last = 0, ""
        try:
            for operation, given, _ in pickletools.genops(file):
                argument: Any = given
                if operation.name == "PROTO":
                    protocol = argument
                    yield "", protocol
                elif operation.name == "GLOBAL":
                    yield str(argument).replace(" ", "."), protocol
                elif operation.name == "STACK_GLOBAL":
                    yield ".".join(said[-2:]), protocol
                elif operation.name == "MEMOIZE":
                    memo.append(last)
                elif operation.name in ("BINGET", "LONG_BINGET") and argument < len(memo):
                    said.append(memo[argument])
                last = argument if isinstance(argument, str) else ""
                said += [last] if last else []
        except UNREADABLE:  # the end of the pickles, or of what can be read of them
            return
