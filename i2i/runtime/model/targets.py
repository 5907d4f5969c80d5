"""Resolve ``to``: a direction or domain of a run, a domain of a model with several, or attributes."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from i2i.runtime.errors import ModelError
from i2i.spec import Spec
from i2i.text import join_names, split_names

To = str | Sequence[str]
"""A name, or for attributes several names: as a list, or separated by commas, in double quotes where a name contains
one."""


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
    raise ModelError(f"{who} does not translate to {to!r}; it translates to {_known(ways.values())}")


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
        raise ModelError(f"{who} does not translate to {to!r}; it translates to {_known([spec])}")
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
    return f"{spec.source.name} -> {goal}"


def _leads(spec: Spec, to: To) -> bool:
    if not spec.domains:
        return to == spec.target.name
    names = _names(spec, to)
    return set(names) <= set(spec.domains) and (spec.attributes or len(names) == 1)


def _names(spec: Spec, to: To) -> tuple[str, ...]:
    if not isinstance(to, str):
        return tuple(to) if isinstance(to, Iterable) else (to,)
    return (to,) if to in spec.domains else tuple(filter(None, split_names(to)))


def _known(specs: Iterable[Spec]) -> str:
    return ", ".join(join_names(spec.domains) or f"{spec.target.name} ({spec.direction})" for spec in specs)
