"""``i2i describe``: what a model takes and returns, and a copy of the file that says so itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from i2i.cli import foreign

if TYPE_CHECKING:
    from i2i.spec import Spec


@click.command
@click.argument("model", type=click.Path(path_type=Path))
@foreign.options
@click.option(
    "-o", "--out", "copy", type=click.Path(path_type=Path), help="Write a copy of MODEL that describes itself."
)
@click.option("--overwrite", is_flag=True, help="Replace what is there under that name.")
def command(model: Path, copy: Path | None, overwrite: bool, **options: Any) -> None:
    """Say what MODEL, an .onnx file, takes and returns, and write that into a copy of it.

    What is certain is found, from the shapes of its tensors and by running it on a drawn picture: layout, size, the
    multiple that sides must be of, and by how much the result is larger. The rest has to be told, as the error says; a
    copy that describes itself is then run as any model is, `i2i translate photos/ -m COPY`.
    """
    from i2i.runtime import Model
    from i2i.runtime.adapters import annotate

    spec = Model(model, "cpu", options=foreign.taken_from(options)).spec
    if copy is not None and spec.form is None:
        raise ValueError(f"{click.format_filename(model)}: `i2i export` wrote it, and it describes itself already")
    click.echo(f"{click.format_filename(model)}  {_in_words(spec)}")
    if copy is not None:
        annotate.write(model, copy, spec, overwrite)
        click.echo(click.format_filename(copy))


def _in_words(spec: Spec) -> str:
    """One line: from what to what, and what its tensors mean."""
    from i2i.cli.export import loss_in_words
    from i2i.runtime.adapters.options import format_range
    from i2i.runtime.model.targets import way

    form = spec.form
    if form is None:
        line = f"{way(spec)}  {spec.method}, {spec.io}, {spec.dtype}"
        return f"{line}, {loss_in_words(spec)}" if spec.loss else line
    sizes = (
        f"size {form.size[0]} x {form.size[1]} (fit {form.fit})"
        if form.size is not None
        else f"any size (in multiples of {spec.multiple}, at least {spec.minimum}, by padding)"
    )
    facts = [f"layout {form.layout}", f"order {form.order}", f"range {format_range(form.range)}"]
    if form.output_range != form.range:
        facts.append(f"output range {format_range(form.output_range)}")
    if form.result != "image":
        facts.append(f"result {form.result}")
    return f"{way(spec)}  {', '.join([*facts, sizes, f'scale {form.scale}'])}"
