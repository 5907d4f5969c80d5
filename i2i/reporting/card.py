"""The report as a model card: Markdown with the header that model hubs read."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

import i2i
from i2i.evaluation.results import RESULT
from i2i.reporting.figures import Figures
from i2i.reporting.page import Contents, as_text, summary
from i2i.reporting.records import Record, differences


class Raw(str):
    """Text that goes into Markdown as it is."""

    __slots__ = ()


def render_card(contents: Contents, license: str | None) -> str:
    """Return the card: YAML header, facts, metrics with their protocol, settings, warnings and the command."""
    environment = Environment(
        loader=PackageLoader("i2i.reporting"),
        finalize=escaped,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    records = contents.records
    notes = contents.omissions + [(n, note) for n, record in enumerate(records) for note in record.notes]
    return environment.get_template("card.md").render(
        header=Raw(header(records, contents.figures, license)),
        contents=contents,
        records=records,
        several=len(records) > 1,
        title=records[0].name if len(records) == 1 else f"{len(records)} runs",
        summaries=[summary(record) for record in records],
        differences=differences(records) if len(records) > 1 else [],
        warnings=contents.warnings(),
        omissions=notes,
        as_text=as_text,
        code=code,
        version=i2i.__version__,
    )


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


def header(records: list[Record], figures: list[Figures], license: str | None) -> str:
    """Return the YAML header, without its fences. Every text is quoted as in JSON, of which YAML is a superset."""
    task = "unconditional-image-generation" if all(record.generates for record in records) else "image-to-image"
    lines = ["library_name: i2i", f"pipeline_tag: {task}"]
    if license is not None:
        lines.append(f"license: {_quoted(license)}")
    methods = dict.fromkeys(record.method for record in records)
    lines.append(f"tags: [{', '.join(map(_quoted, [task, *methods]))}]")
    if figures:
        lines.append("model-index:")
    for number, record in enumerate(records):
        own = [table for table in figures if table.run == number]
        if own:
            lines += [f"- name: {_quoted(record.name)}", "  results:"]
        for table in own:
            protocol = table.protocol
            split = f", split: {_quoted(protocol.split)}" if protocol.split else ""
            lines.append("  - task: {type: image-to-image}")
            lines.append(f"    dataset: {{name: {_quoted(protocol.reference)}, type: image-folder{split}}}")
            lines.append("    metrics:")
            for name in table.names:
                found = table.table["metrics"][name]["candidates"].get(RESULT)
                if found is None or not math.isfinite(float(found["value"])):
                    continue
                kind, label, value = _quoted(name.lower().replace(" ", "-")), table.label(name), float(found["value"])
                lines.append(f"    - {{type: {kind}, name: {_quoted(label)}, value: {value!r}}}")
    return "\n".join(lines)


def _quoted(text: Any) -> str:
    return json.dumps(str(text))
