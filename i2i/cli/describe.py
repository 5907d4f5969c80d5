"""``i2i describe``: show what a third-party model takes and returns, and write a copy that describes itself."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from i2i.cli import help
from i2i.cli.param_types import FilePath, options_of
from i2i.runtime.adapters.options import ModelOptions, number_text
from i2i.text import format_range, plural

if TYPE_CHECKING:
    from i2i.spec import Prior, Spec


EXAMPLES = [
    ("i2i describe model.onnx", "show its inputs and outputs"),
    ("i2i describe model.onnx --range 0..1", "state what the file does not"),
    ("i2i describe model.onnx --order bgr -o copy.onnx", "write that into a copy"),
    ("i2i translate photos/ -m copy.onnx", "which runs without options"),
]


@help.command(examples=EXAMPLES)
@click.argument("model", type=FilePath(path_type=Path))
@help.option(
    "-o",
    "--out",
    "copy",
    group="Input and output",
    type=FilePath(path_type=Path),
    help="Write a copy of MODEL that describes itself.  [default: no copy]",
)
@help.option(
    "--output",
    group="Input and output",
    metavar="NAME",
    help="Output of the model to use; the copy keeps no other; required for a model with several.",
)
@help.option("--overwrite", group="Input and output", is_flag=True, help="Replace an existing file of that name.")
@partial(options_of, ModelOptions, "Third-party models")
def command(model: Path, output: str | None, copy: Path | None, overwrite: bool, **options: Any) -> None:
    """Show what MODEL, an .onnx file, takes and returns, and write a copy that describes itself.

    What can be known for certain is found from the tensors' shapes and by running the model on a generated image:
    layout, size, the multiple of the sides, and the scale of the result. The rest are options, and an error names those
    that are missing. A copy that describes itself needs none: `i2i translate photos/ -m COPY`.
    The copy is one file: weights in other files of MODEL's folder are put into it.
    """
    from i2i.runtime.adapters import annotate

    spec, single = annotate.describe(model, ModelOptions(**options), output)
    if copy is not None and spec.form is None and single is None:
        raise ValueError(f"{click.format_filename(model)}: written by `i2i export`, which describes its files already")
    click.echo(f"{click.format_filename(model)}  {_summary(spec)}")
    if copy is not None:
        annotate.write(model, copy, spec, overwrite, single)
        click.echo(click.format_filename(copy))


def _summary(spec: Spec) -> str:
    """Return one line with the source, the target and the meaning of the tensors."""
    from i2i.cli.export import loss_in_words
    from i2i.runtime.model.targets import GENERATOR, way

    form = spec.form
    if form is None:
        line = f"{way(spec)}  {spec.method}, {spec.io}, {spec.dtype}"
        if spec.kind == GENERATOR and spec.prior is not None:
            line += f", {_inputs(spec.prior)}"
        return f"{line}, {loss_in_words(spec)}" if spec.loss else line
    sizes = (
        f"size {form.size[0]} x {form.size[1]} (fit {form.fit})"
        if form.size is not None
        else f"any size (in multiples of {spec.multiple}, at least {spec.minimum}, by padding)"
    )
    alpha = " and alpha" if spec.source.channels == 4 and not form.masked else ""
    facts = [f"layout {form.layout}", f"order {form.order}{alpha}", f"range {format_range(form.range)}"]
    if form.output_range != form.range:
        facts.append(f"output range {format_range(form.output_range)}")
    if form.result != "image":
        facts.append(f"result {form.result}")
    facts += [f"input {name} {number_text(value)}" for name, value in form.inputs]
    return f"{way(spec)}  {', '.join([*facts, sizes, f'scale {form.scale}'])}"


def _inputs(prior: Prior) -> str:
    """Return the size of a generator's images, and what its input z is made of."""
    codes = [f"{code.name} ({f'0 to {code.values - 1}' if code.values else '-1 to 1'})" for code in prior.codes]
    noise = f"{plural(prior.noise, 'number')} of {prior.distribution} noise"
    return f"{prior.size[0]} x {prior.size[1]} pixels, z: {' and '.join([noise, *codes])}"
