"""The Spec of a graph that others made: found where that is certain, else as told, else asked for by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from i2i.runtime.adapters import probe
from i2i.runtime.adapters.convert import Infer
from i2i.runtime.adapters.options import Range, Told, as_options, shown
from i2i.runtime.adapters.ports import Ports, read_ports, settle_layout, settle_order
from i2i.runtime.errors import ModelError
from i2i.runtime.graphs.signature import in_words
from i2i.runtime.providers.onnxruntime_session import quietly, reason
from i2i.spec import FITS, Domain, Form, Spec
from i2i.text import plural

_BITS = {"uint8": 8}  # a float has room for 16, and images of 8 bits come back in 8


def describe(session: Any, path: Path, told: Told) -> Spec:
    """What the graph takes and returns.

    The layout is certain where only one axis can be that of the channels; the range where pixels are bytes or the file
    declares it, as the order may be; sizes and scale are tried. Raises ModelError with all that has to be told.
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
    """The form, its scale aside, and the channels that the graph takes. Raises UnknownError or ModelError."""
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
    """The channels of the result, for a graph that takes ``channels`` and returns ``out``. Raises ModelError."""
    if form.result == "curves":
        if out % channels:
            raise ModelError(f"it returns {plural(out, 'channel')}, which are no curves for {channels}")
        return channels
    if out not in (1, 3, 4) or (form.order == "y" and out != 1):
        raise ModelError(
            f"it returns {plural(out, 'channel')}, which are no image{' of luma' if form.order == 'y' else ''}"
        )
    return 3 if form.order == "y" else out


def runner(session: Any, name: str) -> Infer:
    """The graph as a function, whose errors are ModelErrors and which prints nothing."""

    def infer(tensor: np.ndarray) -> np.ndarray:
        try:
            result: np.ndarray = session.run(None, {name: tensor}, quietly())[0]
        except Exception as error:  # ONNX Runtime's errors have no common class but this
            raise ModelError(f"it failed on {tensor.dtype} {list(tensor.shape)}: {reason(error)}") from error
        return result

    return infer


class UnknownError(Exception):
    """What is not certain and was not told."""

    def __init__(self, known: dict[str, str], missing: dict[str, str], guess: Range | None) -> None:
        super().__init__(missing)
        self.known, self.missing, self.guess = known, missing, guess

    def message(self, path: Path, words: str) -> str:
        found = ", ".join(f"{name} {value}" for name, value in self.known.items())
        guess = f" (a picture comes back most like itself in {shown(self.guess)})" if self.guess is not None else ""
        return (
            f"{path}: it holds no i2i description, so what its pixels mean is unknown. The model expects "
            f"{words}; certain is {found or 'nothing'}. Say the rest: {as_options(self.missing)}{guess}; "
            "`i2i describe` writes it into a copy"
        )


def told_anew(spec: Spec, told: Told, path: Path) -> Told:
    """What is told, and for the rest what the file's own description says. Raises ModelError for an export of i2i."""
    if spec.form is None:
        raise ModelError(
            f"{path}: it describes itself: {', '.join(told.said())} can be said of models that others made"
        )
    whole = told.over(spec.form)
    return whole if told.multiple is not None or spec.form.size is not None else replace(whole, multiple=spec.multiple)
