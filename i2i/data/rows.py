"""Rows of a table about images: its text, and the image that a row names."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from i2i.errors import DataError
from i2i.text import as_given


def read_text(path: Path, what: str) -> str:
    """Return the text of a file in UTF-8 or UTF-16. Raises DataError, which calls the file ``what``."""
    try:
        data = path.read_bytes()
        return data.decode("utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no text in UTF-8 or UTF-16"
        raise DataError(f"{path}: {what} cannot be read: {reason}") from error


class Images:
    """Images by the names that rows give them: the path below the data folder, a path below a folder above it, or the
    file name alone.
    """

    def __init__(self, root: Path, paths: Iterable[Path]) -> None:
        self._parts = tuple(dict.fromkeys((as_given(root).parts, root.resolve().parts)))
        self._by_path: dict[str, Path] = {}
        self._by_name: dict[str, list[Path]] = {}
        for path in paths:
            self._by_path[path.relative_to(root).as_posix()] = path
            self._by_name.setdefault(path.name, []).append(path)

    def __call__(self, name: str) -> list[Path]:
        """Return the image of a row; none where there is no such image, several where the file name is not unique."""
        if name in self._by_path:
            return [self._by_path[name]]
        if "/" not in name and "\\" not in name:
            return self._by_name.get(name, [])
        below = next((path for path in _below(self._parts, name) if path in self._by_path), None)
        return [self._by_path[below]] if below is not None else self._by_name.get(name, [])


def _below(parts: Iterable[tuple[str, ...]], name: str) -> Iterator[str]:
    """Yield the paths below a folder that the name in a row may mean: it may begin with ``parts`` of its own."""
    for path in dict.fromkeys((PurePosixPath(name), PurePosixPath(name.replace("\\", "/")))):
        for folders in parts:
            for start in range(len(path.parts)):
                if folders[len(folders) - start :] == path.parts[:start]:
                    yield "/".join(path.parts[start:])
