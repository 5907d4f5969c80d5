"""Which file of a folder becomes which, decided before any work so that nothing is lost to a clash of names."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from i2i.images import WRITABLE, ImageError, list_images
from i2i.runtime.record import Record

# Suffixes that may be kept, since their formats are written; a file of another format gets ".png" behind its name.
_KEPT = "png jpg jpeg jpe jfif mpo webp tif tiff bmp dib ppm pgm pbm pnm jp2"
KEPT = frozenset("." + suffix for suffix in _KEPT.split())


class Item(NamedTuple):
    """One image to translate."""

    source: Path
    name: str  # of the output, relative to the output folder, with "/"


def output_name(source: Path, format: str | None = None) -> str:
    """The name of the translated file: that of its source, with the suffix of another format where it has one."""
    if format is not None:
        return source.with_suffix(WRITABLE[format]).name
    return source.name if source.suffix.lower() in KEPT else source.name + WRITABLE["PNG"]


def plan(
    source: Path, target: Path, format: str | None, on_error: Callable[[ImageError], None] | None = None
) -> list[Item]:
    """Every image under ``source`` with the name of its output under ``target``, which may lie within ``source``.

    Raises ValueError where two outputs would have one name, or an output would replace a source.
    """
    if not source.is_dir():
        raise ValueError(f"{source}: no such folder")
    if target.exists() and not target.is_dir():
        raise ValueError(f"{target}: the results of a folder need a folder, and this is a file")
    inner, outer = target.resolve(), source.resolve()
    if inner == outer:
        raise ValueError(f"{target}: the output folder is the input folder; originals are never overwritten")
    images = list_images(source, on_error)
    if inner.is_relative_to(outer):
        images = [image for image in images if not image.resolve().is_relative_to(inner)]
    items = []
    for image in images:
        folder = image.relative_to(source).parent
        items.append(Item(image, (folder / output_name(image, format)).as_posix()))
    _refuse_clashes(items, ignore_case=_ignores_case(target))
    _refuse_sources(items, target)
    return items


def refuse_strangers(items: Sequence[Item], target: Path, record: Record) -> None:
    """ValueError if outputs exist that no job of this program wrote: they may be somebody's originals."""
    strangers = [item.name for item in items if not record.owns(item.name) and os.path.lexists(target / item.name)]
    if strangers:
        raise ValueError(
            f"{target} already holds {len(strangers)} files that would be replaced and that no earlier job wrote "
            f"({_few(strangers)}); choose another folder, or --overwrite"
        )


def _refuse_clashes(items: Sequence[Item], ignore_case: bool) -> None:
    taken: dict[str, Item] = {}
    clashes = []
    for item in items:
        other = taken.setdefault(item.name.casefold() if ignore_case else item.name, item)
        if other is not item:
            clashes.append(f"{other.source} and {item.source} would both be written as {item.name}")
    if clashes:
        raise ValueError(f"{_few(clashes, 5, '; ')}. Rename one of each pair, or keep their formats (no --format)")


def _refuse_sources(items: Sequence[Item], target: Path) -> None:
    """An output folder may lead back to the sources through links."""
    real: dict[Path, Path] = {}

    def resolve(folder: Path) -> Path:
        if folder not in real:
            real[folder] = folder.resolve()
        return real[folder]

    sources = {resolve(item.source.parent) / item.source.name for item in items}
    for item in items:
        output = target / item.name
        if resolve(output.parent) / output.name in sources:
            raise ValueError(f"{output} is one of the images to translate; originals are never overwritten")


def _ignores_case(folder: Path) -> bool:
    """Whether the file system takes A and a for the same name, asked of the nearest folder that exists."""
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    try:
        with tempfile.NamedTemporaryFile(prefix=".i2i-case-", dir=folder) as probe:
            name = Path(probe.name)
            return os.path.lexists(name.with_name(name.name.upper()))
    except OSError:
        return False


def _few(names: Sequence[str], count: int = 3, separator: str = ", ") -> str:
    more = f"{separator}and {len(names) - count} more" if len(names) > count else ""
    return separator.join(names[:count]) + more
