"""Write a copy of a third-party model as one file that contains its description."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from i2i.atomic import atomically
from i2i.runtime.errors import ModelError
from i2i.runtime.graphs.onnx_file import described, has_external_data, read_spec
from i2i.spec import Spec


def write(source: Path, target: Path, spec: Spec, overwrite: bool = False) -> None:
    """Copies ``source`` to ``target``, whole or not at all, with ``spec`` behind: protobuf reads what follows a message
    as more of it, so the model's own bytes stay as they are.

    Raises ValueError if that would replace the model itself or, without ``overwrite``, any other file.
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


@contextmanager
def single_file(source: Path, output: str | None = None) -> Iterator[Path]:
    """Yield a model as one file with one output: ``source`` itself, or a temporary file of the same name.

    The temporary file contains the weights that ``source`` keeps in other files of its folder, and of several outputs
    the one called ``output``. Raises ModelError if the weights cannot be read, and for an unknown output.
    """
    if output is None and not has_external_data(source):
        yield source
        return
    import onnx  # slow to import

    try:
        model = onnx.load(source)  # refuses paths outside of the model's folder
    except Exception as error:  # of the file system, of protobuf, or onnx's own
        raise ModelError(
            f"{source}: its weights in other files cannot be read: {str(error).splitlines()[0]}"
        ) from error
    if output is not None:
        kept = [info for info in model.graph.output if info.name == output]
        if not kept:
            names = ", ".join(repr(info.name) for info in model.graph.output)
            raise ModelError(f"{source}: it has no output {output!r}; it has {names}")
        del model.graph.output[:]
        model.graph.output.extend(kept)
    if model.ByteSize() >= 2**31:
        raise ModelError(f"{source}: with its weights it is larger than 2 GiB, the limit of a single ONNX file")
    with TemporaryDirectory(prefix="i2i-") as folder:
        whole = Path(folder) / source.name
        whole.write_bytes(model.SerializeToString())
        try:
            yield whole
        except ModelError as error:
            raise type(error)(str(error).replace(str(whole), str(source))) from error
