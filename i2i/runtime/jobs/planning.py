"""Which file of a folder becomes which, decided before any work so that nothing is lost to a clash of names."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from i2i.images import ImageError, name_images
from i2i.runtime.jobs.options import output_name
from i2i.text import not_found, plural

if TYPE_CHECKING:
    from i2i.runtime.jobs.journal import Record


class Item(NamedTuple):
    """One image to translate."""

    source: Path
    name: str  # of the output, relative to the output folder, with "/"
    problem: str = ""  # why it must not be written


def plan(
    source: Path,
    targets: Sequence[Path],
    name: Callable[[str], str] = output_name,
    on_error: Callable[[ImageError], None] | None = None,
) -> list[str]:
    """The relative name of every image under ``source``, whose output under each target has the ``name`` of that.

    A target may lie within ``source``. Raises ValueError where two outputs would have one name, or an output would
    replace a source. Names and not paths: of 100,000 images these take a quarter of the memory.
    """
    if not source.is_dir():
        raise ValueError(not_found(source, "folder"))
    for target in targets:
        if target.exists() and not target.is_dir():
            raise ValueError(f"{target}: the results of a folder need a folder, and this is a file")
        if target.resolve() == source.resolve():
            raise ValueError(f"{target}: the output folder is the input folder; originals are never overwritten")
    names = name_images(source, on_error)
    for target in targets:
        names = outside(names, source, target)
    for target in targets:
        refuse_clashes(names, name, ignore_case=ignores_case(target))
        refuse_sources(names, source, target, name)
    return names


def outside(names: list[str], source: Path, target: Path) -> list[str]:
    """Those that do not lie within the target, which may lie within the source."""
    inner = target.resolve()
    if not inner.is_relative_to(source.resolve()):
        return names
    within = lru_cache(64)(lambda folder: (source / folder).resolve().is_relative_to(inner))

    def is_result(name: str) -> bool:
        if os.path.islink(source / name):
            return (source / name).resolve().is_relative_to(inner)
        return within(os.path.dirname(name))

    return [name for name in names if not is_result(name)]


def refuse_strangers(outputs: Iterable[str], target: Path, record: Record) -> None:
    """ValueError if outputs exist that no job of this program wrote: they may be somebody's originals."""
    strangers = [name for name in outputs if not record.owns(name) and os.path.lexists(os.path.join(target, name))]
    if strangers:  # or another process has written them since: each is noted before it is there
        record.refresh()
        strangers = [name for name in strangers if not record.owns(name)]
    if strangers:
        raise ValueError(
            f"{target} already contains {plural(len(strangers), 'file')} that no earlier job wrote and this one would "
            f"replace ({_few(strangers)}); choose another folder, or --overwrite"
        )


def refuse_clashes(names: Sequence[str], name: Callable[[str], str], ignore_case: bool) -> None:
    """ValueError where two sources would have one output."""
    taken: dict[str, str] = {}
    clashes = []
    for source in names:
        output = name(source)
        other = taken.setdefault(output.casefold() if ignore_case else output, source)
        if other is not source:
            clashes.append(f"{other} and {source} would both be written as {output}")
    if clashes:
        raise ValueError(f"{_few(clashes, 5, '; ')}. Rename one of each pair, or keep their formats (no --format)")


def refuse_sources(names: Sequence[str], source: Path, target: Path, name: Callable[[str], str]) -> None:
    """ValueError if an output is a source: an output folder may lead back to the sources through links.

    Paths are text here, since 100,000 of another kind take seconds.
    """
    real = cache(lambda root, folder: os.path.realpath(os.path.join(root, folder)))
    folders = {real(source, folder) for folder in set(map(os.path.dirname, names))}
    sources: set[str] | None = None
    for each in names:
        folder, output = os.path.split(name(each))
        if real(target, folder) not in folders:
            continue
        if sources is None:  # seldom: only here do the paths of all of them have to be held
            sources = {os.path.join(real(source, os.path.dirname(one)), os.path.basename(one)) for one in names}
        if os.path.join(real(target, folder), output) in sources:
            raise ValueError(
                f"{target / folder / output} is one of the images to translate; originals are never overwritten"
            )


def ignores_case(folder: Path) -> bool:
    """Whether the file system takes A and a for the same name, asked of the nearest folder that exists."""
    import tempfile  # of folders alone, and it brings much with it

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
