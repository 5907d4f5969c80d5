"""Plan the work: the name and the format of every result, decided once and before any image is decoded."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple, Protocol

from i2i.images import IMAGE_SUFFIXES, WRITABLE, Header, ImageError, format_of, name_images
from i2i.runtime.jobs.options import Options, output_name
from i2i.runtime.jobs.places import Results, State
from i2i.runtime.model.model import Model
from i2i.text import not_found, plural

if TYPE_CHECKING:
    from i2i.runtime.jobs.journal import Journal


@dataclass(frozen=True)
class ImageTask:
    """One image file to translate to another."""

    source: Path
    target: Path
    format: str  # of the target, a key of ``images.WRITABLE``
    header: Header  # of the source


class Notes(Protocol):
    """Journal as the threads of a job use it."""

    def is_done(self, name: str, source: State) -> bool:
        """True if the result exists and comes from the same source, model and settings."""

    def begin(self, name: str, source: State) -> None:
        """Note that a result is about to be written."""

    def done(self, name: str, source: State) -> None:
        """Note that a result is complete."""


@dataclass
class JobTarget:
    """One model of a folder job, the folder of its results and the journal in it."""

    model: Model
    results: Results
    journal: Notes

    @property
    def folder(self) -> Path:
        """Local folder in which results are written."""
        return self.results.path


@dataclass
class FolderTarget(JobTarget):
    """One model of a folder job with the journal of the whole folder."""

    journal: Journal


class SourceFile(Protocol):
    """An image that is not a file of this machine."""

    name: str
    """Name within the folder of the job, with "/"."""

    def state(self) -> State:
        """Return what identifies its version. Raises ImageError if it cannot be asked for."""

    def fetched(self) -> AbstractContextManager[Path]:
        """Return a context with the file on this machine. Raises ImageError if it cannot be fetched."""


class PlannedImage(NamedTuple):
    """An image of a folder job, for all of its models."""

    source: Path | str  # a URL is text
    name: str  # of the result, relative to the folder of each target, with "/"
    problem: str = ""  # the reason not to translate it
    remote: SourceFile | None = None

    def state(self) -> State:
        """Return what identifies the version of the source. Raises OSError or ImageError."""
        return State.of(os.stat(self.source)) if self.remote is None else self.remote.state()

    def fetched(self) -> AbstractContextManager[Path]:
        """Return a context with the source as a local file."""
        return nullcontext(Path(self.source)) if self.remote is None else self.remote.fetched()

    @property
    def relative(self) -> PurePath:
        """Name of the source within the folder of the job: its result lies in the same folder of its own tree."""
        if self.remote is not None:
            return PurePosixPath(self.remote.name)
        return PurePosixPath(self.name).parent / Path(self.source).name


def image_task(source: Path, target: Path, options: Options, header: Header) -> ImageTask:
    """Return the task for a source with that header. Raises ValueError as :func:`output_format` does."""
    return ImageTask(source, target, output_format(source, target, header.format, options), header)


def output_format(source: Path, target: Path, read: str, options: Options) -> str:
    """Return the format of the result for a source of the format ``read``.

    It is that of the source where the suffix stays the same, even if that suffix belongs to another format; else that
    of the target's suffix. With ``options.format`` the target's name may have any suffix that is no image's.

    Raises ValueError if the suffix names no format that can be written, or another than ``options.format``.
    """
    if options.format is None and target.suffix == source.suffix and read in WRITABLE:
        return read
    try:
        named = format_of(target)
    except ImageError as error:
        if options.format is not None and target.suffix.lower() not in IMAGE_SUFFIXES:
            return options.format
        raise ValueError(str(error)) from error
    if options.format not in (None, named):
        raise ValueError(f"{target} is the name of a {named} file, and {options.format} is asked for: leave one out")
    return named


def plan(
    source: Path,
    targets: Sequence[Path],
    name: Callable[[str], str] = output_name,
    on_error: Callable[[ImageError], None] | None = None,
    listed: Callable[[Path, Callable[[ImageError], None] | None], list[str]] = name_images,
) -> list[str]:
    """Return the relative names of all images under ``source``; ``name`` gives the name of the result of each.

    ``listed`` finds the files, by default images. A target may lie within ``source``. Names are text, since 100,000
    paths would take four times the memory.

    Raises ValueError if two results would have the same name, or a result would replace a source.
    """
    if not source.is_dir():
        raise ValueError(not_found(source, "folder"))
    for target in targets:
        if target.exists() and not target.is_dir():
            raise ValueError(f"{target}: the results of a folder need a folder, and this is a file")
        if target.resolve() == source.resolve():
            raise ValueError(f"{target}: the output folder is the input folder; originals are never overwritten")
    names = listed(source, on_error)
    for target in targets:
        names = without_results(names, source, target)
    for target in targets:
        refuse_clashes(names, name, ignore_case=ignores_case(target))
        refuse_sources(names, source, target, name)
    return names


def without_results(names: list[str], source: Path, target: Path) -> list[str]:
    """Return the names that do not lie in the target folder, which may lie within the source folder."""
    inner = target.resolve()
    if not inner.is_relative_to(source.resolve()):
        return names
    within = lru_cache(64)(lambda folder: (source / folder).resolve().is_relative_to(inner))

    def is_result(name: str) -> bool:
        if os.path.islink(source / name):
            return (source / name).resolve().is_relative_to(inner)
        return within(os.path.dirname(name))

    return [name for name in names if not is_result(name)]


def refuse_unknown_files(outputs: Iterable[str], results: Results, journal: Journal) -> None:
    """Raise ValueError if outputs exist that no job wrote: they may be originals."""
    unknown = [name for name in outputs if not journal.owns(name) and results.exists(name)]
    if unknown:  # unless another process wrote them since the journal was read: each has a line before it exists
        journal.refresh()
        unknown = [name for name in unknown if not journal.owns(name)]
    if unknown:
        raise ValueError(
            f"{results} already contains {plural(len(unknown), 'file')} that would be replaced and that no "
            f"earlier job wrote ({_few(unknown)}); choose another folder, or --overwrite"
        )


def refuse_clashes(names: Sequence[str], name: Callable[[str], str], ignore_case: bool) -> None:
    """Raise ValueError if two sources would have the same result."""
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
    """Raise ValueError if a result would replace a source, to which a link in the output folder may lead.

    Paths are text here, since 100,000 ``Path`` objects take seconds.
    """
    real = cache(lambda root, folder: os.path.realpath(os.path.join(root, folder)))
    folders = {real(source, folder) for folder in set(map(os.path.dirname, names))}
    sources: set[str] | None = None
    for each in names:
        folder, output = os.path.split(name(each))
        if real(target, folder) not in folders:
            continue
        if sources is None:  # rare, so the paths of all sources are made only here
            sources = {os.path.join(real(source, os.path.dirname(one)), os.path.basename(one)) for one in names}
        if os.path.join(real(target, folder), output) in sources:
            raise ValueError(
                f"{target / folder / output} is one of the files to translate; originals are never overwritten"
            )


def ignores_case(folder: Path) -> bool:
    """True if the file system of the folder, or of its nearest parent that exists, takes A and a for the same name."""
    import tempfile  # slow to import, and only folder jobs need it

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
