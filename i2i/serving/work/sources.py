"""The files of the models that a service, or a page, is given."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from i2i.errors import I2IError
from i2i.runtime.graphs.onnx_file import read_spec
from i2i.runtime.model import catalog, targets

_BESIDE = (".style", ".tensor")  # files beside a model's file that are no models by themselves


def paths_of(sources: Sequence[str]) -> dict[str, Path]:
    """Return the file of each model by its name.

    A source is what ``i2i translate -m`` takes, perhaps as NAME=MODEL, or a folder of ``.onnx`` files.

    Raises ModelError for a source that is no model, and ValueError for two models of one name.
    """
    found: dict[str, Path] = {}
    for source in sources:
        for name, path in _of_source(source):
            if name in found:
                raise ValueError(f"two models are called {name}: {found[name]} and {path}; give one as NAME=MODEL")
            found[name] = path
    return found


def _of_source(source: str) -> Iterable[tuple[str, Path]]:
    """Yield name and file of the models of a source."""
    named, separator, rest = source.partition("=")
    if separator and named and not Path(source).exists():
        if not re.fullmatch(r"[\w.-]+", named, re.ASCII):
            raise ValueError(f"{named!r} is no name of a model; expected letters, digits, '.', '-' and '_'")
        yield named, catalog.resolve(rest, require_to=False).path
        return
    folder = Path(source)
    if folder.is_dir() and catalog.read_run(folder) is None:
        for file in sorted(folder.glob("*.onnx")):
            if not file.name.startswith(".") and not file.stem.endswith(_BESIDE) and _translates(file):
                yield clean(file.stem), file
        return
    path = catalog.resolve(source, require_to=False).path
    yield clean(path.stem if folder.suffix == ".onnx" else folder.name), path


def _translates(file: Path) -> bool:
    """True unless the file says that it is no translator; a file that cannot be read fails when it is loaded."""
    try:
        spec = read_spec(file)
    except (I2IError, OSError, ValueError):
        return True
    return spec is None or spec.kind == targets.TRANSLATOR


def clean(name: str) -> str:
    """Return a name as it stands in a path of a URL and in a header."""
    return re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII)
