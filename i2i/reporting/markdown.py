"""Parts of model cards in Markdown: text that shows literally, code, tables, and the header that model hubs read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple


class Raw(str):
    """Text that goes into Markdown as it is."""

    __slots__ = ()


class Measured(NamedTuple):
    """Metrics on one data set: its name, its split (None: unknown), and the kind, label and value of each metric."""

    dataset: str
    split: str | None
    metrics: list[tuple[str, str, float]]


def escaped(value: Any) -> str:
    """Return a value as one line of Markdown that shows it literally, HTML included."""
    if isinstance(value, Raw):
        return value
    text = " ".join(str(value).split())
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]|#~$!])", r"\\\1", text)


def code(text: str) -> Raw:
    """Return a block of code whose fence is longer than any in the text."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return Raw(f"{fence}sh\n{text}\n{fence}")


def table(rows: Sequence[Sequence[Any]]) -> str:
    """Return rows of values as a table; the first is its head."""
    lines = [f"| {' | '.join(map(escaped, row))} |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])


def header(task: str, license: str | None, tags: Iterable[str], measured: Sequence[tuple[str, Measured]]) -> str:
    """Return the YAML header, without its fences. Every text is quoted as in JSON, of which YAML is a superset.

    ``measured`` has the name of the model that was measured beside the metrics.
    """
    lines = ["library_name: i2i", f"pipeline_tag: {task}"]
    if license is not None:
        lines.append(f"license: {_quoted(license)}")
    lines.append(f"tags: [{', '.join(map(_quoted, [task, *tags]))}]")
    if measured:
        lines.append("model-index:")
    for name in dict.fromkeys(name for name, _ in measured):
        lines += [f"- name: {_quoted(name)}", "  results:"]
        for own in (each for owner, each in measured if owner == name):
            split = f", split: {_quoted(own.split)}" if own.split else ""
            lines.append("  - task: {type: image-to-image}")
            lines.append(f"    dataset: {{name: {_quoted(own.dataset)}, type: image-folder{split}}}")
            lines.append("    metrics:")
            for kind, label, value in own.metrics:
                lines.append(f"    - {{type: {_quoted(kind)}, name: {_quoted(label)}, value: {value!r}}}")
    return "\n".join(lines)


def _quoted(text: Any) -> str:
    return json.dumps(str(text))
