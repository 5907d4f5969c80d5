"""Contents of a source that its result lacks: images and videos name them in one form and one sentence."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from i2i.text import plural, printable


class Lost(NamedTuple):
    """Contents of a source that its result lacks, such as "alpha" or "2 chapters". False if there are none."""

    what: tuple[str, ...] = ()
    holder: str = ""  # the kind of the result: "JPEG", "libx264 in .mp4"

    @classmethod
    def of(cls, what: Iterable[str], holder: str) -> Lost:
        """Return the loss of these contents, each named once."""
        return cls(tuple(dict.fromkeys(what)), holder)

    def __bool__(self) -> bool:
        return bool(self.what)

    def __str__(self) -> str:
        return f"not carried over to {self.holder}: {', '.join(self.what)}"


NOTHING = Lost()

_NAMED = 5  # sources that a note names


def fewer_bits(bits: int) -> str:
    """Return the name of the loss where a sample keeps fewer bits."""
    return f"more than {bits} bits"


class Losses:
    """Losses of many results, counted by kind."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], tuple[int, list[Path | str]]] = {}  # name and holder -> count, first sources

    def add(self, source: Path | str, lost: Lost) -> None:
        """Count what the result of ``source`` lacks."""
        for what in lost.what:
            count, sources = self._found.get((what, lost.holder), (0, []))
            if count < _NAMED:
                sources.append(source)
            self._found[what, lost.holder] = (count + 1, sources)

    def notes(self) -> list[str]:
        """Return one line for each kind of loss, with the number of results that lack it and the first sources."""
        lines = []
        for (what, holder), (count, sources) in self._found.items():
            more = f" and {count - len(sources)} more" if count > len(sources) else ""
            names = ", ".join(map(printable, sources))
            lines.append(f"{Lost((what,), holder)} ({plural(count, 'result')}: {names}{more})")
        return lines
