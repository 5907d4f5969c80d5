"""Cache of compiled models, so that a provider compiles a model once and not at each start.

The cache is the folder ``MODEL.onnx.cache`` beside the model: OpenVINO's blobs as files, TensorRT's engines in folders
of their own. A name contains a digest of the model's content and of everything else that decides the result (versions,
device, settings), so that an entry fits or is ignored. Everything in the folder can be deleted at any time. Write
access to the folder allows changing what the model does, as write access to the model itself does.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from i2i.atomic import TEMPORARY_PREFIX, TEMPORARY_SUFFIX, atomically, clear_temporaries, scratch
from i2i.runtime.log import note

_DIGEST = 32  # bytes of the SHA-256 in front of what a file holds
_SEAL = "sha256"  # the file that has the digest of a folder's others
_FOLDER = ".d"  # behind the name of the temporary file whose lock is that of a folder which is being filled


def folder(model: Path) -> Path:
    """Return the cache folder of a model."""
    return model.with_name(f"{model.name}.cache")


def place(model: Path, kind: str, *facts: object) -> Path:
    """Return the file or folder of the model's content compiled by the provider ``kind`` under these settings."""
    settings = hashlib.sha256(repr(facts).encode()).hexdigest()[:8]
    with open(model, "rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    return folder(model) / f"{kind}-{settings}-{content}"


def read(path: Path) -> memoryview | None:
    """Return what ``write`` wrote there, or None if it is missing or damaged."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    if hashlib.sha256(memoryview(data)[_DIGEST:]).digest() != data[:_DIGEST]:
        return None
    return memoryview(data)[_DIGEST:]


def write(path: Path, data: bytes | memoryview) -> None:
    """Write the file, whole or not at all, and remove those of earlier contents of the model."""

    def fill(temporary: Path) -> None:
        with open(temporary, "wb") as file:
            file.write(hashlib.sha256(data).digest())
            file.write(data)

    try:
        path.parent.mkdir(exist_ok=True)
        _clear(path.parent)
        atomically(path, fill, durable=False)
    except OSError as error:
        refused(path, error)
        return
    outdated(path)


@contextmanager
def building(place: Path) -> Iterator[Path | None]:
    """Yield a folder to fill, which replaces ``place`` when the block ends without an error; None if that fails."""
    with ExitStack() as stack:
        part: Path | None = None
        try:
            place.parent.mkdir(exist_ok=True)
            _clear(place.parent)
            part = Path(f"{stack.enter_context(scratch(place.parent))}{_FOLDER}")
            part.mkdir()
            stack.callback(shutil.rmtree, part, ignore_errors=True)
        except OSError as error:
            part = None
            refused(place, error)
        yield part
        if part is None or not any(part.iterdir()):
            return
        try:
            (part / _SEAL).write_text(_digest(part))
            shutil.rmtree(place, ignore_errors=True)
            os.rename(part, place)
        except OSError as error:
            if not is_whole(place):  # by another process that was done just now
                refused(place, error)
                return
    outdated(place)


def is_whole(place: Path) -> bool:
    """True if a folder that was built is there, with unchanged files."""
    try:
        return (place / _SEAL).read_text() == _digest(place)
    except (OSError, ValueError):
        return False


def _digest(place: Path) -> str:
    """Return a digest of the names and contents of a folder's files."""
    digest = hashlib.sha256()
    for path in sorted(place.iterdir()):
        if path.name != _SEAL:
            with open(path, "rb") as file:
                digest.update(path.name.encode() + b"\0" + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _clear(folder: Path) -> None:
    """Remove the leftovers of killed processes: a folder that is being filled has a locked temporary file beside it."""
    clear_temporaries(folder)
    for left in folder.glob(f"{TEMPORARY_PREFIX}*{TEMPORARY_SUFFIX}{_FOLDER}"):
        if not left.with_suffix("").exists():
            shutil.rmtree(left, ignore_errors=True)


def refused(path: Path, error: OSError) -> None:
    """Note that the next start compiles the model again."""
    note(
        f"{path.parent}: {error.strerror or error}; the compiled model is not kept, and is compiled again at each start"
    )


def outdated(path: Path) -> None:
    """Remove what was compiled under the same settings of other contents of the model."""
    for other in path.parent.glob(f"{path.name.rpartition('-')[0]}-*"):
        if other != path:
            with suppress(OSError):
                shutil.rmtree(other) if other.is_dir() else other.unlink()
