"""Open the source of a folder job and the folders of its results, local ones and those at URLs."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from i2i.images import ImageError
from i2i.runtime.jobs.journal import Journal
from i2i.runtime.jobs.places import LocalResults, Results, State
from i2i.runtime.jobs.planning import PlannedImage, ignores_case, plan, refuse_clashes
from i2i.text import is_url

if TYPE_CHECKING:
    from i2i.runtime.jobs.remote.source import RemoteSource

AHEAD = 500
"""Images whose results a remote journal names at once."""
TRANSFERS = 16
"""Threads that wait for the network while others translate; each has at most one image on the local disk."""

Name = Callable[[str], str]


@contextmanager
def opened(source: Path | str, targets: Sequence[Path | str]) -> Iterator[JobPlaces]:
    """Open them for a job; at the end delete the local copies of remote files.

    Raises RemoteError for a URL that cannot be opened, and ImportError where fsspec is not installed.
    """
    source, targets = _local(source), [_local(target) for target in targets]
    if isinstance(source, Path) and all(isinstance(target, Path) for target in targets):
        yield JobPlaces(source, [LocalResults(Path(target)) for target in targets])
        return
    from i2i.runtime.jobs.remote.results import RemoteResults
    from i2i.runtime.jobs.remote.source import RemoteSource
    from i2i.runtime.jobs.remote.staging import staging

    with staging() as stage:
        results: list[Results] = [
            LocalResults(target) if isinstance(target, Path) else RemoteResults(target, stage / f"out{number}")
            for number, target in enumerate(targets)
        ]
        opened = source if isinstance(source, Path) else RemoteSource(source, stage / "in")
        yield JobPlaces(opened, results, TRANSFERS)


def _local(place: Path | str) -> Path | str:
    """Return the path of a local folder, also of a ``file://`` URL; any other URL as it is."""
    if not is_url(place):
        return Path(place)
    url = re.sub("^([^:]+):/(?!/)", r"\1://", str(place))  # a Path has taken a slash
    return Path(unquote(urlsplit(url).path)) if url.lower().startswith(("file:", "local:")) else url


@dataclass
class JobPlaces:
    """The source and the folders of results of a job."""

    source: Path | RemoteSource
    results: list[Results]
    transfers: int = 0  # threads that the job needs more, to wait for the network

    @property
    def folder(self) -> str:
        """The source as an absolute path or a URL."""
        return os.path.abspath(self.source) if isinstance(self.source, Path) else str(self.source)

    def plan(self, name: Name, on_error: Callable[[ImageError], None]) -> list[str]:
        """Return the names of all images of the source; see :func:`i2i.runtime.jobs.planning.plan`.

        Raises ValueError before any work if results clash or a source would be replaced.
        """
        local = [results.path for results in self.results if isinstance(results, LocalResults)]
        if isinstance(self.source, Path):
            names = plan(self.source, local, name, on_error)
        else:
            names = self.source.names(on_error)
            for folder in local:
                if folder.exists() and not folder.is_dir():
                    raise ValueError(f"{folder}: the results of a folder need a folder, and this is a file")
                refuse_clashes(names, name, ignores_case(folder))
        for results in self.results:
            if not isinstance(results, LocalResults):
                names = _apart(names, str(self.source), str(results), name)
                refuse_clashes(names, name, ignore_case=False)
        return names

    def images(
        self, names: Iterable[str], journals: Sequence[Journal], name: Name, ahead: int = AHEAD
    ) -> Iterator[PlannedImage]:
        """Yield the images to translate; before each ``ahead`` of them, name their results in the journals."""
        if not journals:
            yield from (self.image(each, name) for each in names)
            return
        todo = iter(names)
        with ThreadPoolExecutor(TRANSFERS) as threads:
            while images := [self.image(each, name) for each in islice(todo, ahead)]:
                states = list(threads.map(_state, images))
                for journal in journals:
                    for image, state in zip(images, states, strict=True):
                        if state is not None and not journal.is_done(image.name, state):
                            journal.begin(image.name, state)
                    journal.sync()
                yield from images

    def image(self, each: str, name: Name) -> PlannedImage:
        """Return the image of a relative name."""
        if isinstance(self.source, Path):
            return PlannedImage(self.source / each, name(each))
        return self.source.image(each, name(each))


def _state(image: PlannedImage) -> State | None:
    """Return the state of a source; None if there is an error, which the thread that translates it meets again."""
    with suppress(OSError, ImageError):
        return image.state()
    return None


def _apart(names: list[str], source: str, results: str, name: Name) -> list[str]:
    """Return the names without those of results below the source. Raises ValueError if a source would be replaced."""
    if results == source:
        raise ValueError(f"{results}: the output folder is the input folder; originals are never overwritten")
    below_source, below_results = _below(source), _below(results)
    if results.startswith(below_source):
        inner = results[len(below_source) :] + "/"
        return [each for each in names if not each.startswith(inner)]
    if source.startswith(below_results):
        inner, sources = source[len(below_results) :] + "/", set(names)
        for each in map(name, names):
            if each.startswith(inner) and each[len(inner) :] in sources:
                original = below_results + each
                raise ValueError(f"{original} is one of the files to translate; originals are never overwritten")
    return names


def _below(folder: str) -> str:
    """Return what the URLs of the files in a folder begin with."""
    return folder if folder.endswith("/") else f"{folder}/"
