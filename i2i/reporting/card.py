"""The report as a model card: Markdown with the header that model hubs read."""

from __future__ import annotations

import math

from jinja2 import Environment, PackageLoader, StrictUndefined

import i2i
from i2i.evaluation.results import RESULT
from i2i.reporting import markdown
from i2i.reporting.figures import Figures
from i2i.reporting.markdown import Measured, Raw, code, escaped
from i2i.reporting.page import Contents, as_text, summary
from i2i.reporting.records import Record, differences


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


def header(records: list[Record], figures: list[Figures], license: str | None) -> str:
    """Return the YAML header of a card about runs, without its fences."""
    task = "unconditional-image-generation" if all(record.generates for record in records) else "image-to-image"
    sure = [own for own in figures if not own.assumed]
    measured = [(record.name, _measured(own)) for n, record in enumerate(records) for own in sure if own.run == n]
    return markdown.header(task, license, dict.fromkeys(record.method for record in records), measured)


def _measured(figures: Figures) -> Measured:
    protocol, metrics = figures.protocol, []
    for name in figures.names:
        found = figures.table["metrics"][name]["candidates"].get(RESULT)
        if found is not None and math.isfinite(float(found["value"])):
            metrics.append((name.lower().replace(" ", "-"), figures.label(name), float(found["value"])))
    return Measured(protocol.reference, protocol.split, metrics)
