"""One connection, with limits that uvicorn leaves to a proxy.

They concern the time and size of a request's head, the time in which a client takes its answer, and the number of
connections.
"""

from __future__ import annotations

import json
from asyncio import AbstractEventLoop, BaseTransport, TimerHandle
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from i2i.serving.problems import ProblemError

HEAD_SECONDS = 10.0
"""Time from the connection, or the first byte of a further request, to the end of a request's head."""
HEAD_BYTES = 65_536
JOINED_BYTES = 65_536
"""Size of a write up to which it is joined with others."""
LAST_SECONDS = 0.5
"""Time for which an idle connection of a service that stops may still send a request."""
STALLED_SECONDS = 30.0
"""Time for which a client may take nothing of an answer that is larger than the buffers in between."""


class JoinedWrites:
    """A transport whose small writes within one turn of the event loop go out together.

    uvicorn writes the head and the body of an answer apart, which takes two system calls, and wakes the client twice.
    """

    def __init__(self, transport: BaseTransport, loop: AbstractEventLoop) -> None:
        self._transport: Any = transport
        self._loop, self._parts = loop, list[bytes]()
        self._written = 0

    @property
    def taken(self) -> int:
        """Bytes that the system has taken of all that were written."""
        return self._written - self._transport.get_write_buffer_size()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write soon; data that are too large to be copied at once."""
        if len(data) > JOINED_BYTES:
            self._flush()
            self._send(data)
            return
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(data)

    def close(self) -> None:
        """Close after what has been written."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        parts, self._parts = self._parts, []
        if parts and not self._transport.is_closing():
            self._send(b"".join(parts))

    def _send(self, data: bytes) -> None:
        self._written += len(data)
        self._transport.write(data)


def limited(most: int) -> Callable[..., HttpToolsProtocol]:
    """Return a factory of connections that refuses more than ``most`` at once."""

    def make(**given: Any) -> LimitedConnection:
        return LimitedConnection(most, **given)

    return make


class LimitedConnection(HttpToolsProtocol):
    """A connection of uvicorn that ends slow and excessive clients."""

    def __init__(self, most: int, **given: Any) -> None:
        super().__init__(**given)
        self._most = most
        self._in_head, self._head, self._last = False, 0, False
        self._beside = 0  # bytes since the last one of a body: its frame, and trailers
        self._writes: JoinedWrites
        self._timer: TimerHandle | None = None  # for the head of a request
        self._stalled: TimerHandle | None = None  # for the answer

    def connection_made(self, transport: BaseTransport) -> None:
        self._writes = JoinedWrites(transport, self.loop)
        super().connection_made(self._writes)  # type: ignore[arg-type]
        if len(self.connections) > self._most:
            self._refuse(ProblemError(503, "too many connections", {"Retry-After": "1"}))
            return
        self._wait(HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        self._beside += len(data)
        super().data_received(data)
        if self._in_head:
            self._head += len(data)
        if self._head > HEAD_BYTES or self._beside > HEAD_BYTES:
            self._refuse(
                ProblemError(431, f"a request's head is limited to {HEAD_BYTES // 1024} KiB, and so are its trailers")
            )

    def on_message_begin(self) -> None:
        self._in_head, self._head, self._beside = True, 0, 0
        self._wait(HEAD_SECONDS)
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # else a trailer, which nothing here reads
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head, self._head, self._beside = False, 0, 0
        self._stop_waiting()
        super().on_headers_complete()
        if self._last:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self._beside = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._beside = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete:  # else the next request was pipelined
            self._wait(self.timeout_keep_alive)  # which uvicorn waits only until any byte comes
        if self.transport.get_write_buffer_size() and self._stalled is None:  # too little to pause writing
            self._watch_answer()

    def shutdown(self) -> None:
        """Finish the request in work; wait a moment for one that is on its way, which is answered and not cut off."""
        self._last = True
        if self.cycle is None or self.cycle.response_complete:
            self.loop.call_later(LAST_SECONDS, self._close_if_idle)
        else:
            super().shutdown()

    def _close_if_idle(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_answer()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_watching()

    def timeout_keep_alive_handler(self) -> None:
        if not self.transport.get_write_buffer_size():
            super().timeout_keep_alive_handler()
            return
        if self._stalled is None:
            self._watch_answer()
        self._wait(self.timeout_keep_alive)

    def send_400_response(self, msg: str) -> None:
        self._refuse(ProblemError(400, "not a request of HTTP/1.1"))

    def _watch_answer(self) -> None:
        """Cut the connection once the client takes nothing for STALLED_SECONDS."""
        self._stop_watching()
        self._stalled = self.loop.call_later(STALLED_SECONDS, self._is_stalled, self._writes.taken)

    def _stop_watching(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _is_stalled(self, before: int) -> None:
        self._stalled = None
        if self._writes.taken == before:
            self.transport.abort()
        elif self.transport.get_write_buffer_size():
            self._watch_answer()

    def _wait(self, seconds: float) -> None:
        """End the connection unless the head of a request is complete within that time."""
        self._stop_waiting()
        if not self.transport.is_closing():
            self._timer = self.loop.call_later(seconds, self._is_late)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _is_late(self) -> None:
        if self._in_head:
            self._refuse(ProblemError(408, f"no whole head of a request within {HEAD_SECONDS:g} s"))
        else:
            self.timeout_keep_alive_handler()

    def _refuse(self, problem: ProblemError) -> None:
        """Answer outside the application, and close."""
        self._stop_waiting()
        body = json.dumps(problem.document()).encode()
        lines = [
            f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}",
            "Content-Type: application/problem+json",
            f"Content-Length: {len(body)}",
            "Connection: close",
            *(f"{name}: {value}" for name, value in problem.headers.items()),
        ]
        self.transport.write("\r\n".join([*lines, "", ""]).encode() + body)
        self.transport.close()
