"""A run's folder as a report reads it: settings, log and sample sheets, and what of it cannot be read."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from i2i.errors import DataError
from i2i.runtime.model.catalog import RUNS, read_run
from i2i.runtime.model.targets import TRANSLATOR
from i2i.text import as_given, not_found, plural

PLACES = ("data", "a", "b", "attributes", "captions", "mask")  # the settings that are paths of the data
COMPARED = ("method", "status", "step", "images", "fingerprint", "machine", "versions")  # facts beside settings
SPEED, MEMORY, WAIT = "images_per_second", "memory_gb", "data_wait"
Points = list[tuple[float, float]]


@dataclass
class Record:
    """One run.

    Attributes:
        path: its folder.
        name: for tables and legends; unique in a report.
        facts: contents of ``run.json``.
        lines: those of ``log.jsonl`` that can be read, by step.
        samples: step and file of each sample sheet.
        notes: what cannot be read, or is missing.
    """

    path: Path
    name: str
    facts: dict[str, Any]
    lines: list[dict[str, Any]] = field(default_factory=list)
    samples: list[tuple[int, Path]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def method(self) -> str:
        return str(self.facts["method"])

    @property
    def settings(self) -> dict[str, Any]:
        """Settings and hyper-parameters, without those that are not set."""
        found = {**_mapping(self.facts, "settings"), **self.hyperparameters}
        return {name: value for name, value in found.items() if value is not None and name != "method"}

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """Hyper-parameters, those at their defaults included."""
        return {**_mapping(self.facts, "defaults"), **_mapping(self.facts, "hyperparameters")}

    @property
    def data(self) -> str:
        """The folders that it was trained on."""
        settings = _mapping(self.facts, "settings")
        return ", ".join(str(settings[name]) for name in PLACES if settings.get(name) is not None)

    @property
    def seconds(self) -> float | None:
        """The time that training took, from the speed in the log; None if it has none."""
        batch, before, total = self.settings.get("batch", 1), 0.0, 0.0
        if _finite(batch) and _finite(parts := self.settings.get("accumulate", 1)):
            batch *= parts
        for line in self.lines:
            speed = line.get(SPEED)
            if speed is not None and _finite(speed) and speed > 0 and _finite(batch):
                total += (line["step"] - before) * batch / speed
                before = line["step"]
        return total or None

    def series(self) -> dict[str, Points]:
        """Return every number of the log over the steps, by its name, in the order of the log.

        Values that are not finite are left out. An object within a line is flattened: {"val": {"KID": 1}} is "val/KID".
        """
        found: dict[str, Points] = {}
        for line in self.lines:
            for name, value in _flat(line):
                if _finite(value) and name != "step":
                    found.setdefault(name, []).append((line["step"], value))
        return found

    @property
    def command(self) -> str:
        """The command that trains this run again: every setting is stated, so that it depends on no default."""
        if "imported" in self.facts:
            imported = self.facts["imported"]
            name = imported.get("file", "CHECKPOINT") if isinstance(imported, dict) else str(imported)
            return shlex.join(["i2i", "import", str(name), "--out", str(self.path)])
        settings = _mapping(self.facts, "settings")
        words = ["i2i", "train", self.method]
        for name, value in settings.items():
            if name != "method" and value is not None and not (name == "steps" and value == 0):
                text = "x".join(map(str, value)) if isinstance(value, list) else str(value)
                words += [f"--{name.rstrip('_').replace('_', '-')}={text}"]
        for name, value in self.hyperparameters.items():
            if name not in settings:  # the data decides it, as with a table of attributes
                words.append(f"--set={name}={value}")
        return _wrapped([*words, f"--out={self.path}"])

    @property
    def generates(self) -> bool:
        """True for a run of a generator alone, which takes no images."""
        run = read_run(self.path)
        return run is not None and bool(run.directions) and not run.ways(TRANSLATOR)

    @property
    def use(self) -> str:
        """The command that translates a folder with this run, or generates images."""
        if self.generates:
            names = self.facts.get("domains") or []
            to = ["--to", str(names[0])] if names else []
            return shlex.join(["i2i", "generate", str(self.path), "-n", "64", "--grid", *to])
        return shlex.join(["i2i", "translate", "photos/", "results/", "-m", str(self.path)])

    def title(self) -> str:
        """Return one line: the method, the domains and the steps done."""
        ends = [_mapping(self.facts, side).get("name") for side in ("source", "target")]
        domains = self.facts.get("domains") or []
        between = ", ".join(map(str, domains)) if domains else " to ".join(str(end) for end in ends if end)
        return f"{self.method}: {between}" if between else self.method


def _wrapped(words: list[str]) -> str:
    """Return words as a command for a shell, in lines of at most about 90 characters."""
    lines = [""]
    for word in map(shlex.quote, words):
        if lines[-1] and len(lines[-1]) + len(word) > 90:
            lines.append("   ")
        lines[-1] += f" {word}" if lines[-1] else word
    return " \\\n".join(lines)


def read_records(runs: Sequence[str | os.PathLike[str]]) -> list[Record]:
    """Read the folders of runs, or their names under ``runs/``. Raises DataError for one that is no run."""
    records: list[Record] = []
    for run in runs:
        path = Path(run)
        if not path.exists() and (RUNS / path / "run.json").is_file():
            path = RUNS / path
        records.append(_read(path))
    names = [record.name for record in records]
    for record in records:
        if names.count(record.name) > 1:
            record.name = str(record.path)
    return records


def _read(path: Path) -> Record:
    file = path / "run.json"
    if not path.exists():
        raise DataError(not_found(path, "run"))
    if not file.is_file():
        raise DataError(f"{path}: no run; a run is a folder with the run.json that i2i train or i2i import wrote")
    try:
        facts = json.loads(file.read_text(encoding="utf-8"))
        _ = facts["method"], facts["status"], facts.get("settings"), as_given(path).name
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{file}: damaged, it does not describe a run ({error})") from error
    record = Record(path, as_given(path).name, facts)
    _read_log(record)
    for sheet in sorted((path / "samples").glob("[0-9]*.png")):
        if sheet.stem.isdecimal():
            record.samples.append((int(sheet.stem), sheet))
    if not record.samples:
        record.notes.append("no sample sheets: it has no files in samples/ (training with --sample-every writes them)")
    return record


def _read_log(record: Record) -> None:
    file, bad = record.path / "log.jsonl", 0
    if not file.is_file():
        record.notes.append("no curves: it has no log.jsonl")
        return
    for text in file.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
            good = isinstance(line, dict) and _finite(line.get("step"))
        except (ValueError, RecursionError):
            good = False
        if good:
            record.lines.append(line)
        else:
            bad += 1
    record.lines.sort(key=lambda line: line["step"])
    if bad:
        record.notes.append(f"{plural(bad, 'damaged line')} of log.jsonl left out")
    numbers = [(name, value) for line in record.lines for name, value in _flat(line) if isinstance(value, float)]
    wrong = {name for name, value in numbers if not _finite(value)}
    if wrong:
        record.notes.append(f"values that are not finite, left out of the curves: {', '.join(sorted(wrong))}")


def _flat(line: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in line.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}/")
        else:
            yield prefix + name, value


def _finite(value: Any) -> bool:
    """True for a number that can be drawn; JSON has integers that no float holds."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 1e300


def _mapping(facts: dict[str, Any], name: str) -> dict[str, Any]:
    found = facts.get(name)
    return found if isinstance(found, dict) else {}


def differences(records: Sequence[Record]) -> list[tuple[str, list[str]]]:
    """Return the settings and facts in which runs differ, each with the value of every run."""
    tables = [_comparable(record) for record in records]
    names = dict.fromkeys(name for table in tables for name in table)
    rows = [(name, [table.get(name, "not set") for table in tables]) for name in names]
    return [(name, values) for name, values in rows if len(set(values)) > 1]


def _comparable(record: Record) -> dict[str, str]:
    facts = {name: record.facts[name] for name in COMPARED if name in record.facts}
    return {name: as_text(value) for name, value in _flat({**facts, **record.settings})}


def as_text(value: Any) -> str:
    """Return a setting's value for people: "64 x 64", "on"."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list):
        return (" x " if all(isinstance(each, int) for each in value) else ", ").join(map(str, value))
    return str(value)
