"""Results in a remote folder: written to a local file, put, and deleted here."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from pathlib import Path

from i2i.images import ImageError
from i2i.runtime.jobs.image_file import StoppedError
from i2i.runtime.jobs.places import Lines, State, in_order, journal_of, part_of
from i2i.runtime.jobs.remote.location import Location, RemoteError, concerns_all, sentence

_AT_ONCE = 16  # parts of a journal that are read together


class RemoteResults:
    """A folder at a URL. What it contains is listed when its journal is read, so that no result costs a request."""

    ahead = True

    def __init__(self, url: str, path: Path) -> None:
        """Open it; results are written in the local folder ``path``. Raises RemoteError."""
        self.location, self.path = Location(url), path
        if not self.location.writable:
            raise RemoteError(f"{url}: results cannot be written there; choose a bucket or a local folder")
        self._found: dict[str, State] = {}

    def __str__(self) -> str:
        return str(self.location)

    def state(self, name: str) -> State | None:
        return self._found.get(name)

    def exists(self, name: str) -> bool:
        return name in self._found

    def latest(self, name: str) -> State | None:
        """Ask for the state of a result. Raises ImageError if that fails."""
        try:
            return self.location.state(f"{self.location.root}/{name}")
        except FileNotFoundError:
            return None
        except Exception as error:
            raise ImageError(self.location.shown(name), sentence(error)) from error

    def put(self, name: str) -> None:
        """Upload a result and delete the local file."""
        file = self.path / name
        try:
            size = file.stat().st_size
            self.location.put(str(file), name)
        except Exception as error:
            shown = self.location.shown(name)
            if concerns_all(error):
                raise StoppedError(
                    None, f"{sentence(error)}: stopped here; run the same command again to go on", shown
                ) from error
            raise ImageError(shown, sentence(error)) from error
        finally:
            with suppress(OSError):
                file.unlink()
        self._found[name] = State(size, 0)

    def journals(self, kind: str) -> Iterator[tuple[str, Iterable[bytes]]]:
        """List the folder; yield the parts of the journal, each downloaded when it is read."""
        self._found = {name: state or State(-1, 0) for name, _, state in self.location.walk(missing=True)}
        parts = iter(in_order(self._found, kind))
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            while names := list(islice(parts, _AT_ONCE)):
                data = threads.map(self.location.read, (f"{self.location.root}/{name}" for name in names))
                for name, part in zip(names, data, strict=True):
                    yield journal_of(name), part.splitlines()

    def open_journal(self, name: str, folders: Iterable[str]) -> Lines:
        return _RemoteLines(self.location, name)


class _RemoteLines:
    """Lines that are written as parts, since an object cannot be appended to."""

    def __init__(self, location: Location, name: str) -> None:
        self._location, self._name = location, name
        self._waiting: list[bytes] = []
        self._last = 0

    def write(self, line: bytes) -> None:
        self._waiting.append(line)

    def sync(self) -> None:
        if self._waiting:
            self._last = max(time.time_ns(), self._last + 1)
            self._location.write(part_of(self._name, self._last), b"".join(self._waiting))
            self._waiting.clear()

    def close(self) -> None:
        self.sync()
