"""From the arguments of ``i2i.evaluate`` to models, and to the images that they are measured on."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from i2i.errors import DataError
from i2i.evaluation import sources
from i2i.evaluation.sources import Task
from i2i.metrics import Metric
from i2i.runtime.graphs.onnx_file import read_spec
from i2i.runtime.model import catalog, targets
from i2i.runtime.model.generator import Generator
from i2i.runtime.model.model import Model

PathLike = str | os.PathLike[str]


def find_tasks(
    model: Any, loaded: Model | None, data: Any, a: Any, b: Any, split: str | None, direction: str | None,
    to: str | None, paired: bool | None, real: Any, fake: Any, source: Any, train: Any = None,
) -> list[tuple[Task, str | None]]:  # fmt: skip
    """Return what to measure, each with the domain to translate to."""
    if loaded is None:
        if real is None or fake is None:
            raise DataError("nothing to evaluate: give a model, or the folders --real DIR and --fake DIR")
        if any(each is not None for each in (data, a, b)):
            raise DataError("--data, --a and --b are for a model; finished results take --real, --fake and --source")
        return [(sources.from_results(fake, real, source, paired), None)]
    if fake is not None:
        raise DataError("give a model, or the results of one with --fake, not both")
    _check_real(real, source, (data, a, b))
    if real is not None:  # the two folders under the names that finished results take
        data, a, b, direction = None, source, real, "a2b"
    held_out: dict[str, list[str]] = {}
    run = _run_of(model)
    if trained_on := data is None and a is None and b is None:
        if run is None:
            raise DataError("no data: give --data DIR, or --a DIR and --b DIR; only a run knows its own")
        found = sources.recorded(run.path)
        if found["teacher"]:
            raise DataError(
                f"{run.path}: its targets were made by a teacher, so it knows no real images of them; give --a DIR and "
                "--b DIR, or --data DIR"
            )
        data, a, b = found["data"], found["a"], found["b"]
        held_out = found["held_out"] if split is None else {}
    if held_out and not sources.has_test(data, a, b, loaded.spec.domains, loaded.spec.derive):
        tasks = _of_images_held_out(loaded, data, a, b, direction, to, paired, held_out)
    else:
        tasks = _of_images(loaded, data, a, b, split, direction, to, paired, trained_on)
    seen, missing = ([], []) if run is None else sources.trained_by(run.path, loaded.spec.domains)
    unchecked = [
        f"the images that {path} was trained on are not at hand, so whether measured ones are among them is not known; "
        "--train DIR gives them"
        for path in missing
        if train is None
    ]
    whole = []
    for task, aim in tasks:
        known = list(dict.fromkeys([*task.trained, *seen]))
        whole.append((replace(task, trained=known, warnings=[*task.warnings, *unchecked]), aim))
    return whole


def _check_real(real: Any, source: Any, others: tuple[Any, ...]) -> None:
    """Raise DataError if a model has one of ``real`` and ``source``, or both beside ``others``: data, a and b."""
    if source is not None and real is None:
        raise DataError(
            "--source alone names no real images: give --real DIR beside it, or all images by --data DIR, or by --a "
            "DIR and --b DIR"
        )
    if real is not None and source is None:
        raise DataError("a model needs images to translate: give --source DIR beside --real DIR")
    if real is not None and any(each is not None for each in others):
        raise DataError("--real and --source name the images, and so do --data, --a and --b; give one or the other")


def _of_images(
    model: Model, data: Any, a: Any, b: Any, split: str | None, direction: str | None, to: str | None,
    paired: bool | None, trained_on: bool,
) -> list[tuple[Task, str | None]]:  # fmt: skip
    spec = model.spec
    if spec.attributes:
        raise DataError(
            f"{model.path.name}: a model of attributes, which have no folder of real images; translate with --to, "
            "then evaluate the results with --real, --fake and --source"
        )
    if spec.domains:
        if data is None:
            raise DataError("a model of several domains is evaluated on --data DIR with a folder for each")
        return [(sources.from_domains(data, split, spec.domains, aim, trained_on), aim) for aim in _aims(model, to)]
    way = direction or spec.direction
    return [(sources.from_data(data, a, b, split, way, paired, trained_on, spec.derive if a is None else ""), None)]


def _of_images_held_out(
    model: Model, data: Any, a: Any, b: Any, direction: str | None, to: str | None, paired: bool | None,
    names: Mapping[str, list[str]],
) -> list[tuple[Task, str | None]]:  # fmt: skip
    spec = model.spec
    if spec.domains:
        return [(sources.domains_held_out(data, spec.domains, aim, names["images"]), aim) for aim in _aims(model, to)]
    return [(sources.from_held_out(data, a, b, direction or spec.direction, paired, names, spec.derive), None)]


def _aims(model: Model, to: str | None) -> list[str]:
    return [to] if to is not None else list(model.to or model.spec.domains)


def open_model(model: PathLike | Generator, to: str | None, direction: str | None, provider: str) -> Model:
    """Open a translator. Raises DataError for a generator, which has no images to translate."""
    if isinstance(model, Generator):
        raise _no_translator(model.path)
    run = _run_of(model)
    wanted = direction if run is not None and direction in run.directions and to is None else to
    choice = catalog.resolve(model, wanted, require_to=False, kind=None)
    spec = read_spec(choice.path)
    if spec is not None and spec.kind == targets.GENERATOR:
        raise _no_translator(model)
    loaded = Model(choice.path, provider, side_by_side=True)
    return loaded if choice.to is None else loaded.toward(choice.to)


def _no_translator(model: PathLike) -> DataError:
    who = shlex.quote(os.fspath(model))
    return DataError(
        f"{who} is a generator, which has no source images: write some of its images, and measure them against real "
        f"ones: `i2i generate {who} -n 1000 -o DIR`, then `i2i evaluate --real REAL --fake DIR`"
    )


def _run_of(model: Any) -> catalog.Run | None:
    if model is None or isinstance(model, Model):
        return None
    return catalog.read_run(Path(model)) or catalog.read_run(catalog.RUNS / Path(model))


def way_back(
    model: Any, loaded: Model | None, back: PathLike | None, provider: str, chosen: Mapping[str, Metric]
) -> Model | None:
    if loaded is None or not any("cycle" in metric.between for metric in chosen.values()):
        return None
    if back is not None:
        return Model(catalog.resolve(back).path, provider, side_by_side=True)
    if loaded.spec.domains:
        return loaded
    run, reverse = _run_of(model), {"a2b": "b2a", "b2a": "a2b"}.get(loaded.spec.direction, "")
    if run is None or reverse not in run.directions:
        return None
    return Model(catalog.resolve(run.path, reverse).path, provider, side_by_side=True)
