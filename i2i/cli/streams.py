"""Standard streams that may be closed or full.

Text that cannot be printed is dropped, so that a job never fails for its messages: cron, services, ``pythonw`` and
frozen programs have no streams, and the disk of a log can be full. A result that goes to standard output is written by
``output()``, which fails loudly.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO, TextIO

OUTPUT = "standard output"


class StreamError(ValueError):
    """A standard stream is closed, or refuses the bytes of a result."""

    exit_status = 1


class Lossy(io.RawIOBase):
    """A byte stream that drops what cannot be written; ``lost`` is the first error, or None."""

    def __init__(self, stream: TextIO | None) -> None:
        buffer = getattr(stream, "buffer", None)
        # Below the buffer: bytes left in it after an error would fail again when Python exits.
        self.target: BinaryIO | None = getattr(buffer, "raw", buffer)
        self.lost: OSError | None = None

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self.target is not None and self.target.isatty()

    def fileno(self) -> int:
        if self.target is None:
            raise io.UnsupportedOperation("this stream is closed and has no file number")
        return self.target.fileno()

    def write(self, data: Any) -> int:
        if self.target is not None:
            try:
                write_all(self.target, data)
            except OSError as error:
                self.lost = self.lost or error
        return len(data)


class Output:
    """Standard output for a result: a write that fails raises StreamError."""

    def __init__(self, target: BinaryIO) -> None:
        self.target = target

    def write(self, data: Any) -> int:
        try:
            write_all(self.target, data)
        except OSError as error:
            raise StreamError(f"{OUTPUT}: {error.strerror or error}") from error
        return len(data)

    def flush(self) -> None:
        """Nothing: no write is buffered."""


def write_all(target: BinaryIO, data: Any) -> None:
    """Write all bytes, in as many calls as the system needs."""
    rest = memoryview(data).cast("B")
    while rest:
        rest = rest[target.write(rest) or 0 :]
    target.flush()


@contextmanager
def protected() -> Iterator[None]:
    """Replace the standard streams by some that never fail, and report at the end what standard output lost."""
    before = sys.stdin, sys.stdout, sys.stderr
    _occupy()
    for stream in before[1:]:
        if stream is not None:
            _flush(stream)
    output, errors = _text(sys.stdout), _text(sys.stderr)
    sys.stdin, sys.stdout, sys.stderr = sys.stdin or io.StringIO(), output or sys.stdout, errors or sys.stderr
    try:
        yield
    finally:
        lost = output.buffer.lost if output is not None else None  # type: ignore[attr-defined]
        if lost is not None and not isinstance(lost, BrokenPipeError):  # the reader, `head` say, has read enough
            sys.stderr.write(f"warning: {OUTPUT}: {lost.strerror}; the text written to it is lost\n")
        sys.stdin, sys.stdout, sys.stderr = before


def input() -> BinaryIO:
    """Return standard input as bytes. Raises StreamError if it is closed."""
    if not hasattr(sys.stdin, "buffer"):
        raise StreamError("standard input: not open")
    return sys.stdin.buffer


def output() -> BinaryIO:
    """Return standard output for a result's bytes. Raises ValueError for a terminal, StreamError if it is closed."""
    if sys.stdout.isatty():
        raise ValueError("a terminal cannot show the result: redirect it with > or |, or name a DST")
    target = getattr(sys.stdout, "buffer", None)
    target = target.target if isinstance(target, Lossy) else target
    if target is None:
        raise StreamError(f"{OUTPUT}: not open")
    return Output(target)  # type: ignore[return-value]


def _occupy() -> None:
    """Open the null device as each of the files 0 to 2 that is closed, or the next file opened would take its number
    and receive what libraries print."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _flush(stream: TextIO) -> None:
    with suppress(OSError):
        stream.flush()


def _text(stream: TextIO | None) -> TextIO | None:
    """Return a text stream on a ``Lossy`` one; None for a host's stream that has no byte stream below."""
    if stream is not None and not hasattr(stream, "buffer"):
        return None
    encoding, errors = getattr(stream, "encoding", "utf-8"), getattr(stream, "errors", "backslashreplace")
    return io.TextIOWrapper(Lossy(stream), encoding, errors, line_buffering=True, write_through=True)  # type: ignore[type-var]
