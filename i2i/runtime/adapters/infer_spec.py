"""The Spec of a third-party graph: from its shapes, its metadata, trial runs and the user's options."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from i2i.runtime.adapters import ports as declared
from i2i.runtime.adapters import probe
from i2i.runtime.adapters.convert import Infer
from i2i.runtime.adapters.options import Range, Told, as_options, shown
from i2i.runtime.adapters.ports import Ports, read_ports, settle_layout, settle_order
from i2i.runtime.errors import ModelError
from i2i.runtime.graphs import signature
from i2i.runtime.graphs.signature import in_words
from i2i.runtime.providers.onnxruntime_session import quietly, reason
from i2i.spec import FITS, Domain, Form, Spec

_BITS = {"uint8": 8}  # a float holds 16 bits; images of 8 bits are still returned in 8


def settle(spec: Spec | None, session: Any, path: Path, told: Told) -> Spec:
    """Return the Spec of the graph in ``session``: that of its file, unless that has none or ``told`` changes it.

    Raises ModelError if the graph is not as its description states, cannot be described, or needs more options.
    """
    if spec is None or told:
        spec = describe(session, path, told if spec is None else told_anew(spec, told, path))
    (signature if spec.form is None else declared).check(spec, session, path)
    return spec


def describe(session: Any, path: Path, told: Told) -> Spec:
    """Return the Spec of the graph in ``session``.

    The layout is certain if only one axis can be that of the channels, the range if pixels are bytes. The file's
    metadata may declare range and order. Sizes and scale are found by running the graph.

    Raises ModelError if the graph does not translate images, or, with all missing options in one sentence, if anything
    is neither certain nor given in ``told``.
    """
    try:
        ports = read_ports(session)
        infer = runner(session, ports.name)
        form, channels = _settle(ports, told, infer)
        form, multiple, minimum, out = probe.settle_size(infer, form, channels, told.multiple)
        returned = _returned(form, channels, out)
    except UnknownError as unknown:
        raise ModelError(unknown.message(path, in_words(session))) from None
    except ModelError as error:
        raise ModelError(f"{path}: {error}; the model expects {in_words(session)}") from error
    source = Domain("image", 3 if form.order == "y" else channels, _BITS.get(ports.dtype, 16))
    target = Domain(path.stem, returned, _BITS.get(ports.returns, 16))
    return Spec(
        "described", "a2b", source, target, io="described", minimum=minimum, multiple=multiple, form=form, schema=2
    )


def _settle(ports: Ports, told: Told, infer: Infer) -> tuple[Form, int]:
    """Return the Form, still without its scale, and the channels of the input. Raises UnknownError or ModelError."""
    layout = settle_layout(ports, told)
    channels = None if layout is None else ports.channels(layout)
    order = settle_order(ports, channels, told)
    if channels is None and order is not None:
        channels = 1 if order in ("grey", "y") else 3
    size = None if layout is None else ports.size(layout)
    taken: Range | None = told.range or ports.declared.get("range") or ((0, 255) if ports.dtype == "uint8" else None)
    missing: dict[str, str] = {}
    if layout is None:
        missing["layout"] = "nchw|nhwc"
    if taken is None:
        missing["range"] = "LOW..HIGH"
    if order is None:
        missing["order"] = "grey|y" if channels == 1 else "rgb|bgr"
    if size is not None and told.fit is None and told.result != "curves":
        missing["fit"] = "|".join(FITS)
    if layout is None or taken is None or order is None or channels is None or missing:
        known = {"layout": layout, "range": taken and shown(taken), "order": order}
        known["size"] = None if size is None else f"{size[0]} x {size[1]}"
        guess = None
        if taken is None and layout is not None and channels is not None:
            trial = Form(layout, order or "rgb", (0, 1), (0, 1), ports.dtype, size=size)
            guess = probe.likeliest(infer, trial, channels)
        raise UnknownError({name: value for name, value in known.items() if value}, missing, guess)
    returned: Range = told.output_range or ((0, 255) if ports.returns == "uint8" else taken)
    fit, result = told.fit or FITS[0], told.result or "image"
    return Form(layout, order, taken, returned, ports.dtype, size=size, fit=fit, result=result), channels


def _returned(form: Form, channels: int, out: int) -> int:
    """Return the channels of the result of a graph that takes ``channels`` and returns ``out``. Raises ModelError."""
    if form.result == "curves":
        if out % channels:
            raise ModelError(f"it returns {out} channels; curves for {channels} channels need a multiple of {channels}")
        return channels
    if out not in (1, 3, 4) or (form.order == "y" and out != 1):
        raise ModelError(f"it returns {out} channels; expected {'1 (luma)' if form.order == 'y' else '1, 3 or 4'}")
    return 3 if form.order == "y" else out


def runner(session: Any, name: str) -> Infer:
    """Return the graph as a function that prints nothing and raises ModelError for every error of the runtime."""

    def infer(tensor: np.ndarray) -> np.ndarray:
        try:
            result: np.ndarray = session.run(None, {name: tensor}, quietly())[0]
        except Exception as error:  # ONNX Runtime's errors have no common class but this
            raise ModelError(f"it failed on {tensor.dtype} {list(tensor.shape)}: {reason(error)}") from error
        return result

    return infer


class UnknownError(Exception):
    """Facts of a graph that are neither certain nor given; ``message`` names the options that give them."""

    def __init__(self, known: dict[str, str], missing: dict[str, str], guess: Range | None) -> None:
        super().__init__(missing)
        self.known, self.missing, self.guess = known, missing, guess

    def message(self, path: Path, words: str) -> str:
        found = ", ".join(f"{name} {value}" for name, value in self.known.items())
        guess = f" (a test picture changes least in {shown(self.guess)})" if self.guess is not None else ""
        return (
            f"{path}: it contains no i2i description, so the meaning of its pixels is unknown. The model expects "
            f"{words}; found: {found or 'nothing'}. Give the rest: {as_options(self.missing)}{guess}; "
            "`i2i describe` writes it into a copy"
        )


def told_anew(spec: Spec, told: Told, path: Path) -> Told:
    """Return ``told``, completed by the file's own description. Raises ModelError for an export of i2i."""
    if spec.form is None:
        raise ModelError(f"{path}: it describes itself; {', '.join(told.said())} can be given for third-party models")
    whole = told.over(spec.form)
    return whole if told.multiple is not None or spec.form.size is not None else replace(whole, multiple=spec.multiple)
