"""A copy of a model's file with its description in it."""

from __future__ import annotations

import shutil
from pathlib import Path

from i2i.atomic import atomically
from i2i.runtime.errors import ModelError
from i2i.runtime.graphs.onnx_file import described, read_spec
from i2i.spec import Spec


def write(source: Path, target: Path, spec: Spec, overwrite: bool = False) -> None:
    """Copies ``source`` to ``target``, whole or not at all, with ``spec`` behind: protobuf reads what follows a message
    as more of it, so the model's own bytes stay as they are.

    Raises ValueError where that would replace the model itself or, unless told to ``overwrite``, any other file.
    """
    if target.exists():
        if target.is_dir():
            raise ValueError(f"{target} is a folder; give the name of a file in it, such as {target / source.name}")
        if target.samefile(source):
            raise ValueError(f"{target} is the model itself, which stays as it is; give the copy another name")
        if not overwrite:
            raise ValueError(f"{target} is there already; choose another name, or --overwrite")

    def copy(temporary: Path) -> None:
        shutil.copyfile(source, temporary)
        with temporary.open("ab") as file:
            file.write(described(spec))
        if read_spec(temporary) != spec:
            raise ModelError(f"{source}: what was written behind it is not read back; the file is no longer a model")

    target.parent.mkdir(parents=True, exist_ok=True)
    atomically(target, copy)
