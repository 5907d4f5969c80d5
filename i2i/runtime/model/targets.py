"""Resolve ``to``: a direction or domain of a run, a domain of a model with several, or attributes."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from i2i.runtime.errors import ModelError
from i2i.spec import ENERGY, GENERATOR, STYLE_ENCODER, TRANSLATOR, Spec
from i2i.text import join_names, split_names

_INSTEAD = {
    TRANSLATOR: "a translator, which takes images: use `i2i translate IMAGES -m {0}` (i2i.translate)",
    GENERATOR: "a generator, which takes no image: use `i2i generate {0}` (i2i.generate)",
    STYLE_ENCODER: "a style encoder, which translates no image: give -m the translator beside it, and this one is used "
    "for `i2i translate --style EXAMPLE` (style=)",
    ENERGY: "an energy-based model, which has no export: i2i.engine.load_translator({0!r}).sample(n) draws images",
}  # kind of a model -> what to use where another kind is expected

To = str | Sequence[str]
"""A name, or for attributes several names: as a list, or separated by commas, in double quotes where a name contains
one."""


def check_kind(spec: Spec | None, kind: str | None, who: str) -> Spec | None:
    """Return the Spec of a model of that ``kind`` (None: any). Third-party models, without a Spec, are translators.

    Raises ModelError, with what to use instead, for a model of another kind.
    """
    found = TRANSLATOR if spec is None else spec.kind
    if kind not in (None, found):
        raise wrong_kind(found, who)
    return spec


def wrong_kind(kind: str, who: str) -> ModelError:
    """Return the error for a model of this ``kind`` where another is expected, with what to use instead."""
    return ModelError(f"{who} is {_INSTEAD[kind].format(shlex.quote(who))}")


def ordered(ways: Mapping[str, Spec]) -> dict[str, Spec]:
    """Sort directions: translations first, then reconstructions, which lead from a side to the same one."""
    return dict(sorted(ways.items(), key=lambda way: way[1].direction[:1] == way[1].direction[-1:]))


def choose(ways: Mapping[str, Spec], to: To | None, who: str) -> str:
    """Return the direction called ``to``, else the first one to a domain of that name; the first for None.

    Raises ModelError, with the known names, if there is none.
    """
    ways = ordered(ways)
    if to is None:
        return next(iter(ways))
    if isinstance(to, str) and to in ways:
        return to
    for direction, spec in ways.items():
        if _leads(spec, to):
            return direction
    raise ModelError(_unknown(ways.values(), to, who))


def aim(spec: Spec, to: To | None, who: str) -> tuple[str, ...] | None:
    """Return the names in ``spec.domains`` that ``to`` selects: one domain, or any number of attributes.

    Returns None for a model of a single direction, which ``to`` may only confirm. Raises ModelError, with the known
    names, for an unknown name, and if ``to`` is needed and not given.
    """
    if to is None:
        if not spec.domains:
            return None
        known, example = join_names(spec.domains), shlex.quote(join_names(spec.domains[: 1 + spec.attributes], ","))
        rest = (
            f"attributes are missing: choose any of {known}; --to {example} gives the images these and no others"
            if spec.attributes
            else f"a domain is missing: choose one of {known}: --to {example}"
        )
        raise ModelError(f"{who}: {rest} (in Python, to=)")
    if not (_leads(spec, to) or (not spec.domains and to == spec.direction)):
        raise ModelError(_unknown([spec], to, who))
    return _names(spec, to) if spec.domains else None


def vector(spec: Spec, names: Sequence[str]) -> np.ndarray:
    """Return the graph's second input for one image: its domain's index, int64 [1], or attributes, float32 [1, D]."""
    if spec.attributes:
        return np.array([[name in names for name in spec.domains]], np.float32)
    return np.array([spec.domains.index(names[0])], np.int64)


def way(spec: Spec, names: Sequence[str] | None = None) -> str:
    """Describe the translation in words; ``names`` is what ``aim`` returned."""
    if names is None:
        goal = ("any of " if spec.attributes else "") + ", ".join(spec.domains or (spec.target.name,))
    else:
        goal = ", ".join(names) or f"none of {', '.join(spec.domains)}"
    return f"{'noise' if spec.kind == GENERATOR else spec.source.name} -> {goal}"


def _leads(spec: Spec, to: To) -> bool:
    if not spec.domains:
        return to == spec.target.name
    names = _names(spec, to)
    return set(names) <= set(spec.domains) and (spec.attributes or len(names) == 1)


def _names(spec: Spec, to: To) -> tuple[str, ...]:
    if not isinstance(to, str):
        return tuple(to) if isinstance(to, Iterable) else (to,)
    return (to,) if to in spec.domains else tuple(filter(None, split_names(to)))


def _unknown(specs: Iterable[Spec], to: To, who: str) -> str:
    """Return the message for a ``to`` that no direction has."""
    specs = list(specs)
    does, do = (
        ("generates", "generate")
        if all(spec.kind == GENERATOR for spec in specs)
        else ("translates to", "translate to")
    )
    return f"{who} does not {do} {to!r}; it {does} {_known(specs)}"


def _known(specs: Iterable[Spec]) -> str:
    return ", ".join(join_names(spec.domains) or f"{spec.target.name} ({spec.direction})" for spec in specs)


def run_of(path: Path) -> Path | None:
    """Return the folder of the run that exported this file to its own ``onnx/``, else None."""
    run = path.parent.parent
    return run if path.parent.name == "onnx" and (run / "run.json").is_file() else None
