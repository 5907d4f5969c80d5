"""Tables of image attributes, in CelebA's format or as CSV."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from i2i.data.inspection import named
from i2i.data.rows import read_text
from i2i.errors import DataError
from i2i.images import IMAGE_SUFFIXES
from i2i.text import plural, split_names

SEPARATORS = ",;\t"
_WORDS = {"true": 1, "false": 0}
_NUMBERS = {1.0: 1, 0.0: 0, -1.0: 0}
_EXPECTED = """expected one of
  CelebA's format   a line with the number of images, a line of attribute names, then a line an image: its name and
                    1 or -1 for each attribute
  CSV               a line of column names, then a line an image: its name and 1 or 0 (or -1, True, False) for each
                    attribute, separated by commas, semicolons or tabs"""


@dataclass(frozen=True)
class Table:
    """Attribute names, and for every image by name its attributes, each 1 or 0."""

    path: Path
    names: tuple[str, ...]
    rows: dict[str, tuple[int, ...]]


def read_table(path: str | os.PathLike[str]) -> Table:
    """Read a table in CelebA's format or as CSV, separated by commas, semicolons or tabs, in UTF-8 or UTF-16.

    An index column of whole numbers before the images' names, as pandas writes it, is skipped. Raises DataError, with
    the lines, for a file that is no table or not whole.
    """
    path = Path(path)
    text = read_text(path, "the table of attributes")
    lines = text.splitlines()
    first = lines[0] if lines else ""
    count: int | None = None
    words: Iterator[tuple[int, list[str]]]
    if first.strip().isdecimal() and len(lines) > 1:
        count, names = int(first), lines[1].split()
        words = ((number, line.split()) for number, line in enumerate(lines[2:], 3) if line.strip())
    elif any(separator in first for separator in SEPARATORS):
        rows = _csv(path, lines)
        skipped = _index_column(rows)
        (_, (_, *names)), *table = ((number, row[skipped:]) for number, row in rows)
        words = (row for row in table)
    else:
        raise DataError(f"{path}: this is no table of attributes; {_EXPECTED}")
    return _table(path, tuple(name.strip() for name in names), words, count)


def _index_column(rows: list[tuple[int, list[str]]]) -> int:
    """Return 1 if the images' names are in the second column, behind whole numbers, else 0."""
    table = [row for _, row in rows[1:]]
    indexed = table and all(len(row) > 1 and row[0].isdecimal() for row in table)
    return int(bool(indexed) and all(Path(row[1]).suffix.lower() in IMAGE_SUFFIXES for row in table))


def _csv(path: Path, lines: list[str]) -> list[tuple[int, list[str]]]:
    try:
        separator = csv.Sniffer().sniff("\n".join(lines[:20]), SEPARATORS).delimiter
    except csv.Error:  # too little to tell
        separator = ","
    reader = csv.reader(lines, delimiter=separator, strict=True)
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
        elif None in (found := [_value(value) for value in values]):
            problems.append(f"line {number}: {values[found.index(None)]!r} is not 1, 0 or -1, True or False")
        elif image in rows:
            problems.append(f"line {number}: {image} already has a row")
        else:
            rows[image] = tuple(value for value in found if value is not None)
    if count is not None and not problems and len(rows) != count:
        problems.append(f"the first line says {plural(count, 'image')}, and {len(rows)} follow")
    if not problems and not (names and rows):
        problems.append("there is no image in it" if names else "there is no attribute in it")
    if problems:
        raise DataError(f"{path}: {plural(len(problems), 'problem')} with the table:\n{named(problems)}")
    return Table(path, names, rows)


def _value(text: str) -> int | None:
    """Return 1 or 0, or None for a text that says neither."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        return _NUMBERS.get(float(text.replace(",", ".")))  # a table with semicolons may have decimal commas
    except ValueError:
        return None


def chosen(there: tuple[str, ...], select: str | None, where: object) -> list[int]:
    """Return the positions of the selected names in the order given; of all where ``select`` is None.

    ``select`` is one name, or names separated by commas, in double quotes where a name contains one. Raises DataError.
    """
    if select is None:
        return list(range(len(there)))
    names = [select] if select in there else split_names(select)
    unknown = [name for name in names if name not in there]
    if unknown:
        raise DataError(f"{where} has no {', '.join(map(repr, unknown))}; it has {', '.join(there)}")
    if twice := [name for name in names if names.count(name) > 1]:
        raise DataError(f"{twice[0]!r} is selected twice")
    return [there.index(name) for name in names]
