"""Request bodies, read within limits of size, time and memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from i2i.serving.problems import ProblemError, overloaded
from i2i.text import plural

GRACE = 20.0
"""Seconds that a body may take in any case."""
LEAST_RATE = 16_384
"""Bytes of a body per second, after which it may take longer."""

MULTIPART = "multipart/form-data"
_FIELDS, _FIELD_BYTES = 32, 4096


class Part(NamedTuple):
    """A file of a request; ``field`` is that of a form, ``name`` what the client calls it."""

    field: str
    name: str
    data: bytes


class Memory:
    """Bytes of all bodies that are in memory, within a limit."""

    def __init__(self, most: int) -> None:
        self.most, self.used = most, 0

    @contextmanager
    def held(self) -> Iterator[Held]:
        """Count the bytes of one request within the block."""
        held = Held(self)
        try:
            yield held
        finally:
            self.used -= held.bytes


class Held:
    """Bytes of one request's body."""

    def __init__(self, memory: Memory) -> None:
        self._memory, self.bytes = memory, 0

    def add(self, count: int) -> None:
        """Count more bytes. Raises ProblemError 503 if the memory for bodies is full."""
        if self._memory.used + count > self._memory.most:
            raise overloaded("the memory for request bodies is full; try again in 1 s", 1, status=503)
        self._memory.used += count
        self.bytes += count


async def chunks(request: Request, limit: int, held: Held | None = None) -> AsyncGenerator[bytes, None]:
    """Yield a body's parts as they come.

    Raises ProblemError 413 beyond ``limit`` bytes, 408 for a client that is too slow, 415 for a compressed body, and
    ClientDisconnect.
    """
    if request.headers.get("content-encoding", "identity") != "identity":
        raise ProblemError(415, "compressed bodies are not read; send the file as it is")
    if int(request.headers.get("content-length", 0)) > limit:
        raise _too_large(limit)
    start, received, parts = time.monotonic(), 0, request.stream()
    while True:
        left = start + GRACE + received / LEAST_RATE - time.monotonic()
        try:
            async with asyncio.timeout(max(0.0, left)):
                part = await anext(parts)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            detail = f"the body came at less than {LEAST_RATE // 1024} KiB a second"
            raise ProblemError(408, detail, {"Connection": "close"}) from error
        received += len(part)
        if received > limit:
            raise _too_large(limit)
        if held is not None:
            held.add(len(part))
        if part:
            yield part


async def read(request: Request, limit: int, held: Held) -> bytes:
    """Return the whole body. Raises as ``chunks``."""
    return b"".join([part async for part in chunks(request, limit, held)])


async def read_form(request: Request, limit: int, held: Held, most: int) -> tuple[dict[str, str], list[Part]]:
    """Return the fields and the files of a multipart body, which stays in memory.

    Raises ProblemError 400 for a malformed one, 413 for more than ``most`` files, and as ``chunks``.
    """

    class InMemory(MultiPartParser):
        spool_max_size = limit + 1

    parser = InMemory(
        request.headers, chunks(request, limit, held), max_files=most, max_fields=_FIELDS, max_part_size=_FIELD_BYTES
    )
    try:
        form: FormData = await parser.parse()
    except MultiPartException as error:
        status = 413 if error.message.startswith("Too many files") else 400
        raise ProblemError(status, f"the multipart body cannot be read: {error.message}") from error
    try:
        fields = {key: value for key, value in form.multi_items() if isinstance(value, str)}
        uploads = [(key, value) for key, value in form.multi_items() if isinstance(value, UploadFile)]
        return fields, [Part(key, value.filename or "", await value.read()) for key, value in uploads]
    finally:
        await form.close()


def _too_large(limit: int) -> ProblemError:
    return ProblemError(413, f"the body is larger than the limit of {plural(limit, 'byte')}")


__all__ = ["MULTIPART", "ClientDisconnect", "Held", "Memory", "Part", "chunks", "read", "read_form"]
