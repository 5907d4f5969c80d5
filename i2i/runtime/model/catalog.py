"""The available models: runs under ``runs/`` and the files of ``weights/``."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from i2i.atomic import digest
from i2i.runtime.errors import ModelError
from i2i.runtime.graphs.onnx_file import read_spec
from i2i.runtime.model import targets
from i2i.runtime.model.targets import To
from i2i.spec import METADATA_KEY, Spec, best_weights
from i2i.text import is_url, not_found, printable

RUNS = Path("runs")
# in the names of exports beside the one that a run translates with
_MARKS = (".tensor", ".newest", ".fp16", ".int8", ".style")


@dataclass(frozen=True)
class Run:
    """The folder of a training run, as its ``run.json`` describes it."""

    path: Path
    method: str
    status: str
    step: int
    changed: float  # when it was last written, in seconds since 1970
    directions: dict[str, Spec] = field(default_factory=dict)
    error: str | None = None  # why not all of its weights can be read, with the name of the file

    def ways(self, kind: str | None) -> dict[str, Spec]:
        """Return the directions that are translators or generators; None: all."""
        return {way: spec for way, spec in self.directions.items() if kind in (None, spec.kind)}

    def exported(self, direction: str, quick: bool = False) -> Path | None:
        """Return the ONNX file of a direction; None if there is none, or if the run has other weights now.

        A file that does not name its weights, as older ones, must not be older than they are; with ``quick`` times
        alone decide, and no file is read.
        """
        file, weights = self.path / "onnx" / f"{direction}.onnx", self.weights(direction)
        if not file.is_file():
            return None
        if not weights.exists():
            return file
        try:
            spec = None if quick else read_spec(file)
        except ModelError:  # loading it says why
            spec = None
        made_of = spec.recipe.get("weights") if spec else None
        same = made_of == digest(weights) if made_of else weights.stat().st_mtime <= file.stat().st_mtime
        return file if same else None

    def weights(self, direction: str) -> Path:
        """Return the file of the weights that a direction translates with: the best, else the newest."""
        return best_weights(self.path / "weights" / f"{direction}.safetensors")


@dataclass(frozen=True)
class Weights:
    """A model that comes with i2i, as its entry in ``weights/index.json`` describes it (docs/extending.md)."""

    name: str
    path: Path
    facts: dict[str, Any]

    @property
    def picture(self) -> Path:
        """The file of its picture, before and after."""
        return self.path.parent / self.facts["picture"]


@dataclass(frozen=True)
class Choice:
    """A model file and the reason why it was chosen."""

    path: Path
    why: str
    to: To | None = None
    """Domain for ``Model(path).toward(to)`` if the file has several, else None."""


def find(kind: str | None = targets.TRANSLATOR) -> Run | None:
    """Return the newest finished run of that kind, or None. Raises ModelError if that one is damaged."""
    run = newest(runs(), kind)
    if run is not None:
        _check_sound(run)
    return run


def newest(runs: Iterable[Run], kind: str | None = targets.TRANSLATOR) -> Run | None:
    """Return the newest finished one of these runs with a model of that kind, damaged or not, or None."""
    finished = [run for run in runs if run.status == "finished" and (run.ways(kind) or run.error)]
    return max(finished, key=lambda run: run.changed, default=None)


def runs(root: str | Path = RUNS) -> list[Run]:
    """Return every run under ``root``, sorted by name. A folder without a readable ``run.json`` is no run."""
    return [run for file in sorted(Path(root).glob("*/run.json")) if (run := read_run(file.parent)) is not None]


def by_name(run: Path) -> Path:
    """Return the folder of a run that is given by its name under ``RUNS``; any other path as it is."""
    return RUNS / run if not run.exists() and (RUNS / run).is_dir() else run


def read_run(path: Path) -> Run | None:
    """Return the run in that folder, or None if it has no readable ``run.json``."""
    try:
        facts = json.loads((path / "run.json").read_text())
        changed = (path / "run.json").stat().st_mtime
        return Run(path, facts["method"], facts["status"], int(facts.get("step", 0)), changed, *_directions(path))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def weights() -> list[Weights]:
    """Return the models that come with i2i, from the package or the source tree; the first is the default."""
    package = Path(__file__).resolve().parents[2]
    for folder in (package / "weights", package.parent / "weights"):
        if (folder / "index.json").is_file():
            entries = json.loads((folder / "index.json").read_text())
            return [Weights(entry["name"], folder / entry["file"], entry) for entry in entries]
    return []


def shipped(name: str) -> Weights:
    """Return the model of that name that comes with i2i. Raises ModelError, with the known names, for another."""
    known = {entry.name: entry for entry in weights()}
    if name in known:
        return known[name]
    if read_run(Path(name)) or read_run(RUNS / name):
        raise ModelError(f"{name} is a run: `i2i report {name} --format md` writes its card")
    raise ModelError(f"no model {name!r} comes with i2i; it is none of {', '.join(known) or 'none'}")


def resolve(
    model: str | os.PathLike[str] | None = None,
    to: To | None = None,
    require_to: bool = True,
    kind: str | None = targets.TRANSLATOR,
) -> Choice:
    """Find a model's file by its path, a run's folder, the name of either, or None (the newest finished run).

    A run without a current export is exported, which needs PyTorch. ``to`` names the direction ("b2a"), the domain to
    translate to, or attributes; ``require_to`` makes it an error to leave it out for a model of several domains.
    ``kind`` is the kind of model that the caller takes; None: any. Raises ModelError, with the known names, with the
    file of a run that is damaged, or for a model of another kind with what to use.
    """
    if model is None:
        return _default(to, require_to, kind)
    path = Path(model)
    if path.is_file():
        return _of_file(path, to, "as asked", require_to, kind)
    run = read_run(path) or read_run(RUNS / path)
    if run is not None:
        return _of_run(run, to, require_to, kind)
    for entry in weights():
        if entry.name == str(model):
            return _of_file(entry.path, to, "it comes with i2i", require_to, kind)
    if path.suffix == ".onnx" or is_url(path):
        raise ModelError(not_found(path, "model file"))
    known = [run.path.name for run in runs()] + [entry.name for entry in weights()]
    raise ModelError(
        f"no model {str(model)!r}: it is no file, no folder of a run, and none of {', '.join(known) or 'none'}"
    )


def _default(to: To | None, require_to: bool, kind: str | None) -> Choice:
    run = find(kind)
    if run is not None:
        return replace(_of_run(run, to, require_to, kind), why=f"the newest finished run, {run.path}")
    if kind == targets.GENERATOR:
        raise ModelError(f"no generator: no finished run of one under {RUNS}/; train one, such as `i2i train dcgan`")
    for entry in weights():
        return _of_file(entry.path, to, f"the default; no finished run under {RUNS}/", require_to, kind)
    raise ModelError(f"no model: no finished run under {RUNS}/ and none comes with this install; give one with -m")


def _of_run(run: Run, to: To | None, require_to: bool, kind: str | None) -> Choice:
    _check_sound(run)
    if not run.directions:
        raise ModelError(f"{run.path}: this run has no weights yet; train it on, or give another model with -m")
    ways = run.ways(kind)
    if not ways:
        targets.check_kind(next(iter(run.directions.values())), kind, printable(run.path))
    direction = targets.choose(ways, to, str(run.path))
    spec = ways[direction]
    if to == direction and to not in spec.domains:
        to = None  # it names the direction alone
    if spec.domains and (to is not None or require_to):
        targets.aim(spec, to, str(run.path))  # before an export, which takes its time
    rest = to if spec.domains else None
    why = ", ".join([f"run {run.path}", *filter(None, [chosen_by(spec)])])
    file = run.exported(direction)
    if file is not None:
        return Choice(file, why, rest)
    from i2i.exporter import export  # needs PyTorch, unlike all else here

    return Choice(export(run.path, to=direction), f"{why}, exported now", rest)


def chosen_by(spec: Spec) -> str:
    """Return which weights validation chose, in words; "" where they are the newest ones."""
    chosen = spec.recipe.get("chosen_by")
    if not chosen:
        return ""
    return f"best weights, of step {spec.recipe['step']} (validation {chosen['metric']} {chosen['value']:.4g})"


def _of_file(path: Path, to: To | None, why: str, require_to: bool, kind: str | None) -> Choice:
    spec = targets.check_kind(read_spec(path), kind, printable(path))
    if spec is not None and (to is not None or require_to):
        targets.aim(spec, to, str(path))
    return Choice(path, why, to)


def _directions(run: Path) -> tuple[dict[str, Spec], str | None]:
    """Return the Specs that a run can be exported to, translations first, and the first reading error.

    From the headers of its weights, or of its exports if it has none. Those of bare networks are for other programs,
    and those in another precision are asked for by their names.
    """
    weights = [best_weights(file) for file in sorted((run / "weights").glob("*.safetensors"))]
    exports = [file for file in sorted((run / "onnx").glob("*.onnx")) if not file.stem.endswith(_MARKS)]
    found: dict[str, Spec] = {}
    error = None
    for file in weights or exports:
        try:
            spec = read_header(file) if weights else read_spec(file)
        except (OSError, ValueError) as problem:
            reason = f"{file}: {problem.strerror or problem}" if isinstance(problem, OSError) else str(problem)
            error = error or reason
            continue
        if spec is not None:
            found[spec.direction if weights else file.stem] = spec
    return targets.ordered(found), error


def _check_sound(run: Run) -> None:
    if run.error is not None:
        raise ModelError(
            f"{run.error}; so the run {run.path} cannot be used: train it again, or give another model with -m"
        )


def read_header(path: Path) -> Spec:
    """Return the Spec in the header of a safetensors file: eight bytes of length, then JSON. Raises ValueError."""
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        text = file.read(size) if size <= 100_000_000 else b""
    try:
        metadata = json.loads(text)["__metadata__"]
        description = metadata[METADATA_KEY]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{path}: damaged, or not the weights of an i2i run (its header cannot be read)") from error
    try:
        return Spec.from_json(description)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
