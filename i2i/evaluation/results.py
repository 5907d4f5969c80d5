"""Figures of an evaluation with their protocol: as a table, and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from i2i.atomic import atomically, check_kind
from i2i.evaluation.protocol import Protocol
from i2i.metrics import METRICS, Estimate, Metric, display_name

SECTIONS = ("realism", "content", "truth", "labels")
RESULT = "the results"


@dataclass
class Table:
    """Figures that were measured by one protocol.

    Attributes:
        title: what was evaluated.
        protocol: how.
        figures: metric (its name in ``METRICS``) -> candidate -> figure. Candidates are the results, and baselines.
        features: the name of the features, which belongs to the names of some metrics.
        by_image: candidate -> metric -> image -> value, of the metrics of pairs.
        left_out: metric -> why it was not measured.
        warnings: what makes the figures less than they seem.
        target: the name of the target domain.
    """

    title: str
    protocol: Protocol
    figures: dict[str, dict[str, Estimate]]
    features: str
    by_image: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    target: str = ""

    @property
    def candidates(self) -> list[str]:
        """The columns, the results first."""
        return list(dict.fromkeys(name for row in self.figures.values() for name in row))

    def wins(self, metric: str) -> float | None:
        """Return the share of images on which the results are closest to the truth; None for other metrics, and
        without baselines."""
        if METRICS[metric].section != "truth":
            return None
        values = {name: of[metric] for name, of in self.by_image.items() if metric in of}
        if len(values) < 2 or RESULT not in values:
            return None
        sign = -1 if METRICS[metric].better == "lower" else 1
        won = [
            all(sign * value > sign * other[image] for name, other in values.items() if name != RESULT)
            for image, value in values[RESULT].items()
        ]
        return sum(won) / len(won)

    def __str__(self) -> str:
        """The figures as a Markdown table, realism and content next to each other, then the protocol."""
        shares = {name: self.wins(name) for name in self.figures}
        best = any(share is not None for share in shares.values())
        columns = ["question", "metric", "better", *self.candidates, *(["images best on"] if best else [])]
        rows = [columns, ["---"] * len(columns)]
        for section in SECTIONS:
            for name, metric in METRICS.items():
                if metric.section != section or name not in self.figures:
                    continue
                row = [section, self.label(name), metric.better]
                row += [shown(metric, self.figures[name].get(each)) for each in self.candidates]
                share = shares[name]
                rows.append(row + ([] if not best else ["" if share is None else f"{share:.0%}"]))
        widths = [max(len(row[n]) for row in rows) for n in range(len(columns))]
        lines = [self.title, ""]
        for row in rows:
            lines.append("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |")
        return "\n".join([*lines, "", f"protocol: {self.protocol.line}"])

    def label(self, name: str) -> str:
        """Return a metric's name with that of its features and its factor: "KID-lite0 x1000"."""
        return label(name, self.features)

    def to_dict(self) -> dict[str, Any]:
        """Return the table as JSON has it: figures times their stated factor, infinity as "inf"."""
        figures = {
            name: {
                "name": self.label(name),
                "section": METRICS[name].section,
                "better": METRICS[name].better,
                "scale": METRICS[name].scale,
                "wins": self.wins(name),
                "candidates": {who: _scaled(METRICS[name], estimate) for who, estimate in row.items()},
            }
            for name, row in self.figures.items()
        }
        by_image = {
            who: {name: {image: _number(value * METRICS[name].scale) for image, value in of.items()}
                  for name, of in metrics.items()}
            for who, metrics in self.by_image.items()
        }  # fmt: skip
        return {
            "title": self.title,
            "target": self.target,
            "protocol": self.protocol.to_dict(),
            "protocol_line": self.protocol.line,
            "metrics": figures,
            "left_out": self.left_out,
            "warnings": self.warnings,
            "by_image": by_image,
        }


@dataclass
class Evaluation:
    """All that was measured: one table, or one for each target domain.

    ``print(evaluation)`` shows what the command line prints; ``evaluation["KID"]`` is the figure of the results.
    """

    tables: list[Table]
    about: dict[str, Any] = field(default_factory=dict)
    """The model, its provider and recipe, and the version of i2i."""

    def __getitem__(self, metric: str) -> Estimate:
        """Return the figure of the results in the first table, before the factor that tables state (KID x1000)."""
        return self.tables[0].figures[metric][RESULT]

    def __str__(self) -> str:
        return "\n\n".join([*map(str, self.tables), *self.means()])

    def means(self) -> list[str]:
        """Return a line with the mean over the target domains of each metric of a judge, where there are several.

        Other figures are measured against other real images in each table, so their mean would say nothing.
        """
        lines = []
        for name, metric in METRICS.items():
            rows = [table.figures[name] for table in self.tables if name in table.figures]
            if metric.section == "labels" and len(rows) > 1:
                common = [who for who in rows[0] if all(who in row for row in rows)]
                shares = {who: sum(row[who].value for row in rows) / len(rows) for who in common}
                figures = ", ".join(f"{who} {shown(metric, Estimate(value))}" for who, value in shares.items())
                lines.append(f"{name}, the mean over {len(rows)} targets: {figures}")
        return lines

    def to_dict(self) -> dict[str, Any]:
        return {**self.about, "tables": [table.to_dict() for table in self.tables]}

    def save(self, path: str | Path) -> None:
        """Write ``metrics.json``, whole or not at all."""
        text = json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)
        check_kind(Path(path), ".json")
        atomically(Path(path), lambda temporary: temporary.write_text(text + "\n", encoding="utf-8"))


def shown(metric: Metric, estimate: Estimate | None) -> str:
    """Return a figure for people: "12.34 ± 0.56 [11.20, 13.48]", or in percent."""
    if estimate is None:
        return ""
    factor = 100 if metric.percent else metric.scale
    digits = 1 if metric.percent else 2 if abs(estimate.value * factor) >= 1 or not math.isfinite(estimate.value) else 4
    text = f"{estimate.value * factor:.{digits}f}"
    if estimate.deviation is not None:
        text += f" ± {estimate.deviation * factor:.{digits}f}"
    if estimate.low is not None and estimate.high is not None:
        text += f" [{estimate.low * factor:.{digits}f}, {estimate.high * factor:.{digits}f}]"
    return text + (" %" if metric.percent else "")


def label(name: str, features: str) -> str:
    """Return a metric's name with that of its features, "" for none, and its factor: "KID-lite0 x1000"."""
    scale = METRICS[name].scale
    return display_name(name, features) + (f" x{scale}" if scale != 1 else "")


def beside(table: Table, earlier: Sequence[Sequence[dict[str, Any]]]) -> str:
    """Return the table, and one of each earlier file behind it, with how its protocol differs, if it does.

    It is the file's first table of the same images, else the first one of the same title, else the first.
    """
    lines = [str(table)]
    for tables in earlier:
        content = table.protocol.content
        alike = [each for each in tables if content is not None and each["protocol"].get("content") == content]
        alike += [each for each in tables if each["title"] == table.title]
        other = [*alike, *tables][0]
        differences = table.protocol.differences(other["protocol"])
        head = "measured by the same protocol" if not differences else "NOT COMPARABLE, another protocol: "
        lines.append(f"{other['title']} ({head}{'; '.join(differences)})")
        for name, row in other["metrics"].items():
            if name in METRICS and RESULT in row["candidates"]:
                found = row["candidates"][RESULT]
                scale = row["scale"]
                numbers = {key: float(value) / scale for key, value in found.items() if value is not None}
                lines.append(f"  {row['name']}: {shown(METRICS[name], Estimate(**numbers))}")
    return "\n".join(lines)


def _scaled(metric: Metric, estimate: Estimate) -> dict[str, Any]:
    return {key: None if value is None else _number(value * metric.scale) for key, value in asdict(estimate).items()}


def _number(value: float) -> float | str:
    """Return a number that JSON has, or the text of an infinite one, as ``float`` reads it."""
    return value if math.isfinite(value) else str(value)
