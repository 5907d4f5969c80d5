"""A state on disk: a file of torch.save that ends with its own digest, so that no damaged one is ever continued."""

from __future__ import annotations

import hashlib
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import torch

# Errors of torch.load for truncated or overwritten files; not those of a full memory or a lost disk.
DAMAGE = (
    RuntimeError, EOFError, ValueError, LookupError, AttributeError, TypeError, OverflowError, AssertionError,
    struct.error, pickle.UnpicklingError,
)  # fmt: skip
_DIGEST = 64  # bytes of a SHA-256 in hexadecimal
_ARCHIVE_END = b"PK\5\6"  # signature of the 22 bytes that end an archive of torch.save


def save(state: dict[str, Any], path: Path) -> None:
    """Write ``state`` with torch.save, and the SHA-256 of that after it, which torch.load passes over.

    Raises OSError when the disk is full, which PyTorch reports as RuntimeError.
    """
    with open(path, "w+b") as file:
        try:
            torch.save(state, file)
        except RuntimeError as error:
            # Closing the unfinished archive fails too, and that error replaces the one that says why.
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        file.write(digest.encode())


def load(path: Path) -> dict[str, Any]:
    """Read a state, on the CPU. Raises one of DAMAGE if its content is not that of its digest.

    A file without a digest, from before they were written, is as good as torch.load finds it.
    """
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        left = max(os.fstat(file.fileno()).st_size - _DIGEST, 0)
        while left and (chunk := file.read(min(left, 1 << 20))):
            digest.update(chunk)
            left -= len(chunk)
        end = file.read()
    if end[-22:-18] != _ARCHIVE_END and end != digest.hexdigest().encode():
        raise ValueError("its content does not have its digest")
    return torch.load(path, map_location="cpu", weights_only=True)
