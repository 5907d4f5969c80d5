"""Domains of images: channels, types and ranges of their values, and what lies behind transparent pixels."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Any

from i2i.text import as_range, format_range, plural

EDGE = "edge"
Background = str | int
"""What a network without alpha sees behind a transparent picture: ``EDGE``, the picture's own colours continued, or
the level, 0 to 255, of a grey that the picture is composited on."""
BANDS = {"uint8": 8, "uint16": 16, "int16": 16, "float32": 32}
"""Types of the values of bands, with their bits."""
Range = tuple[float, float]
"""The low and the high end of values."""
FOUND = "found"
"""In place of a range: that of the images."""


def parse_background(value: Background) -> Background:
    """Return ``"edge"``, or the grey level as an int. Raises ValueError for anything else."""
    if value == EDGE:
        return EDGE
    try:
        level = -1 if isinstance(value, float | bool) else int(value)
    except (TypeError, ValueError):
        level = -1
    if not 0 <= level <= 255:
        raise ValueError(f"background is {value}; expected edge or 0 to 255")
    return level


def parse_ranges(text: str | None) -> dict[str, tuple[Range, ...]]:
    """Return the ranges of the sides "a" and "b", or of all images under "", of a text such as "a=0..4095 b=-1..1".

    A side has one range, or one for each channel with commas between; or "found", the range of its images, for which it
    has none here. Raises ValueError for any other text.
    """
    found: dict[str, tuple[Range, ...]] = {}
    for part in (text or "").split():
        side, equals, ranges = part.rpartition("=")
        if side not in ("a", "b") and equals:
            raise ValueError(f"range is {part!r}; expected LOW..HIGH, a=LOW..HIGH or b=LOW..HIGH")
        pairs = () if ranges == FOUND else tuple(as_range(pair) for pair in ranges.split(","))
        if wrong := [pair for pair in pairs if not pair[0] < pair[1]]:
            raise ValueError(f"range is {format_range(wrong[0])!r}; expected LOW..HIGH with LOW below HIGH")
        if side in found or (found and "" in (side, *found)):
            raise ValueError(f"range is {text!r}; expected one range for all images, or one for a and one for b")
        found[side] = pairs
    return found


@dataclass(frozen=True)
class Domain:
    """Domain of images: its name, and the channels, type and range of their values.

    Pictures are grey, RGB or RGBA, unsigned, of 8 or 16 bits, and are converted from one of these to another. Bands are
    any other arrays of values, such as measurements; nothing is converted to or from them.

    A network sees the values v of a domain as (v - low) / half - 1, which is -1 at the low end of their range and 1 at
    the high end; values beyond are clipped.

    Raises ValueError for a range that is empty or that the type does not have, for a number of ranges other than 1 and
    ``channels``, and for int16 or float32 without a range.
    """

    name: str
    channels: int = 3
    bits: int = 8
    bands: str = ""
    """NumPy name of the type of bands: uint8, uint16, int16 or float32; empty for pictures."""
    range: tuple[Range, ...] | None = None
    """The range of all values, or one for each channel; None: 0 to ``peak``."""

    def __post_init__(self) -> None:
        if self.bands not in ("", *BANDS) or (self.bands and self.bits != BANDS[self.bands]):
            raise ValueError(f"bands are of {', '.join(BANDS)}, not {self.bands!r} of {self.bits} bits")
        if self.range is None:
            if self.dtype in ("int16", "float32"):
                raise ValueError(f"{self.name}: a domain of {self.dtype} needs a range")
            return
        ranges = tuple((float(low), float(high)) for low, high in self.range)
        if len(ranges) not in (1, self.channels):
            raise ValueError(
                f"{len(ranges)} ranges for {plural(self.channels, 'channel')}; give one for all, or as many"
            )
        least, most = (-32768, 32767) if self.dtype == "int16" else (0, self.peak)
        for low, high in ranges:
            if not low < high or not isfinite(high - low):
                raise ValueError(
                    f"the range {format_range((low, high))} is empty; expected LOW..HIGH with LOW below HIGH"
                )
            whole = low.is_integer() and high.is_integer() and least <= low and high <= most
            if self.dtype != "float32" and not whole:
                raise ValueError(
                    f"the range {format_range((low, high))} is not one of {self.dtype}; expected whole numbers from "
                    f"{least} to {most}"
                )
        object.__setattr__(self, "range", ranges)

    @property
    def dtype(self) -> str:
        """NumPy name of the type of the values."""
        return self.bands or f"uint{self.bits}"

    @property
    def alpha(self) -> bool:
        """True if the fourth channel is alpha."""
        return self.channels == 4 and not self.bands

    @property
    def peak(self) -> int:
        """Largest value of a pixel: 255 or 65535. Bands have ``ranges``."""
        return 2**self.bits - 1

    @property
    def ranges(self) -> tuple[Range, ...]:
        """The range of all values, or one for each channel."""
        return ((0.0, float(self.peak)),) if self.range is None else self.range

    @property
    def half(self) -> tuple[float, ...]:
        """Half of the length of each range."""
        return tuple((high - low) / 2 for low, high in self.ranges)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON has them; ``bands`` and ``range`` only where they are given."""
        more = {name: value for name, value in (("bands", self.bands), ("range", self.range)) if value}
        return {"name": self.name, "channels": self.channels, "bits": self.bits} | _listed(more)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Domain:
        """Return the domain that ``to_dict`` turned into ``values``."""
        found = values.get("range")
        return cls(**(values | {"range": found and tuple((low, high) for low, high in found)}))


def _listed(value: Any) -> Any:
    """Return a value with lists for its tuples, as JSON returns it."""
    if isinstance(value, dict):
        return {key: _listed(each) for key, each in value.items()}
    return [_listed(each) for each in value] if isinstance(value, tuple | list) else value
