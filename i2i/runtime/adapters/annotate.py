"""Description of a third-party model's file, and a copy of the file that contains it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from i2i.atomic import atomically
from i2i.runtime.adapters import convert, infer_spec, single_file
from i2i.runtime.adapters.options import NO_OPTIONS, ModelOptions
from i2i.runtime.errors import ModelError
from i2i.runtime.graphs.onnx_file import described, parse, read_spec
from i2i.runtime.memory.estimate import measure_values_per_pixel
from i2i.runtime.providers.table import open_session
from i2i.runtime.session import Session
from i2i.runtime.system.host import cores
from i2i.spec import METADATA_KEY, Spec


def describe(path: Path, options: ModelOptions = NO_OPTIONS, output: str | None = None) -> tuple[Spec, bytes | None]:
    """Return the Spec of a model's file, and the model as one file if ``path`` is not that already.

    Args:
        path: an export or a third-party model, which may keep weights in other files of its folder.
        options: the user's options.
        output: the one to keep of several outputs.

    Raises ModelError for a model that cannot be run or described, with the reason or the options that are missing, and
    ValueError for an unknown output.
    """
    model = single_file.combined(path, output)
    if model is None:
        spec, session = read_spec(path), open_session(path, "cpu", cores())
    else:
        spec, _ = parse(memoryview(model), path)
        try:
            session = open_session(model, "cpu", cores())
        except ModelError as error:
            raise ModelError(f"{path}: {error}") from error
    spec = infer_spec.settle(spec, session, path, options, output)
    return _with_values_per_pixel(spec, path.read_bytes() if model is None else model), model


def _with_values_per_pixel(spec: Spec, model: bytes) -> Spec:
    """Return ``spec`` with the values per pixel of a third-party model of any size.

    Without them where they cannot be measured: the runtime notes that when an image is large enough to matter.
    """
    if spec.form is None or spec.form.size is not None:
        return spec

    def infer(session: Session, side: int) -> None:
        blank = np.zeros((1, side, side, spec.source.channels), spec.dtype)
        convert.translate(infer_spec.runner(session), blank, spec)

    try:
        values = measure_values_per_pixel(model, spec, infer, lambda graph: open_session(graph, "cpu", cores()))
    except ModelError:
        return spec
    return replace(spec, values_per_pixel=values)


def write(source: Path, target: Path, spec: Spec, overwrite: bool = False, model: bytes | None = None) -> None:
    """Write ``model``, by default the content of ``source``, and its description to ``target``, atomically.

    The description is appended: protobuf reads what follows a message as part of it, so the model's own bytes stay
    unchanged. One that the file has is left out.

    Raises ValueError if ``target`` is a folder or ``source`` itself, or, without ``overwrite``, if it exists.
    """
    if target.exists():
        if target.is_dir():
            raise ValueError(f"{target} is a folder; give the name of a file in it, such as {target / source.name}")
        if target.samefile(source):
            raise ValueError(f"{target} is the model itself, which is not changed; give the copy another name")
        if not overwrite:
            raise ValueError(f"{target} exists already; choose another name, or add --overwrite")

    def copy(temporary: Path) -> None:
        if model is None and read_spec(source) is not None:  # one of two descriptions would be read, and which differs
            import onnx  # slow to import

            bare = onnx.load(source, load_external_data=False)
            kept = [entry for entry in bare.metadata_props if entry.key != METADATA_KEY]
            del bare.metadata_props[:]
            bare.metadata_props.extend(kept)
            temporary.write_bytes(bare.SerializeToString())
        elif model is None:
            shutil.copyfile(source, temporary)
        else:
            temporary.write_bytes(model)
        with temporary.open("ab") as file:
            file.write(described(spec))
        if read_spec(temporary) != spec:
            raise ModelError(f"{source}: the copy's description cannot be read back; the model changed meanwhile")

    target.parent.mkdir(parents=True, exist_ok=True)
    atomically(target, copy)
