"""The card of a model that comes with i2i, from its entry in ``weights/index.json``. Needs nothing that is optional."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from i2i.atomic import atomically
from i2i.metrics import METRICS
from i2i.reporting.markdown import Measured, Raw, code, escaped, header, table
from i2i.runtime.model.catalog import Weights

RESULT = "result"  # the candidate of an entry's metrics that is the model; the others are baselines


def write(model: Weights, folder: Path) -> Path:
    """Write the card, with the header that model hubs read, to ``folder`` and its picture beside it; return its path.

    Raises OSError if either cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, picture = folder / f"{model.name}.md", folder / model.picture.name
    text = f"---\n{_header(model)}\n---\n\n{card(model, picture.name)}"
    atomically(picture, lambda temporary: shutil.copyfile(model.picture, temporary))
    atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    return path


def card(model: Weights, picture: str | None, speed: str | None = None) -> str:
    """Return the card as Markdown: what the model does, its facts, use, metrics with their protocol, and training.

    ``picture`` is the link to its picture, and ``speed`` what was measured on this machine; None: neither is shown.
    """
    facts, spec = model.facts, model.facts["spec"]
    bullets = {
        "licence": facts["licence"],
        "credit": facts["credit"],
        "data": facts["data"],
        "method": f"{spec['method']}, {spec['source']['name']} to {spec['target']['name']}",
        "file": f"{facts['file']}, {facts['size'] / 1e6:.2f} MB, {spec['precision']}, SHA-256 {facts['sha256']}",
        "cost": f"{facts['macs'] / 1e9:.3g} G MACs for 256x256 pixels, {facts['parameters'] / 1e6:.3g} M parameters",
        "speed": f"{facts['ms']['value']:.3g} ms for 256x256 pixels on {facts['ms']['machine']}",
        "speed here": speed,
    }
    training = [("setting", "value"), *((name, _text(value)) for name, value in sorted(facts["recipe"].items()))]
    parts = [
        f"# {escaped(model.name)}",
        escaped(facts["about"]),
        *([f"![Before and after]({picture})"] if picture else []),
        "\n".join(f"- {name}: {escaped(value)}" for name, value in bullets.items() if value),
        "## Use",
        code(f"pip install PATH/TO/i2i  # a copy of its repository\ni2i translate photo.jpg -m {model.name}"),
        "## Evaluation",
        f"Protocol: {escaped(facts['protocol'])}.",
        *(part for title, found in facts["metrics"].items() for part in (f"### {escaped(title)}", _metrics(found))),
        "## Training",
        table(training),
        f"The command that reproduces it, with seed {escaped(facts['seed'])}:",
        code(facts["command"]),
    ]
    return "\n\n".join(parts) + "\n"


def _header(model: Weights) -> str:
    facts = model.facts
    measured = []
    for title, found in facts["metrics"].items():
        rows = [(_type(name), name, value) for name, value in found[RESULT].items()]
        measured.append((model.name, Measured(title, None, rows)))
    return header("image-to-image", facts["licence"].lower(), [facts["spec"]["method"]], measured)


def _type(name: str) -> str:
    """Return the name of a metric without that of its features, in lower case."""
    return max((metric for metric in METRICS if name.startswith(metric)), key=len, default=name).lower()


def _metrics(found: dict[str, dict[str, float]]) -> Raw:
    """Return a table of metrics, a column for each candidate."""
    names = dict.fromkeys(name for values in found.values() for name in values)
    rows = [[name, *(values.get(name, "") for values in found.values())] for name in names]
    return Raw(table([["metric", *found], *rows]))


def _text(value: Any) -> str:
    return ", ".join(f"{name}={each}" for name, each in value.items()) if isinstance(value, dict) else str(value)
