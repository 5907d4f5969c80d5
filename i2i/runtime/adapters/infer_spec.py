"""The Spec of a third-party graph: from its shapes, its metadata, trial runs and the user's options."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from i2i.runtime.adapters import extra_inputs, probe
from i2i.runtime.adapters import ports as declared
from i2i.runtime.adapters.convert import Infer
from i2i.runtime.adapters.options import NO_OPTIONS, ModelOptions, as_arguments
from i2i.runtime.adapters.ports import Ports, read_ports, settle_layout, settle_order
from i2i.runtime.errors import ModelError, describe_command
from i2i.runtime.graphs import spec_check
from i2i.runtime.session import Session
from i2i.spec import FITS, LAYOUTS, Domain, Form, Range, Spec
from i2i.text import format_range, plural

_BITS = {"uint8": 8}  # a float holds 16 bits; images of 8 bits are still returned in 8


def settle(spec: Spec | None, session: Session, path: Path, options: ModelOptions, output: str | None = None) -> Spec:
    """Return the Spec of the graph in ``session``: that of its file, unless that has none or ``options`` changes it.

    ``output`` is the name of the one that the user chose of several.

    Raises ModelError if the graph is not as its description states, cannot be described, or needs more options.
    """
    if spec is not None and spec.form is not None and set(options.given()) == {"input"}:
        inputs = options.completed_by(spec.form).input or ()
        form = replace(spec.form, inputs=inputs)
        if form.masked == spec.form.masked:  # other numbers: nothing is found again
            spec, options = replace(spec, form=form), NO_OPTIONS
    if spec is None or options:
        spec = describe(session, path, options if spec is None else merge(spec, options, path), output)
    (spec_check if spec.form is None else declared).check(spec, session, path)
    return spec


def describe(session: Session, path: Path, options: ModelOptions, output: str | None = None) -> Spec:
    """Return the Spec of the graph in ``session``.

    The layout is certain if only one axis can be that of the channels, the range if pixels are bytes. The file's
    metadata may declare range and order. Sizes and scale are found by running the graph.

    Raises ModelError if the graph does not translate images, or, with all missing options in one sentence, if anything
    is neither certain nor given in ``options``.
    """
    try:
        inputs = options.input or ()
        ports = read_ports(session, path, inputs)
        extra_inputs.check(session.inputs, inputs, settle_layout(ports, options) or LAYOUTS[0])
        infer = runner(session)
        form, channels = _settle(ports, options, infer)
        form, multiple, minimum, out = probe.settle_size(infer, form, channels, options.multiple)
        returned = _returned(form, channels, out)
    except UnknownError as unknown:
        chosen = {} if output is None else {"output": output}
        raise ModelError(unknown.message(path, spec_check.describe(session), chosen | options.given())) from None
    except ModelError as error:
        raise ModelError(f"{path}: {error}; the model expects {spec_check.describe(session)}") from error
    source = Domain("image", 3 if form.order == "y" else channels + form.masked, _BITS.get(ports.dtype, 16))
    target = Domain(path.stem, returned, _BITS.get(ports.returns, 16))
    return Spec(
        "described", "a2b", source, target, io="described", minimum=minimum, multiple=multiple, form=form, schema=2
    )


def _settle(ports: Ports, options: ModelOptions, infer: Infer) -> tuple[Form, int]:
    """Return the Form, still without its scale, and the channels of the input. Raises UnknownError or ModelError."""
    layout = settle_layout(ports, options)
    channels = None if layout is None else ports.channels(layout)
    order = settle_order(ports, channels, options)
    if channels is None and order is not None:
        channels = 1 if order in ("grey", "y") else 3
    size = None if layout is None else ports.size(layout)
    taken: Range | None = options.range or ports.declared.get("range") or ((0, 255) if ports.dtype == "uint8" else None)
    missing: dict[str, str] = {}
    if layout is None:
        missing["layout"] = "nchw|nhwc"
    if taken is None:
        missing["range"] = "LOW..HIGH"
    if order is None:
        missing["order"] = "grey|y" if channels == 1 else "rgb|bgr"
    if size is not None and options.fit is None and options.result != "curves":
        missing["fit"] = "|".join(FITS)
    if layout is None or taken is None or order is None or channels is None or missing:
        known = {"layout": layout, "range": taken and format_range(taken), "order": order}
        known["size"] = None if size is None else f"{size[0]} x {size[1]}"
        guess = None
        if taken is None and layout is not None and channels is not None:
            trial = Form(layout, order or "rgb", (0, 1), (0, 1), ports.dtype, size=size, inputs=options.input or ())
            guess = probe.likeliest(infer, trial, channels)
        raise UnknownError({name: value for name, value in known.items() if value}, missing, guess)
    returned: Range = options.output_range or ((0, 255) if ports.returns == "uint8" else taken)
    fit, result = options.fit or FITS[0], options.result or "image"
    inputs = options.input or ()
    return Form(layout, order, taken, returned, ports.dtype, 1, size, fit, result, inputs), channels


def _returned(form: Form, channels: int, out: int) -> int:
    """Return the channels of the result of a graph that takes ``channels`` and returns ``out``. Raises ModelError."""
    if form.result == "curves":
        if out % channels:
            raise ModelError(
                f"it returns {plural(out, 'channel')}; curves need a multiple of the {channels} that it takes"
            )
        return channels
    if out not in (1, 3, 4) or (form.order == "y" and out != 1):
        raise ModelError(
            f"it returns {plural(out, 'channel')}; expected {'1 (luma)' if form.order == 'y' else '1, 3 or 4'}"
        )
    return 3 if form.order == "y" else out


def runner(session: Session) -> Infer:
    """Return the graph as a function of its input tensor, with the other inputs of its Form."""

    def infer(tensor: np.ndarray, form: Form, mask: np.ndarray | None) -> np.ndarray:
        try:
            return session.run(extra_inputs.feeds(session.inputs, form, tensor, mask))[0]
        except ModelError as error:
            raise ModelError(f"it failed on {tensor.dtype} {list(tensor.shape)}: {error}") from error

    return infer


class UnknownError(Exception):
    """Facts of a graph that are neither certain nor given; ``message`` names the options that give them."""

    def __init__(self, known: dict[str, str], missing: dict[str, str], guess: Range | None) -> None:
        super().__init__(missing)
        self.known, self.missing, self.guess = known, missing, guess

    def message(self, path: Path, words: str, given: dict[str, Any]) -> str:
        """Return the error for a model that expects ``words``, with the command that states all, ``given`` included."""
        found = ", ".join(f"{name} {value}" for name, value in self.known.items())
        guess = f" (a test picture changes least in {format_range(self.guess)})" if self.guess is not None else ""
        return (
            f"{path}: it contains no i2i description, so the meaning of its pixels is unknown. The model expects "
            f"{words}; found: {found or 'nothing'}. Give the rest: {as_arguments(self.missing)}{guess}. "
            f"{describe_command(path, as_arguments(given | self.missing))} writes it into a copy, which runs without "
            "options; in Python, i2i.load takes the same"
        )


def merge(spec: Spec, options: ModelOptions, path: Path) -> ModelOptions:
    """Return ``options``, completed by the file's own description. Raises ModelError for an export of i2i."""
    if spec.form is None:
        raise ModelError(
            f"{path}: it describes itself; {', '.join(options.given())} can be given for third-party models"
        )
    whole = options.completed_by(spec.form)
    return (
        whole if options.multiple is not None or spec.form.size is not None else replace(whole, multiple=spec.multiple)
    )
