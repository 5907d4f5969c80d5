"""Images of a remote folder, each fetched when a thread takes it and deleted afterwards."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from i2i.images import IMAGE_SUFFIXES, ImageError
from i2i.runtime.jobs.image_file import stop_if_full
from i2i.runtime.jobs.places import State
from i2i.runtime.jobs.planning import PlannedImage
from i2i.runtime.jobs.remote.location import Location, sentence


class RemoteSource:
    """The images of a folder at a URL."""

    def __init__(self, url: str, stage: Path) -> None:
        """Open it; ``stage`` is a local folder for the files in work."""
        self.location, self.stage = Location(url), stage
        self._numbers = itertools.count()
        self._files: dict[str, State | None] = {}
        self._paths: dict[str, str] = {}  # of the names that are not a part of them

    def __str__(self) -> str:
        return str(self.location)

    def names(self, on_error: Callable[[ImageError], None]) -> list[str]:
        """Return the sorted names of the images, as ``images.name_images`` does.

        Names that cannot be those of files in a folder are errors. Raises RemoteError if the folder cannot be listed.
        """
        self._files.clear()
        for name, path, state in self.location.walk():
            parts = name.split("/")
            if not name.endswith("/") and PurePosixPath(name).suffix.lower() not in IMAGE_SUFFIXES:
                continue
            if any(part in ("", ".", "..") or "\0" in part or os.sep in part for part in parts):
                on_error(ImageError(self.location.shown(name), "no folder can contain a file of this name; rename it"))
            elif not any(part.startswith(".") for part in parts):
                self._files[name] = state
                if path != f"{self.location.root}/{name}":
                    self._paths[name] = path
        return sorted(self._files)

    def path(self, name: str) -> str:
        """Return the path of an image in the remote file system."""
        return self._paths.get(name, f"{self.location.root}/{name}")

    def know(self, name: str, path: str, state: State) -> None:
        """Add an image that another process has listed."""
        self._files[name], self._paths[name] = state, path

    def forget(self) -> None:
        """Forget all images."""
        self._files.clear()
        self._paths.clear()

    def image(self, name: str, output: str) -> PlannedImage:
        """Return an image of the job whose result is called ``output``."""
        path = self.path(name)
        file = RemoteFile(name, self.location, path, self._files.get(name), self.stage, next(self._numbers))
        return PlannedImage(self.location.shown(name), output, remote=file)


@dataclass
class RemoteFile:
    """One image of a remote folder."""

    name: str
    location: Location
    path: str  # in the remote file system
    known: State | None  # from the listing
    stage: Path
    number: int

    def state(self) -> State:
        """Return its state, asked for where the listing had none. Raises ImageError."""
        if self.known is None:
            try:
                self.known = self.location.state(self.path)
            except Exception as error:
                raise ImageError(self.location.shown(self.name), sentence(error)) from error
        return self.known

    @contextmanager
    def fetched(self) -> Iterator[Path]:
        """Download it, under its own name in a folder of its own; delete both at the end.

        Raises ImageError, or StoppedError where this machine has no room for it.
        """
        folder = self.stage / f"{self.number}"
        file = folder / PurePosixPath(self.name).name
        try:
            self._download(file)
            yield file
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _download(self, file: Path) -> None:
        try:
            file.parent.mkdir(parents=True)
            self.location.fetch(self.path, os.fspath(file))
        except MemoryError:
            raise
        except Exception as error:
            stop_if_full(error, file.parent)
            raise ImageError(self.location.shown(self.name), sentence(error)) from error
