"""Parts of messages and options: counts, lists of names, paths that are wrong."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
_MOST = 1e30
"""Limit of the ends of a range: in float32 its length, its square and their sum over an image stay finite."""


def as_given(path: str | os.PathLike[str]) -> Path:
    """Return an absolute path whose name is the one that was given, which may be that of a symbolic link.

    A path with ".." is resolved, since what is above depends on the links.
    """
    found = Path(path).expanduser()
    return found.resolve() if ".." in found.parts else found.absolute()


def plural(count: int, noun: str, nouns: str | None = None) -> str:
    """Return "1 image" or "3 images"; ``nouns`` is the plural, by default the noun with an s."""
    return f"{count} {noun if count == 1 else nouns or noun + 's'}"


def parse_bytes(name: str, size: str) -> int:
    """Return the bytes of a size such as "500 MB" or "4GB"; 0 for "off". Raises ValueError, which calls it ``name``."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([kMGT]?)B", size, re.IGNORECASE)
    bytes_ = int(float(found[1]) * 1000 ** " kmgt".index(found[2].lower() or " ")) if found else 0
    if not bytes_ and size != "off":
        raise ValueError(f"{name} is {size!r}; expected a size such as 500MB or 4GB, or off")
    return bytes_


def as_range(value: object, name: str = "range") -> tuple[float, float]:
    """Return the range given as "0..255", "-1..1" or two numbers. Raises ValueError with ``name`` for anything else."""
    parts: Any = value.split("..") if isinstance(value, str) else value
    try:
        low, high = map(float, parts)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is {value!r}; expected LOW..HIGH, such as 0..255 or -1..1") from error
    if not (abs(low) < _MOST and abs(high) < _MOST and low != high):  # nor a NaN
        raise ValueError(f"{name} is {value!r}; expected two numbers that differ")
    return low, high


def format_range(range: tuple[float, float]) -> str:
    """Return a range as it is written on the command line."""
    return f"{range[0]:g}..{range[1]:g}"


def split_names(names: str) -> list[str]:
    """Return the names of a line of CSV: ``cat,dog``, or ``"a,b",dog`` for a name that contains a comma.

    Raises ValueError for a line that CSV does not allow.
    """
    import csv  # on demand: no image needs it

    try:
        (row,) = csv.reader([names], skipinitialspace=True)
    except csv.Error as error:
        raise ValueError(f"{names!r} is no list of names with commas between: {error}") from error
    return [name.strip() for name in row]


def join_names(names: Iterable[str], separator: str = ", ") -> str:
    """Return names as ``split_names`` reads them, for messages that list what can be chosen."""
    return separator.join('"' + name.replace('"', '""') + '"' if re.search('[,"]', name) else name for name in names)


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return " (did you mean NAME?)" with the nearest of ``names``, or nothing if none is near."""
    import difflib  # on demand: for errors only

    nearest = difflib.get_close_matches(name, names, 1)
    return f" (did you mean {nearest[0]}?)" if nearest else ""


def known_keywords(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Decorate a function so that the TypeError for a keyword that it does not have names the nearest one."""
    code = function.__code__
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]

    @wraps(function)
    def called(*args: Parameters.args, **given: Parameters.kwargs) -> Result:
        for name in given:
            if name not in names:
                words = f"{function.__name__}() has no argument {name!r}{did_you_mean(name, names)}"
                raise TypeError(f"{words}; it takes {', '.join(names)}")
        return function(*args, **given)

    return called


def printable(path: str | os.PathLike[str]) -> str:
    """Return a path as one line of text that any terminal shows."""
    return os.fsencode(path).decode("utf-8", "backslashreplace").replace("\n", "\\n")


def is_url(path: str | os.PathLike[str]) -> bool:
    """True for ``http://host/x.png``, also with one slash, which is what a Path makes of two; False if it exists."""
    return bool(re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", os.fspath(path))) and not os.path.lexists(path)


def is_url_of_folder(path: str | os.PathLike[str]) -> bool:
    """True for a URL whose last part has no suffix, such as ``s3://bucket/photos``, or that ends in a slash."""
    return is_url(path) and (os.fspath(path).endswith("/") or not Path(path).suffix or len(Path(path).parts) < 3)


def not_found(path: str | os.PathLike[str], what: str = "file or folder") -> str:
    """Return the message for a path where nothing is."""
    if is_url(path):
        return f"{path}: URLs are not read here: download it first; `i2i translate` takes folders at URLs"
    return f"{path}: no such {what}"


def os_error(error: OSError) -> str:
    """Return an error of the system in words, with its path; for a file in the place of a folder, how to fix it."""
    reason = error.strerror or str(error)
    if error.filename is None:
        return reason
    name = os.fsdecode(error.filename)  # as it is: a Path would take a slash from a URL
    if isinstance(error, FileExistsError | NotADirectoryError):
        for place in (Path(name), *Path(name).parents):
            if place.is_file():
                return f"{place}: a file, where a folder is needed; remove it, or choose another destination"
    return f"{name}: {reason}"
