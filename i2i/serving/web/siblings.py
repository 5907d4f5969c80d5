"""Other processes of the same service, one for each device, which are asked on sockets of their own.

All processes accept connections from one port, so that any of them may be asked about a video that another one has, and
for the metrics and the readiness of all.
"""

from __future__ import annotations

import asyncio
import http.client
import socket
from collections.abc import Iterator
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from i2i.serving.problems import ProblemError, overloaded

HEADER = "I2I-Sibling"
"""Header of requests from a sibling, which are answered for one process alone."""
_SECONDS, _CHUNK = 5.0, 1 << 16
_KEPT = ("content-type", "content-length", "content-disposition", "etag", "last-modified")


class _Connection(http.client.HTTPConnection):
    """A connection to a socket in the file system."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Siblings:
    """The processes of a service, as one of them sees the others.

    Args:
        folder: with the sockets.
        number: of this process, from 0.
        devices: of all processes.
    """

    def __init__(self, folder: Path, number: int, devices: tuple[str, ...]) -> None:
        self._folder, self.number, self._devices = folder, number, devices

    @property
    def socket_path(self) -> Path:
        """The socket on which this process answers the others."""
        return self._path(self.number)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number}.sock"

    async def ready(self, request: Request) -> bool:
        """True unless another process takes requests before it is ready."""
        return all(status == 200 for status, _ in await self._all(request, "/v2/health/ready"))

    async def metrics(self, request: Request, own: bytes) -> bytes:
        """Return the metrics of all processes, ``own`` among them, with the labels ``process`` and ``device``."""
        own = labelled(own, {"process": str(self.number), "device": self._devices[self.number]})
        others = await self._all(request, "/metrics")
        return merged([own, *(body for status, body in others if status == 200)])

    def owner(self, job: str) -> int | None:
        """Return the number of the process that has a video; None if it is this one, or the name is of none."""
        number, dash, _ = job.partition("-")
        known = bool(dash) and number.isdecimal() and int(number) < len(self._devices)
        return int(number) if known and int(number) != self.number else None

    async def relay(self, request: Request, number: int) -> Response:
        """Return the answer of another process to this request, which has no body. Raises ProblemError 503."""
        try:
            answer = await asyncio.to_thread(self._ask, number, request, request.url.path)
        except OSError as error:
            raise overloaded(
                "the process that has this video does not answer; its videos may be lost", 5, 503
            ) from error
        headers = {name: value for name, value in answer.getheaders() if name.lower() in _KEPT}
        return StreamingResponse(_chunks(answer), answer.status, headers)

    async def _all(self, request: Request, path: str) -> list[tuple[int, bytes]]:
        """Return status and body of each other process that answers; none to a request that comes from a sibling."""
        if HEADER in request.headers:
            return []

        def one(number: int) -> tuple[int, bytes] | None:
            try:
                answer = self._ask(number, request, path)
                return answer.status, answer.read()
            except (OSError, http.client.HTTPException):  # it is being started again, and takes no requests
                return None

        others = [number for number in range(len(self._devices)) if number != self.number]
        return [each for each in await asyncio.gather(*(asyncio.to_thread(one, n) for n in others)) if each]

    def _ask(self, number: int, request: Request, path: str) -> http.client.HTTPResponse:
        if HEADER in request.headers:
            raise ProblemError(404, "no such job; results are deleted after a while")
        headers = {HEADER: "1", "Host": request.headers["host"]}  # a name that is allowed, as this one was
        if token := request.headers.get("authorization"):
            headers["Authorization"] = token
        connection = _Connection(self._path(number))
        connection.request(request.method, path, headers=headers | {"Connection": "close"})
        return connection.getresponse()


def _chunks(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    while part := answer.read(_CHUNK):
        yield part


def labelled(text: bytes, labels: dict[str, str]) -> bytes:
    """Return metrics in the format of Prometheus with more labels on each value."""
    more = ",".join(f'{name}="{value}"' for name, value in labels.items())

    def one(line: str) -> str:
        if line.startswith("#"):
            return line
        name, brace, rest = line.partition("{")
        if brace:
            return f"{name}{{{more},{rest}"
        name, _, value = line.partition(" ")
        return f"{name}{{{more}}} {value}"

    return "".join(one(line) + "\n" for line in text.decode().splitlines()).encode()


def merged(texts: list[bytes]) -> bytes:
    """Return several metrics as one, with the values of each name together, as the format requires."""
    families: dict[str, list[str]] = {}
    head = ""
    for text in texts:
        for line in text.decode().splitlines():
            if line.startswith("#"):
                head = line if line.startswith("# HELP") else f"{head}\n{line}"
                if not line.startswith("# HELP"):
                    families.setdefault(head, [])
            else:
                families[head].append(line)
    return "".join("\n".join([head, *lines]) + "\n" for head, lines in families.items()).encode()
