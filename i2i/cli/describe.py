"""``i2i describe``: input and output of a model, and a copy of its file that contains its description."""

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
@click.option("--output", metavar="NAME", help="The output to use, for a model with several; the copy keeps no other.")
@click.option(
    "-o", "--out", "copy", type=click.Path(path_type=Path), help="Write a copy of MODEL that contains its description."
)
@click.option("--overwrite", is_flag=True, help="Replace the file of that name.")
def command(model: Path, output: str | None, copy: Path | None, overwrite: bool, **options: Any) -> None:
    """Show input and output of MODEL, an .onnx file, and write them into a copy of it.

    Layout, size, the multiple of its sides and the scale of the result are found from the shapes of its tensors and by
    running it on a test picture; the error names the options that give the rest. The copy then needs no options:
    `i2i translate photos/ -m COPY`. It is one file: weights in other files of MODEL's folder are put into it.
    """
    from i2i.runtime.adapters import annotate

    spec, single = annotate.describe(model, foreign.taken_from(options), output)
    if copy is not None and spec.form is None and single is None:
        raise ValueError(f"{click.format_filename(model)}: `i2i export` wrote it, and it describes itself already")
    click.echo(f"{click.format_filename(model)}  {_in_words(spec)}")
    if copy is not None:
        annotate.write(model, copy, spec, overwrite, single)
        click.echo(click.format_filename(copy))


def _in_words(spec: Spec) -> str:
    """Return one line: the domains, and the meaning of the tensors."""
    from i2i.cli.export import loss_in_words
    from i2i.runtime.adapters.options import shown
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
    facts = [f"layout {form.layout}", f"order {form.order}", f"range {shown(form.range)}"]
    if form.output_range != form.range:
        facts.append(f"output range {shown(form.output_range)}")
    if form.result != "image":
        facts.append(f"result {form.result}")
    return f"{way(spec)}  {', '.join([*facts, sizes, f'scale {form.scale}'])}"
