"""A remote folder: its files listed, fetched and put, with retries, and every failure as one sentence."""

from __future__ import annotations

import hashlib
import posixpath
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NoReturn
from urllib.parse import unquote

from i2i.errors import MAY_PASS, I2IError
from i2i.images import ImageError
from i2i.runtime.jobs.places import State

WAITS = (0.2, 1.0)
"""Seconds before a second and a third attempt where the network may be at fault."""

_ATOMIC = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "oci", "memory"}
"""Protocols whose objects appear only when they are complete; elsewhere a file gets its name when it is."""
_READ_ONLY = {"http", "https", "github", "zip", "tar"}
_TAGS = ("ETag", "etag", "Content-MD5", "content_hash", "md5Hash", "generation")
_TIMES: tuple[str, ...] = ("LastModified", "last_modified", "Last-Modified", "mtime", "updated", "modified", "created")
_TIMES += ("creation_time", "modify", "modificationTime")  # the last two of FTP and of WebHDFS
_FINAL: tuple[type[Exception], ...] = (FileNotFoundError, PermissionError, FileExistsError)
_FINAL += (IsADirectoryError, NotADirectoryError, ValueError, NotImplementedError)


class RemoteError(I2IError):
    """A remote folder that cannot be opened, listed or written; the message begins with its URL."""


class UnreachableError(RemoteError):
    """A remote folder that cannot be reached now, and may be later."""

    exit_status = MAY_PASS


class Location:
    """A folder at a URL, such as ``s3://bucket/in/``."""

    def __init__(self, url: str) -> None:
        """Open it. Raises ImportError without fsspec, and RemoteError if the protocol or its package is missing."""
        from fsspec.core import url_to_fs

        self.url = re.sub("(?<![:/])/+$", "", url)  # the slashes of "memory://" stay
        try:
            # Listings are not cached: they would keep a kilobyte in memory for each file.
            self._files, root = url_to_fs(self.url, use_listings_cache=False, skip_instance_cache=True)
        except ImportError as error:
            package = f"{error}".rstrip(". ")
            raise RemoteError(f'{url}: {package}; `pip install "i2i[remote]"` covers s3 and http') from error
        except Exception as error:
            self._refuse(error)
        self.root = root.rstrip("/")
        protocol = self._files.protocol
        protocols = {protocol} if isinstance(protocol, str) else set(protocol)
        self.writable = not protocols & _READ_ONLY
        self._atomic, self._web = bool(protocols & _ATOMIC), "http" in protocols
        # fsspec's FTP has one connection, which carries one command after another.
        self._turn: AbstractContextManager[object] = threading.Lock() if "ftp" in protocols else nullcontext()

    def __str__(self) -> str:
        return self.url

    def shown(self, name: str) -> str:
        """Return the URL of a file, for messages."""
        return f"{self.url.rstrip('/')}/{name}" if not self.url.endswith("://") else self.url + name

    def walk(self, missing: bool = False) -> Iterator[tuple[str, str, State | None]]:
        """Yield the relative name, the remote path and the state of every file below; the state where a listing has it.

        A folder without a name, as in a key with "//", is yielded as a name that ends in "/".

        Raises RemoteError if the folder cannot be listed, or is not there, unless it may be ``missing``.
        """
        folders, seen = [self.root], {self.root}
        while folders:
            folder = folders.pop()
            for entry in self._entries(folder, missing):
                path = entry["name"].rstrip("/")
                if not path.startswith(folder + "/"):  # the folder itself, or a page's link to another place
                    if entry["type"] == "directory" and entry["name"] == folder + "/" and not self._web:
                        state = _state(entry)
                        if state is None or not state.time:  # else an object that stands for the folder
                            yield entry["name"][len(self.root) + 1 :] + "/", entry["name"], None
                    continue
                if entry["type"] == "directory":
                    if path not in seen:
                        seen.add(path)
                        folders.append(path)
                elif entry["name"] == path:
                    name = path[len(self.root) + 1 :]
                    yield unquote(name) if self._web else name, path, _state(entry)

    def _entries(self, folder: str, missing: bool) -> list[dict[str, Any]]:
        """Return the entries of one folder; none of one that is gone, or that may be ``missing``."""
        try:
            entries = self._attempt(self._files.ls, folder + "/" * self._web, detail=True)
        except FileNotFoundError as error:
            if folder != self.root or (missing and "bucket does not exist" not in str(error)):
                return []
            self._refuse(error)
        except Exception as error:
            self._refuse(error)
        if folder == self.root and any(entry["name"] == folder and entry["type"] == "file" for entry in entries):
            raise RemoteError(f"{self.url}: a file, and a folder is expected")
        return entries

    def state(self, path: str) -> State:
        """Return the state of one file. Raises whatever the file system does."""
        found = _state(self._attempt(self._files.info, path))
        return State(-1, 0) if found is None else found

    def fetch(self, path: str, local: str) -> None:
        """Download a file. Raises whatever the file system does."""
        self._attempt(self._files.get_file, path, local)

    def put(self, local: str, name: str) -> None:
        """Upload a file, whole or not at all. Raises whatever the file system does."""
        self._written(name, lambda path: self._attempt(self._files.put_file, local, path))

    def write(self, name: str, data: bytes) -> None:
        """Write a file, as ``put`` does. Raises RemoteError."""
        try:
            self._written(name, lambda path: self._attempt(self._files.pipe_file, path, data))
        except Exception as error:
            self._refuse(error)

    def read(self, path: str) -> bytes:
        """Return the bytes of a file. Raises RemoteError."""
        try:
            return self._attempt(self._files.cat_file, path)
        except Exception as error:
            self._refuse(error)

    def _attempt(self, call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        with self._turn:
            return attempt(call, *arguments, **options)

    def _written(self, name: str, write: Callable[[str], object]) -> None:
        path = f"{self.root}/{name}"
        if self._atomic:
            write(path)
            return
        self._attempt(self._files.makedirs, posixpath.dirname(path), exist_ok=True)
        temporary = f"{posixpath.dirname(path)}/.i2i-{hashlib.sha256(name.encode()).hexdigest()[:16]}.part"
        write(temporary)
        if self._attempt(self._files.exists, path):  # over SMB and WebHDFS renaming replaces nothing
            self._attempt(self._files.rm_file, path)
        self._attempt(self._files.mv, temporary, path)
        if self._attempt(self._files.exists, temporary):  # WebHDFS answers without an error
            raise OSError(f"it was uploaded as {posixpath.basename(temporary)}, and the store has not renamed it")

    def _refuse(self, error: BaseException) -> NoReturn:
        kind = UnreachableError if may_pass(error) else RemoteError
        raise kind(f"{self.url}: {sentence(error)}") from error


def read_file(url: str) -> bytes:
    """Return the bytes of one file at a URL. Raises ImageError."""
    import fsspec

    def read() -> bytes:
        with fsspec.open(url, "rb") as file:
            return bytes(file.read())

    try:
        return bytes(attempt(read))
    except MemoryError:
        raise
    except Exception as error:
        if isinstance(error, ImportError) and error.name == "fsspec":
            raise
        raise ImageError(url, sentence(error)) from error


def attempt(call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Call a function of a file system; twice more if it fails and may succeed later."""
    for wait in (*WAITS, None):
        try:
            return call(*arguments, **options)
        except Exception as error:
            # S3's own client has tried to connect often enough.
            if wait is None or not may_pass(error) or type(error).__name__ == "EndpointConnectionError":
                raise
        time.sleep(wait)


def may_pass(error: BaseException) -> bool:
    """True for an error such as a connection that was closed; False for one that another attempt would meet too."""
    status = getattr(error, "status", None)
    if isinstance(status, int):  # of aiohttp
        return status >= 500 or status in (408, 429)
    return not (isinstance(error, _FINAL) or type(error).__name__ == "NoCredentialsError")


def concerns_all(error: BaseException) -> bool:
    """True for an error that every other file of the same folder would meet."""
    kinds = (PermissionError, FileNotFoundError, ConnectionError, TimeoutError)
    name = type(error).__name__
    return isinstance(error, kinds) or "Connect" in name or "Timeout" in name or "Credentials" in name


def sentence(error: BaseException) -> str:
    """Return an error of a file system in one sentence, without the name of the file."""
    status = getattr(error, "status", None)
    text = (str(error).splitlines() or [""])[0].rstrip(".")
    if isinstance(status, int):
        denied = " (access denied)" if status in (401, 403) else ""
        return f"HTTP status {status} {getattr(error, 'message', '')}".rstrip() + denied
    if isinstance(error, FileNotFoundError):
        return f"not found: {text}" if "does not exist" in text else "not found"
    if isinstance(error, PermissionError):
        return f"access denied: {text}" if text else "access denied"
    if isinstance(error, NotImplementedError):
        return "this protocol cannot do that"
    if type(error).__name__ == "NoCredentialsError":
        return "no credentials were found; set them as other programs of this store take them (docs/folders.md)"
    return text or type(error).__name__


def _state(entry: dict[str, Any]) -> State | None:
    """Return the state of a file from its entry in a listing; None if that has no size."""
    if entry.get("size") is None:
        return None
    when = next((str(entry[key]) for key in _TIMES if entry.get(key) is not None), "")
    tag = next((str(entry[key]) for key in _TAGS if entry.get(key) is not None), when)
    return State(int(entry["size"]), _digest(when + tag), _digest(tag))


def _digest(text: str) -> int:
    """Return a number of 63 bits; 0 for no text."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1 if text else 0
