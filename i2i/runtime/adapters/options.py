"""Options that describe a third-party model; the command line makes its options from the fields.

Standard library only, so that ``--help`` stays fast.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from i2i.spec import FITS, LAYOUTS, MASKS, ORDERS, RESULTS, Form, Input, Range
from i2i.text import as_range, format_range


def _about(help: str, **facts: Any) -> dict[str, Any]:
    return {"help": help, **facts}


@dataclass(frozen=True)
class ModelOptions:
    """Meaning of a third-party model's tensors, as far as the user gives it; None: not given.

    Raises ValueError, naming the field, for a value that has no meaning.
    """

    layout: str | None = field(
        default=None,
        metadata=_about(
            "Axis order of the tensors: channels first (nchw) or last (nhwc).  [default: found from their shapes]",
            choices=LAYOUTS,
        ),
    )
    range: Range | None = field(
        default=None,
        metadata=_about(
            "Input values of black and white: 0..1, -1..1 or 0..255; required where the file does not say.",
            metavar="LOW..HIGH",
        ),
    )
    output_range: Range | None = field(
        default=None, metadata=_about("Output values of black and white.  [default: as --range]", metavar="LOW..HIGH")
    )
    order: str | None = field(
        default=None,
        metadata=_about(
            "Channel order of the model: rgb, bgr, grey, or y (luma only; colour is taken from the source); required "
            "where the file does not say.",
            choices=ORDERS,
        ),
    )
    multiple: int | None = field(
        default=None,
        metadata=_about(
            "Pixels that height and width must be a multiple of; images are padded to it.  [default: found by running "
            "the model]",
            least=1,
        ),
    )
    fit: str | None = field(
        default=None,
        metadata=_about(
            "Handling of a model of one fixed size: resize images to it and the results back, or cut them into tiles "
            "of that size; required for such a model.",
            choices=FITS,
        ),
    )
    result: str | None = field(
        default=None,
        metadata=_about(
            "Content of the output: an image, or the brightening curves of Zero-DCE.  [default: image]",
            choices=RESULTS,
        ),
    )

    input: tuple[tuple[str, Input], ...] | None = field(
        default=None,
        metadata=_about(
            "Value of an input beside the image, which fills it: a strength or a noise level; all of its numbers, with "
            "commas between; or mask (1 in holes) or kept (1 outside), for a model that fills the transparent parts of "
            "images. Repeat it for several inputs.",
            metavar="NAME=VALUE",
            multiple=True,
        ),
    )

    def __post_init__(self) -> None:
        """Convert ranges and inputs from text and check all values."""
        object.__setattr__(self, "input", as_inputs(self.input))
        for each in fields(self):
            value, known = getattr(self, each.name), each.metadata.get("choices")
            if value is not None and known is not None and value not in known:
                raise ValueError(f"{each.name} is {value!r}; choose one of {', '.join(known)}")
        for name in ("range", "output_range"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, as_range(getattr(self, name), name))
        if self.multiple is not None and self.multiple < 1:
            raise ValueError(f"multiple is {self.multiple}; expected at least 1")

    def __bool__(self) -> bool:
        return bool(self.given())

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> ModelOptions:
        """Return the options of these names and values. Raises ValueError, with the known names, for an unknown one."""
        if unknown := set(given) - NAMES:
            raise ValueError(f"unknown option: {', '.join(sorted(unknown))}; choose from {', '.join(sorted(NAMES))}")
        return cls(**given)

    def given(self) -> dict[str, Any]:
        """Return the options that are given, by name."""
        return {each.name: getattr(self, each.name) for each in fields(self) if getattr(self, each.name) is not None}

    def completed_by(self, form: Form) -> ModelOptions:
        """Return these options, completed by those of a description."""
        given = self.given()
        given["input"] = tuple((dict(form.inputs) | dict(self.input or ())).items()) or None
        if self.range is not None and form.output_range == form.range:
            given.setdefault("output_range", self.range)
        known = {name: getattr(form, name) for name in ("layout", "range", "output_range", "order", "fit", "result")}
        return replace(ModelOptions(**known), **given)


def as_inputs(given: Any) -> tuple[tuple[str, Input], ...] | None:
    """Return the inputs of a mapping, of pairs, or of texts such as "sigma=0.1"; None if there are none.

    Raises ValueError for a value that is no number, numbers, or word of ``MASKS``.
    """
    if not given:
        return None
    pairs = given.items() if isinstance(given, Mapping) else [_pair(each) for each in given]
    return tuple((str(name), _value(str(name), value)) for name, value in pairs)


def _pair(given: Any) -> tuple[str, Any]:
    if not isinstance(given, str):
        name, value = given
        return name, value
    name, _, value = given.rpartition("=")
    if not name:
        raise ValueError(f"input is {given!r}; expected NAME=VALUE, such as sigma=0.1")
    return name, value


def _value(name: str, value: Any) -> Input:
    if value in MASKS:
        return str(value)
    try:
        numbers = [float(each) for each in (value.split(",") if isinstance(value, str) else _listed(value))]
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"input {name} is {value!r}; expected a number, numbers with commas between, or {' or '.join(MASKS)}"
        ) from error
    return numbers[0] if len(numbers) == 1 else tuple(numbers)


def _listed(value: Any) -> Any:
    return value if hasattr(value, "__iter__") else [value]


NO_OPTIONS = ModelOptions()
NAMES = frozenset(each.name for each in fields(ModelOptions))


def as_arguments(given: Mapping[str, object]) -> str:
    """Return options as they are written on the command line."""
    words: list[tuple[str, object]] = []
    for name, value in given.items():
        if name == "input":
            words += [(name, shlex.quote(f"{each}={number_text(number)}")) for each, number in value]  # type: ignore[attr-defined]
        else:
            words.append((name, format_range(value) if isinstance(value, tuple) else value))
    return " ".join(f"--{name.replace('_', '-')} {value}" for name, value in words)


def number_text(value: Input) -> str:
    if isinstance(value, str):
        return value
    return ",".join(f"{number:g}" for number in (value if isinstance(value, tuple) else (value,)))
