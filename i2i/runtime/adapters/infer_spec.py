"""Infer the Spec of a third-party graph: what is certain is found, the rest is given or asked for by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from i2i.runtime.adapters import probe
from i2i.runtime.adapters.convert import Infer
from i2i.runtime.adapters.options import ModelOptions, Range, as_arguments, format_range
from i2i.runtime.adapters.ports import Ports, read_ports, settle_layout, settle_order
from i2i.runtime.errors import ModelError
from i2i.runtime.graphs import signature
from i2i.runtime.providers.session import Session
from i2i.spec import FITS, Domain, Form, Spec

_BITS = {"uint8": 8}  # a float has room for 16, and images of 8 bits come back in 8


def describe(session: Session, path: Path, options: ModelOptions) -> Spec:
    """Return what the graph takes and returns.

    The layout is certain where only one axis can be that of the channels; the range where pixels are bytes or the file
    declares it, as the order may be; sizes and scale are tried. Raises ModelError with all options that are missing.
    """
    try:
        ports = read_ports(session, path)
        infer = runner(session, ports.name)
        form, channels = _settle(ports, options, infer)
        form, multiple, minimum, out = probe.settle_size(infer, form, channels, options.multiple)
        returned = _returned(form, channels, out)
    except UnknownError as unknown:
        raise ModelError(unknown.message(path, signature.describe(session))) from None
    except ModelError as error:
        raise ModelError(f"{path}: {error}; the model expects {signature.describe(session)}") from error
    source = Domain("image", 3 if form.order == "y" else channels, _BITS.get(ports.dtype, 16))
    target = Domain(path.stem, returned, _BITS.get(ports.returns, 16))
    return Spec(
        "described", "a2b", source, target, io="described", minimum=minimum, multiple=multiple, form=form, schema=2
    )


def _settle(ports: Ports, options: ModelOptions, infer: Infer) -> tuple[Form, int]:
    """The form, its scale aside, and the channels that the graph takes. Raises UnknownError or ModelError."""
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
            trial = Form(layout, order or "rgb", (0, 1), (0, 1), ports.dtype, size=size)
            guess = probe.likeliest(infer, trial, channels)
        raise UnknownError({name: value for name, value in known.items() if value}, missing, guess)
    returned: Range = options.output_range or ((0, 255) if ports.returns == "uint8" else taken)
    fit, result = options.fit or FITS[0], options.result or "image"
    return Form(layout, order, taken, returned, ports.dtype, size=size, fit=fit, result=result), channels


def _returned(form: Form, channels: int, out: int) -> int:
    """The channels of the result, for a graph that takes ``channels`` and returns ``out``. Raises ModelError."""
    if form.result == "curves":
        if out % channels:
            raise ModelError(f"it returns {out} channels, which are no curves for {channels}")
        return channels
    if out not in (1, 3, 4) or (form.order == "y" and out != 1):
        raise ModelError(f"it returns {out} channels, which are no image{' of luma' if form.order == 'y' else ''}")
    return 3 if form.order == "y" else out


def runner(session: Session, name: str) -> Infer:
    """Return the graph as a function of its input tensor."""

    def infer(tensor: np.ndarray) -> np.ndarray:
        try:
            return session.run({name: tensor})[0]
        except ModelError as error:
            raise ModelError(f"it failed on {tensor.dtype} {list(tensor.shape)}: {error}") from error

    return infer


class UnknownError(Exception):
    """Facts about a model that are neither certain nor given."""

    def __init__(self, known: dict[str, str], missing: dict[str, str], guess: Range | None) -> None:
        super().__init__(missing)
        self.known, self.missing, self.guess = known, missing, guess

    def message(self, path: Path, words: str) -> str:
        found = ", ".join(f"{name} {value}" for name, value in self.known.items())
        guess = (
            f" (a picture comes back most like itself in {format_range(self.guess)})" if self.guess is not None else ""
        )
        return (
            f"{path}: it holds no i2i description, so what its pixels mean is unknown. The model expects "
            f"{words}; certain is {found or 'nothing'}. Say the rest: {as_arguments(self.missing)}{guess}; "
            "`i2i describe` writes it into a copy"
        )


def merge(spec: Spec, options: ModelOptions, path: Path) -> ModelOptions:
    """Return ``options``, completed by the file's own description. Raises ModelError for an export of i2i."""
    if spec.form is None:
        raise ModelError(f"{path}: it describes itself: {', '.join(options.given())} are options of third-party models")
    whole = options.completed_by(spec.form)
    return (
        whole if options.multiple is not None or spec.form.size is not None else replace(whole, multiple=spec.multiple)
    )
