"""Figures of ``i2i evaluate`` as a report shows them: with their interval, their protocol, and what is comparable."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from i2i.errors import DataError
from i2i.evaluation.protocol import Protocol
from i2i.evaluation.results import RESULT, SECTIONS, shown
from i2i.evaluation.sources import run_around
from i2i.metrics import METRICS, Estimate
from i2i.reporting.records import Record
from i2i.runtime.model.catalog import read_run

# By which metric of single images results are sorted: the first that was measured.
SORTED_BY = ("perceptual", "SSIM", "MS-SSIM", "PSNR", "L1", "accuracy", "structure", "edges", "cycle-L1")

# Of a protocol: None where no figure needed it.
OPTIONAL = ("features", "judge", "kid_subset", "labels", "expected")


@dataclass
class Figures:
    """One table of an evaluation, as ``metrics.json`` has it.

    Attributes:
        run: the run that was measured; its place in the report.
        table: the JSON object.
        origin: the file, or "measured for this report".
        stale: what says that the run has other weights now; empty if it has not.
        assumed: what says that nothing but the arguments of the report ties the figures to the run; empty if more does.
    """

    run: int
    table: dict[str, Any]
    origin: str
    stale: str = ""
    assumed: str = ""

    @property
    def title(self) -> str:
        return str(self.table["title"])

    @property
    def protocol(self) -> Protocol:
        found = self.table["protocol"]
        return Protocol(**{each.name: found[each.name] for each in fields(Protocol) if each.name in found})

    @property
    def warnings(self) -> list[str]:
        return [each for each in (self.stale, self.assumed) if each] + list(map(str, self.table.get("warnings", [])))

    @property
    def left_out(self) -> dict[str, list[str]]:
        """Reason -> the metrics that were left out for it."""
        found: dict[str, list[str]] = {}
        for name, reason in self.table.get("left_out", {}).items():
            found.setdefault(str(reason), []).append(str(name))
        return found

    @property
    def candidates(self) -> list[str]:
        """The columns: the results, then baselines."""
        return list(dict.fromkeys(who for row in self.table["metrics"].values() for who in row["candidates"]))

    @property
    def names(self) -> list[str]:
        """The metrics that were measured, by section."""
        found = self.table["metrics"]
        ordered = [(metric.section, name) for name, metric in METRICS.items() if name in found]
        return [name for section in SECTIONS for where, name in ordered if where == section]

    def label(self, name: str) -> str:
        return str(self.table["metrics"][name]["name"])

    def value(self, name: str, who: str = RESULT) -> Estimate | None:
        """Return a figure before its stated factor; None if it was not measured."""
        row = self.table["metrics"].get(name)
        found = row["candidates"].get(who) if row else None
        if found is None:
            return None
        return Estimate(**{key: float(each) / row["scale"] for key, each in found.items() if each is not None})

    def text(self, name: str, who: str = RESULT) -> str:
        """Return a figure with its deviation and interval: "12.34 ± 0.56 [11.20, 13.48]"."""
        return shown(METRICS[name], self.value(name, who))

    def by_image(self) -> tuple[str, dict[str, float]] | None:
        """Return the metric that sorts the results, and its value for each image; None where none was measured."""
        found = self.table.get("by_image", {}).get(RESULT, {})
        for name in SORTED_BY:
            if found.get(name):
                return name, {str(image): float(value) for image, value in found[name].items()}
        return None


def read_metrics(path: Path, records: Sequence[Record]) -> list[Figures]:
    """Read a file that ``i2i evaluate -o`` wrote. Raises DataError for another file, or another model than the runs."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        model = found.get("model")
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read as the file of i2i evaluate -o ({error})") from error
    run, assumed = _owner(path, model, records)
    stale = "" if assumed else _stale(path, found.get("recipe"), records[run])
    return [replace(table, stale=stale, assumed=assumed) for table in of_evaluation(found, run, str(path))]


def of_evaluation(found: dict[str, Any], run: int, origin: str) -> list[Figures]:
    """Return the tables of an evaluation in the form of JSON. Raises DataError for another form."""
    figures = []
    try:
        for table in found["tables"]:
            one = Figures(run, table, origin)
            _ = one.title, one.protocol.line, one.warnings, one.left_out, one.by_image()
            _ = [(one.label(name), one.text(name, who)) for name in one.names for who in one.candidates]
            figures.append(one)
    except (KeyError, TypeError, ValueError, AttributeError, ZeroDivisionError) as error:
        raise DataError(
            f"{origin}: not a file that i2i evaluate -o wrote ({type(error).__name__}: {error}); measure again with "
            "i2i evaluate RUN -o FILE"
        ) from error
    return figures


def of_test(found: Any, run: int, notes: list[str]) -> list[Figures]:
    """Return the figures of the test split that a run with ``--eval-every`` measured at its end.

    Where there are none, the reason is added to ``notes``.
    """
    if not isinstance(found, dict):
        return []
    if "error" in found:
        notes.append(f"no figures of the test split from training: {found['error']}")
        return []
    try:
        return of_evaluation(found, run, "the end of training")
    except DataError as error:
        notes.append(f"no figures of the test split from training: {error}")
        return []


def _owner(path: Path, model: Any, records: Sequence[Record]) -> tuple[int, str]:
    """Return the place of the run whose model was measured, and what to say where that is an assumption.

    The model or the file lies in the run's folder; else there is one run, and the model lies in none.
    """
    places = [record.path.resolve() for record in records]
    for home in (Path(str(model)).resolve(), path.resolve()):
        for number, place in enumerate(places):
            if place in home.parents:
                return number, ""
    measured = f"{path}: measured on {model or 'finished results'}"
    other = None if model is None else run_around(Path(str(model)).resolve())
    if len(records) == 1 and other is None:
        return 0, f"{measured}, which nothing but this report ties to the run {records[0].name}"
    raise DataError(f"{measured}, which lies in {other or 'none of the runs'}; report on its run alone")


def _stale(path: Path, recipe: Any, record: Record) -> str:
    """Return a warning if the run translates with weights of another step than those that were measured; else ""."""
    run, measured = read_run(record.path), recipe.get("step") if isinstance(recipe, dict) else None
    now = [] if run is None else [spec.recipe["step"] for spec in run.directions.values() if "step" in spec.recipe]
    if measured is None or not now or measured in now:
        return ""
    steps = " and ".join(dict.fromkeys(map(str, now)))
    return (
        f"{path}: measured on weights of step {measured}, and the run translates with those of step {steps} now; "
        f"measure it again with i2i evaluate {record.path} -o {path}"
    )


@dataclass
class Comparison:
    """Figures of several runs side by side.

    Attributes:
        title: what they were measured against.
        rows: metric, which way is better, and the figure of each run.
        differences: in what their protocols differ, so that they are not comparable.
    """

    title: str
    rows: list[tuple[str, str, list[str]]]
    differences: list[str]


def comparisons(figures: Sequence[Figures], runs: int) -> list[Comparison]:
    """Return the figures of several runs side by side: those against the same real images, or one of each run."""
    groups: dict[str, dict[int, Figures]] = {}
    for table in figures:
        groups.setdefault(table.protocol.reference, {}).setdefault(table.run, table)
    if not any(len(group) > 1 for group in groups.values()):  # the data lies elsewhere, or is other data
        groups = {"the first figures of each run": {}}
        for table in figures:
            groups["the first figures of each run"].setdefault(table.run, table)
    found = [_compared(title, group, runs) for title, group in groups.items() if len(group) > 1]
    return [each for each in found if each.rows]


def _compared(title: str, group: dict[int, Figures], runs: int) -> Comparison:
    first = next(iter(group.values()))
    rows: list[tuple[str, str, list[str]]] = []
    for name in METRICS:
        labels = {table.label(name) for table in group.values() if name in table.names}
        for label in sorted(labels):  # the same metric of other features is another one
            holders = {n: table for n, table in group.items() if name in table.names and table.label(name) == label}
            values = [holders[n].text(name) if n in holders else "" for n in range(runs)]
            if len(holders) > 1:
                rows.append((label, METRICS[name].better, values))
    differences = []
    for table in group.values():
        ours, theirs = table.protocol, first.protocol
        # What one of them did not measure with cannot be behind a figure that both have.
        unused: dict[str, Any] = {
            name: None for name in OPTIONAL if None in (getattr(ours, name), getattr(theirs, name))
        }
        found = replace(ours, **unused).differences(replace(theirs, **unused))
        differences += [f"{table.title}: {each}" for each in found]
    return Comparison(title, rows, differences)
