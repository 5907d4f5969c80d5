"""A table of attributes: which of them each image has, in CelebA's format or as CSV."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from i2i.data.inspection import named
from i2i.errors import DataError
from i2i.text import plural

_VALUES = {"1": 1, "0": 0, "-1": 0}
_EXPECTED = """expected one of
  CelebA's format   a line with the number of images, a line of attribute names, then a line an image: its name and
                    1 or -1 for each attribute
  CSV               a line of column names, then a line an image: its name and 1 or 0 (or -1) for each attribute"""


@dataclass(frozen=True)
class Table:
    """Attributes by name, and of every image by name whether it has each: 1 or 0."""

    path: Path
    names: tuple[str, ...]
    rows: dict[str, tuple[int, ...]]


def read_table(path: str | os.PathLike[str]) -> Table:
    """Raises DataError, with the lines, for a file that is no table or not whole."""
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no text in UTF-8"
        raise DataError(f"{path}: the table of attributes cannot be read: {reason}") from error
    first = lines[0] if lines else ""
    count = None
    if "," in first:
        (_, (_, *names)), *table = _commas(path, lines)
        words = iter(table)
    elif first.strip().isdecimal() and len(lines) > 1:
        count, names = int(first), lines[1].split()
        words = ((number, line.split()) for number, line in enumerate(lines[2:], 3) if line.strip())
    else:
        raise DataError(f"{path}: this is no table of attributes; {_EXPECTED}")
    return _table(path, tuple(name.strip() for name in names), words, count)


def _commas(path: Path, lines: list[str]) -> list[tuple[int, list[str]]]:
    reader = csv.reader(lines, strict=True)
    try:
        rows = [(reader.line_num, [word.strip() for word in row]) for row in reader]
    except csv.Error as error:
        raise DataError(f"{path}: line {reader.line_num}: this is no CSV: {error}") from error
    rows = [(number, row) for number, row in rows if any(row)]
    if not rows:
        raise DataError(f"{path}: this is no table of attributes; {_EXPECTED}")
    return rows


def _table(path: Path, names: tuple[str, ...], words: Iterator[tuple[int, list[str]]], count: int | None) -> Table:
    problems = [f"attribute {name!r} has two columns" for name in dict.fromkeys(names) if names.count(name) > 1]
    problems += ["an attribute has no name"] * ("" in names)
    rows: dict[str, tuple[int, ...]] = {}
    for number, (image, *values) in words:
        if len(values) != len(names):
            problems.append(f"line {number}: {plural(len(values), 'value')} for {plural(len(names), 'attribute')}")
        elif strange := [value for value in values if value not in _VALUES]:
            problems.append(f"line {number}: {strange[0]!r} is not 1, 0 or -1")
        elif image in rows:
            problems.append(f"line {number}: {image} has a row already")
        else:
            rows[image] = tuple(_VALUES[value] for value in values)
    if count is not None and not problems and len(rows) != count:
        problems.append(f"the first line promises {plural(count, 'image')}, and {len(rows)} follow")
    if not problems and not (names and rows):
        problems.append("there is no image in it" if names else "there is no attribute in it")
    if problems:
        raise DataError(f"{path}: {plural(len(problems), 'problem')} with the table:\n{named(problems)}")
    return Table(path, names, rows)


def chosen(there: tuple[str, ...], select: str | None, where: object) -> list[int]:
    """The places of the selected names, in the order given: all, where nothing is selected. Raises DataError."""
    if select is None:
        return list(range(len(there)))
    names = [name.strip() for name in select.split(",")]
    unknown = [name for name in names if name not in there]
    if unknown:
        raise DataError(f"{where} has no {', '.join(map(repr, unknown))}; it has {', '.join(there)}")
    if twice := [name for name in names if names.count(name) > 1]:
        raise DataError(f"{twice[0]!r} is selected twice")
    return [there.index(name) for name in names]
