"""The report as one HTML page: everything inside, nothing from a network."""

from __future__ import annotations

import base64
import hashlib
import time
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

import i2i
from i2i.reporting.charts import Line, chart, legend
from i2i.reporting.embed import Embedded, embed_file
from i2i.reporting.figures import Figures, comparisons
from i2i.reporting.gallery import Gallery, spread
from i2i.reporting.neighbours import Neighbours
from i2i.reporting.records import MEMORY, SPEED, WAIT, Record, as_text, differences

SHEETS, SHEET_SIDE = 12, 1280  # sample sheets of a run at most, and pixels of their longest side
TITLES = {
    "rate": "learning rate, share of its start", SPEED: "images per second", MEMORY: "peak memory, GB",
    WAIT: "share of time that steps waited for data",
}  # fmt: skip

GROUPS = {"val": "Figures of validation images", "test": "Figures of test images"}
MEMORISED = (
    "results lie less than half as far from the training images as held-out real images do: they may be copies of them"
)


@dataclass
class Sheets:
    """The sample sheets of one run: step and picture."""

    run: int
    pictures: list[tuple[int, Embedded]]
    total: int


@dataclass
class Contents:
    """All that a report shows."""

    records: list[Record]
    figures: list[Figures] = field(default_factory=list)
    galleries: list[tuple[int, Gallery]] = field(default_factory=list)
    neighbours: list[tuple[int, Neighbours]] = field(default_factory=list)
    omissions: list[tuple[int, str]] = field(default_factory=list)

    def warnings(self) -> list[tuple[int, str]]:
        """Return run and text of what a reader must know before believing the rest."""
        found = []
        for number, record in enumerate(self.records):
            facts = record.facts
            if facts["status"] != "finished":
                of = f" of {facts['steps']}" if facts.get("steps") else ""
                found.append((number, f"not finished: {facts['status']}, at step {facts.get('step', 0)}{of}"))
            data = facts.get("data_report")
            if isinstance(data, dict):
                found += [(number, f"data: {warning}") for warning in data.get("warnings", [])]
            seen = facts.get("warnings")
            for each in seen.values() if isinstance(seen, dict) else ():
                if isinstance(each, dict) and "text" in each:
                    at = f" at step {each['step']}" if each.get("step") else ""
                    found.append((number, f"training{at}: {each['text']}"))
        found += [(table.run, warning) for table in self.figures for warning in table.warnings]
        for number, near in self.neighbours:
            if near.real is not None and near.results < near.real / 2:
                found.append((number, MEMORISED))
        return list(dict.fromkeys(found))


@cache
def _template() -> Template:
    """Return the page's template, compiled once: a run that is evaluated writes its page many times."""
    environment = Environment(
        loader=PackageLoader("i2i.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"as_text": as_text, "duration": duration}
    return environment.get_template("page.html")


def render(contents: Contents) -> str:
    """Return the page."""
    records = contents.records
    templates = files("i2i.reporting") / "templates"
    style, script = ((templates / name).read_text("utf-8") for name in ("page.css", "page.js"))
    sheets = [_sheets(number, record, contents) for number, record in enumerate(records)]
    names = [record.name for record in records]
    page = _template().render(
        contents=contents,
        records=records,
        names=names,
        several=len(records) > 1,
        title=names[0] if len(names) == 1 else f"{len(names)} runs",
        summaries=[summary(record) for record in records],
        differences=differences(records) if len(records) > 1 else [],
        charts=_charts(records),
        legend=legend(names),
        protocols=[(n, *each) for n, record in enumerate(records) for each in _protocols(record)],
        comparisons=comparisons(contents.figures, len(records)),
        sheets=[each for each in sheets if each.pictures],
        omissions=contents.omissions + [(n, note) for n, record in enumerate(records) for note in record.notes],
        warnings=contents.warnings(),
        # In the page as they are: they are files of this package, and contain nothing of the runs.
        style=Markup(style),
        script=Markup(script),
        style_hash=_hash(style),
        script_hash=_hash(script),
        version=i2i.__version__,
        written=time.strftime("%Y-%m-%d %H:%M"),
    )
    return page


def _hash(text: str) -> str:
    """Return the hash by which a content security policy allows a text inside the page."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _sheets(number: int, record: Record, contents: Contents) -> Sheets:
    found = Sheets(number, [], len(record.samples))
    first, rest = record.samples[:1], record.samples[1:]
    for step, path in [*first, *spread(rest[::-1], SHEETS - 1)[::-1]]:  # the first, the last and some between
        try:
            found.pictures.append((step, embed_file(path, SHEET_SIDE)))
        except OSError as error:
            contents.omissions.append((number, f"{path.name}: this sample sheet cannot be read ({error})"))
    return found


def _charts(records: list[Record]) -> list[tuple[str, list[tuple[str, Markup]]]]:
    """Return groups of charts: evaluations, one for each player's losses, then the rest."""
    series = [record.series() for record in records]
    groups: dict[str, list[tuple[str, Markup]]] = {}
    for name in dict.fromkeys(name for run in series for name in run):
        lines = [Line(n, records[n].name, run[name]) for n, run in enumerate(series) if name in run]
        group, _, term = name.partition("/")
        if name in TITLES:
            group, term = "Learning rate and speed", TITLES[name]
        elif not term:
            group, term = "Other figures", name
        else:
            group = GROUPS.get(group, f"Losses of player {group}")
        best = _best(records[0], name) if len(records) == 1 else None
        groups.setdefault(group, []).append((term, chart(term, lines, best)))
    order = sorted(groups, key=lambda group: (group.startswith("Learning"), group not in GROUPS.values()))
    return [(group, groups[group]) for group in order]


def _best(record: Record, name: str) -> float | None:
    """Return the step whose weights validation chose, for a figure such as "val/a2b/KID-lite0 x1000", if any."""
    best = _validation(record).get("best")
    if not isinstance(best, dict) or not name.startswith("val/"):
        return None
    own = best.get(name.split("/")[1]) or (next(iter(best.values())) if len(best) == 1 else None)
    step = own.get("step") if isinstance(own, dict) else None
    return step if isinstance(step, int) else None


def _validation(record: Record) -> dict[str, Any]:
    found = record.facts.get("validation")
    return found if isinstance(found, dict) else {}


def _protocols(record: Record) -> list[tuple[str, str]]:
    """Return the protocol of each curve of validation figures: its name, and the line for people."""
    found = _validation(record).get("protocol")
    if not isinstance(found, dict):
        return []
    return [(name, str(each["line"])) for name, each in found.items() if isinstance(each, dict) and "line" in each]


def summary(record: Record) -> list[tuple[str, str]]:
    """Return what was trained on what, for how long and where, as names and values."""
    facts, found = record.facts, [("method", record.title())]
    if record.data:
        found.append(("data", record.data))
    report = facts.get("data_report")
    if isinstance(report, dict):
        found.append(("images", "; ".join(map(str, report.get("lines", [])))))
    elif facts.get("images"):
        found.append(("images", f"{facts['images']} an epoch"))
    steps = f"{facts.get('step', 0)}" + (f" of {facts['steps']}" if facts.get("steps") else "")
    found.append(("steps", f"{steps}, {facts['status']}"))
    if facts.get("reason"):
        found.append(("ended", str(facts["reason"])))
    chosen = _validation(record).get("best")
    if isinstance(chosen, dict) and chosen:
        metric = _validation(record).get("metric", "")
        places = [f"{name} of step {each['step']}" for name, each in chosen.items() if isinstance(each, dict)]
        found.append(("best weights", f"{', '.join(places)}, by {metric} of validation images"))
    if record.seconds:
        found.append(("time", f"{duration(record.seconds)}, from the speeds in the log"))
    machine = facts.get("machine")
    found.append(("machine", _listed(machine) if isinstance(machine, dict) else "not recorded"))
    if isinstance(facts.get("versions"), dict):
        found.append(("versions", _listed(facts["versions"])))
    return found


def _listed(facts: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in facts.items())


def duration(seconds: float) -> str:
    """Return a time for people: "3 h 25 min", "12 min 5 s", "40 s"."""
    whole = round(seconds)
    days, hours, minutes = whole // 86400, whole // 3600 % 24, whole // 60 % 60
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (whole % 60, "s")]
    shown = [f"{value} {unit}" for value, unit in parts if value]
    return " ".join(shown[:2]) or "0 s"
