"""Images that a run is evaluated on while it trains, how they are translated, and how processes share them out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import nn

from i2i.data import Dataset, has_split
from i2i.data.layout import Source
from i2i.engine.distributed import World
from i2i.engine.run_folder import Run
from i2i.engine.settings import Settings
from i2i.engine.weights import describe
from i2i.errors import DataError
from i2i.evaluation import sources
from i2i.evaluation.candidates import Candidate
from i2i.evaluation.measure import Measured, Rows, measure
from i2i.evaluation.networks import has_lite0
from i2i.evaluation.pictures import Picture
from i2i.evaluation.sources import HELD_OUT, Task
from i2i.images.domains import describe_ranges, kind
from i2i.metrics import METRICS, Metric
from i2i.networks import per_image
from i2i.runtime import processing
from i2i.sampling import latent
from i2i.spec import Spec
from i2i.text import plural
from i2i.translators import Translator


def arrange(run: Run, dataset: Dataset) -> None:
    """Decide which images a run is evaluated on, and note it in its facts; leave out those that it must not train on.

    A run keeps its decision, also if it continues without evaluations. Raises ValueError for a metric that cannot be
    measured on this data, and for a run that has trained on all of its images.
    """
    settings, noted = run.settings, dict(run.facts.get("validation", {}))
    if settings.eval_every and settings.teacher:
        raise ValueError(
            "eval_every compares results with real images of the target, and a teacher makes its own; leave it out, "
            "and measure the student by `i2i evaluate RUN --a DIR --b DIR`"
        )
    if settings.eval_every and dataset.kind in ("images", "captions"):
        raise ValueError(
            "eval_every compares translated images, and a generator has none; generate images after the training, and "
            "compare them by `i2i evaluate --real DIR --fake DIR`"
        )
    if settings.eval_every and (bands := next((d for d in (dataset.source, dataset.target) if d.bands), None)):
        raise ValueError(f"eval_every measures pictures, grey or RGB, and {bands.name} has {kind(bands)}; leave it out")
    ranged = next((d for d in (dataset.source, dataset.target) if d.range and set(d.range) != {(0.0, d.peak)}), None)
    if settings.eval_every and ranged:
        raise ValueError(
            f"eval_every measures pictures of all levels that their type has, and {ranged.name} has the range "
            f"{describe_ranges(ranged)}; leave it out"
        )
    if settings.eval_every:
        run.settings = settings = replace(settings, metric=_metric(settings, dataset.kind))
    elif not noted:
        if settings.metric or settings.eval_features:
            raise ValueError(
                "metric and eval_features are for evaluations, and there are none; give eval_every as well"
            )
        return
    if not noted:
        own = has_split("val", settings.data, settings.a, settings.b, kind=dataset.kind, derive=settings.derive)
        if not own and run.started:
            raise ValueError(
                f"{run.path} has trained on all of its images, and its data has no val split: there is nothing to "
                "evaluate it on. Give eval_every from the start, with another --out"
            )
        noted = {"split": "val"} if own else {"split": HELD_OUT, "share": settings.val_share}
    if noted["split"] == HELD_OUT:
        noted["images"] = {_side(role, settings): names for role, names in dataset.hold_out(noted["share"]).items()}
    run.facts["validation"] = noted


def _side(role: str, settings: Settings) -> str:
    """Return the user's side of a role of the data: "a" or "b"."""
    return dict(zip(("source", "target"), settings.direction.split("2"), strict=True)).get(role, role)


def _metric(settings: Settings, kind: str) -> str:
    """Return the metric that chooses the weights, by name. Raises ValueError for one that this data does not allow."""
    if settings.attributes:
        raise ValueError(
            "eval_every compares results with the images of their domain, and attributes have no such images; train "
            "without it, or on a folder for each domain"
        )
    featured = settings.eval_features is not None or has_lite0()
    name = settings.metric or ("KID" if kind != "pairs" else "perceptual" if featured else "L1")
    there = {"result", "source", "real"} | ({"truth"} if kind == "pairs" else set())
    fit = [each for each, metric in METRICS.items() if metric.needs != "video" and there.issuperset(metric.between)]
    if name not in fit:
        raise ValueError(f"metric is {name!r}, which {kind} data cannot be measured by here; choose {', '.join(fit)}")
    if METRICS[name].needs_features and not featured:
        raise DataError(
            f"the metric {name} needs features, and none are installed: "
            'pip install "i2i[evaluate]", or give --eval-features onnx:FILE'
        )
    return name


def metrics_of(name: str) -> dict[str, Metric]:
    """Return the metric that chooses the weights, and where it asks for realism alone, one of content beside it."""
    names = {name} | ({"edges"} if METRICS[name].section == "realism" else set())
    return {each: metric for each, metric in METRICS.items() if each in names}


@dataclass
class Trial:
    """Images of one direction, or of one target domain of a network of several.

    Attributes:
        export: the translator's own name of the direction.
        label: the direction as the user calls it, or the target domain.
        spec: of the direction's export.
        target: index of the target domain, where there are several.
    """

    export: str
    label: str
    spec: Spec
    task: Task
    target: int | None = None


def trials(run: Run, translator: Translator, split: str) -> list[Trial]:
    """Return what to evaluate a run on: the images of a split of its data, or those held out from the training split.

    Reconstructions, which lead from a domain to itself, are left out. Raises DataError.
    """
    settings, found = run.settings, []
    for export in translator.exports():
        spec = describe(run, export)
        if spec.domains:
            for number, aim in enumerate(spec.domains):
                found.append(Trial(export, aim, spec, _of_domains(run, split, spec.domains, aim), number))
        elif spec.direction[0] != spec.direction[-1]:
            # Results of unpaired methods have a truth only where the data happens to have one, which may show how good
            # they are at the end, but not choose.
            paired = None if split == "test" else translator.data == "pairs"
            where = settings.data, settings.a, settings.b
            if split == HELD_OUT:
                names = run.facts["validation"]["images"]
                task = sources.from_held_out(*where, spec.direction, paired, names, spec.derive)
            else:
                task = sources.from_data(*where, split, spec.direction, paired, derive=spec.derive)
            found.append(Trial(export, spec.direction, spec, task))
    for trial in found:
        if split != "test":
            trial.task.trained = []  # see ``repeated``, which reads no image again
    return found


def _of_domains(run: Run, split: str, domains: tuple[str, ...], aim: str) -> Task:
    data = str(run.settings.data)
    if split == HELD_OUT:
        return sources.domains_held_out(data, domains, aim, run.facts["validation"]["images"]["images"])
    return sources.from_domains(data, split, domains, aim)


def known_before(source: str | None, domains: Sequence[str]) -> dict[Path, bytes]:
    """Return the files that the run was trained on from which this one starts, with their digests."""
    before = None if source is None else sources.run_around(Path(source))
    if before is None:
        return {}
    found, _ = sources.trained_by(before, domains)
    return {image.path: _digest(image.path) for image in found}


def _digest(path: Path) -> bytes:
    return hashlib.blake2b(path.read_bytes(), digest_size=16).digest()


def repeated(found: Iterable[Trial], contents: Mapping[Path, bytes]) -> str:
    """Return a warning if images are among the files trained on, whose digests these are, under any name; else ""."""
    files: dict[Path, str] = {}
    for trial in found:
        images = [*(item.source for item in trial.task.items if item.source), *trial.task.real]
        files |= {source.path: source.name for source in images}
    trained = set(contents.values())
    same = [name for path, name in files.items() if _digest(path) in trained]
    return (
        f"warning: {len(same)} of {plural(len(files), 'validation image')}: trained on as well, so that the best "
        f"weights may be those that know them by heart: {', '.join(same[:5])}"
        if same
        else ""
    )


def translating(net: nn.Module, trial: Trial, world: World, dtype: torch.dtype) -> Candidate:
    """Return the candidate that translates with a network as its export would: each image by its own statistics."""
    net, spec, turn = per_image(net), trial.spec, Lock()
    given = [] if trial.target is None else [torch.eye(len(spec.domains))[None, trial.target]]
    if spec.style is not None:
        given.append(torch.from_numpy(latent(spec.style, [0])))  # as a translation without a seed
    chosen = [tensor.to(world.device, dtype) for tensor in given]

    def make(item: sources.Item, views: Mapping[str, Picture]) -> dict[str, Picture]:
        image = views["source"].image
        x = torch.from_numpy(processing.to_tensor(processing.prepare(image, spec)[None], spec.source))
        with turn, torch.inference_mode():  # one at a time, on all threads, as in training
            y = net(x.to(world.device, dtype), *chosen).float().cpu().numpy()
        result = processing.restore(processing.from_tensor(y, spec.target)[0], image, spec)
        return {"result": Picture(replace(result, format="not encoded"), views["source"].name)}

    return make


class Spread:
    """:func:`i2i.evaluation.measure.measure` for every process a share of the images; each gets all findings.

    The real images of unpaired data are looked at by the first call only.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self._real: tuple[np.ndarray | None, list[tuple[str, str, str]]] | None = None

    def __call__(
        self, items: list[sources.Item], real: list[Source], candidates: Mapping[str, Candidate], *options: Any
    ) -> Measured:
        """Raise in every process what one of them failed of."""
        mine, paired = slice(self.world.rank, None, self.world.size), items[0].truth is not None
        own: Measured | Exception
        try:
            seen = real[mine] if paired or self._real is None else []
            own = measure(items[mine], seen, candidates, *options)
        except Exception as error:
            own = error
        failed = self.world.gather(str(own) if isinstance(own, Exception) else None)
        if isinstance(own, Exception):
            raise own
        if any(failed):
            raise DataError(next(filter(None, failed)))
        found = _joined(self.world.gather(own))
        if not paired:
            if self._real is None:
                self._real = found.real, [each for each in found.digests if each[0] == "truth"]
            else:
                found.real, truths = self._real
                found.digests += truths
        return found


def _joined(parts: list[Measured]) -> Measured:
    """Return the findings of all processes, in the order of the images."""
    joined = Measured({}, _woven([part.names for part in parts]), None, [], {})
    for name in parts[0].rows:
        rows = [part.rows[name] for part in parts]
        metrics = dict.fromkeys(metric for each in rows for metric in each.values)
        joined.rows[name] = Rows(
            {metric: _woven([each.values.get(metric, []) for each in rows]) for metric in metrics},
            _woven([each.features for each in rows]),
            _woven([each.confusions for each in rows]),
        )
    real = _woven([[] if part.real is None else list(part.real) for part in parts])
    joined.real = np.stack(real) if real else None
    joined.digests = [each for part in parts for each in part.digests]
    for part in parts:
        joined.left_out |= part.left_out
    return joined


def _woven(parts: list[list[Any]]) -> list[Any]:
    """Return the items of every n-th part in turn, which undoes ``items[rank::size]``."""
    return [part[i] for i in range(max(map(len, parts))) for part in parts if i < len(part)]
