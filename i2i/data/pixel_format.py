"""The form that the images of a domain share: channels, type, range, alpha."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from i2i.data.facts import Facts
from i2i.errors import DataError
from i2i.images.domains import describe_ranges, kind
from i2i.images.image import kind_of
from i2i.spec import BANDS, EDGE, Background, Domain, Range
from i2i.text import format_range

Ranges = tuple[Range, ...]


def domain_of(name: str, found: Mapping[str, Facts], channels: str | int, given: Ranges | None = None) -> Domain:
    """Return the common form of a domain's images, whose facts are keyed by their names.

    Pictures are grey with channels "auto" if all of them are grey, and have their whole range unless one is ``given``;
    an empty one is that of their values. Bands have the range of their values, each channel its own, unless one is
    given; of uint8 the whole one.

    Raises DataError for images of different kinds, and for a range that does not fit them.
    """
    kinds = Counter((fact.bands, fact.channels if fact.bands else 0) for fact in found.values())
    if len(kinds) > 1:
        raise DataError(f"{name}: images of different kinds, {_listed(found)}; convert them to one")
    bands, count = next(iter(kinds))
    try:
        if bands and channels != "auto":
            raise ValueError(f"--channels is for pictures, and these have {kind_of(bands, count)}; leave it out")
        if bands:
            whole = bands == "uint8" and given is None
            ranges = given or (None if whole else _found(bands, found.values()))
            domain = Domain(name, count, BANDS[bands], bands, ranges)
        else:
            if channels == "auto":
                channels = 1 if all(fact.channels == 1 for fact in found.values()) else 3
            depths = {fact.bits for fact in found.values()}
            bits = 16 if depths == {16} else 8
            if given is not None and len(depths) > 1:
                raise ValueError("a range is of images of 8 bits or of 16, and these are of both; convert them to one")
            ranges = _found(f"uint{bits}", found.values()) if given == () else given
            domain = Domain(name, int(channels), bits, range=ranges)
            if ranges and domain.alpha:
                raise ValueError("--range is not for pictures with alpha; choose --channels 3")
        if given and len(_outside(domain, found)[1]) == len(found):
            pairs = [pair for fact in found.values() for half in fact.extremes for pair in half]
            span = format_range((min(low for low, _ in pairs), max(high for _, high in pairs)))
            raise ValueError(f"no value lies within the range {describe_ranges(domain)}: the images have {span}")
    except ValueError as error:
        raise DataError(f"{name}: {error}") from error
    return domain


def _listed(found: Mapping[str, Facts]) -> str:
    """Return the kinds of images, each with their number and the first name, the most frequent kind first."""
    names: dict[str, list[str]] = {}
    for name, fact in found.items():
        names.setdefault(fact.kind, []).append(name)
    ordered = sorted(names.items(), key=lambda item: -len(item[1]))
    return ", ".join(f"{len(some)} of {each} ({some[0]}{', ...' * (len(some) > 1)})" for each, some in ordered)


def _found(bands: str, facts: Iterable[Facts]) -> Ranges:
    """Return the range of each channel over all images. Raises ValueError if each channel has one value throughout."""
    extremes = [half for fact in facts for half in fact.extremes]
    ranges = [(min(low for low, _ in pairs), max(high for _, high in pairs)) for pairs in zip(*extremes, strict=True)]
    if all(low == high for low, high in ranges):
        values = ", ".join(f"{low:g}" for low, _ in ranges[:5])
        raise ValueError(f"all images have the same value throughout, {values}: there is nothing to learn from them")
    return tuple((low, high) if low < high else _around(low, bands) for low, high in ranges)


def _around(value: float, bands: str) -> Range:
    """Return a range with one value at its low end, for a channel that has no other."""
    if bands == "float32":
        return value, value + max(1.0, abs(value))
    return (value, value + 1) if value < 2**15 - 1 or (bands == "uint16" and value < 2**16 - 1) else (value - 1, value)


def warnings_of(domain: Domain, found: Mapping[str, Facts]) -> list[tuple[str, list[str]]]:
    """Return what is wrong with the images' values for their domain, each with the names of the images or channels."""
    channels = zip(*(half for fact in found.values() for half in fact.extremes), strict=True) if domain.bands else ()
    constant = [str(n) for n, pairs in enumerate(channels, 1) if len({value for pair in pairs for value in pair}) == 1]
    return [
        (f"with values beyond {describe_ranges(domain)}, which are clipped", _outside(domain, found)[0]),
        ("of its channels, numbered from 1, with one value throughout", constant),
    ]


def _outside(domain: Domain, found: Mapping[str, Facts]) -> tuple[list[str], list[str]]:
    """Return the names of the images of which some values, and of those of which all values, are out of range."""
    some, every = [], []
    hull = min(low for low, _ in domain.ranges), max(high for _, high in domain.ranges)
    for name, fact in found.items():
        count = len(fact.extremes[0])
        ranges = domain.ranges if len(domain.ranges) == count else (hull,) * count
        pairs = [each for half in fact.extremes for each in zip(half, ranges, strict=True)]
        if any(low < least or high > most for (low, high), (least, most) in pairs):
            some.append(name)
        if all(high <= least or low >= most for (low, high), (least, most) in pairs):
            every.append(name)
    return some, every


def form_of(domain: Domain, found: Iterable[Facts], background: Background) -> str:
    """Describe the form of a domain in words."""
    form = kind(domain)
    if domain.range:
        form += f" in {describe_ranges(domain)}"
    if not (domain.alpha or domain.bands) and (clear := sum(fact.transparent for fact in found)):
        where = "filled from the visible colours" if background == EDGE else f"on a grey of {background}"
        form += f" ({clear} with transparency, {where})"
    return form
