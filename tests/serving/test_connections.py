"""Slow, malformed and excessive clients, on plain sockets."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import time
from pathlib import Path

import pytest

from i2i.serving import server
from i2i.serving.web import bodies, connection
from tests.serving.conftest import Running, encoded, form, picture, running, wait_for

DATA = encoded(picture())
HEAD = b"POST /v1/translate/tiny HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"


def talk(port: int, *parts: bytes, pause: float = 0.0) -> bytes:
    """Send parts, and return what comes back until the service closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        for part in parts:
            try:
                client.sendall(part)
            except OSError:  # closed already
                break
            time.sleep(pause)
        received = b""
        try:
            while chunk := client.recv(65536):
                received += chunk
        except ConnectionResetError:
            pass
        return received


def test_an_answer_is_one_write(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    transport = asyncio.selector_events._SelectorSocketTransport  # type: ignore[attr-defined]
    written: list[bytes] = []
    write = transport.write
    monkeypatch.setattr(transport, "write", lambda self, data: (written.append(bytes(data)), write(self, data))[1])
    answer = service.translate(DATA)
    assert answer.status == 200
    (whole,) = written
    assert whole.startswith(b"HTTP/1.1 200 OK\r\n")
    assert whole.endswith(b"\r\n\r\n" + answer.body)
    written.clear()
    large = service.translate(encoded(picture(300, 300), "BMP"))
    assert [len(each) > connection.JOINED_BYTES for each in written] == [False, True]
    assert written[1] == large.body


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


@pytest.mark.parametrize(
    "head",
    [
        b"nonsense\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b"POST /v1/translate/tiny HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/translate/tiny HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"POST /v1/translate/tiny HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/translate/tiny HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nBad Header: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_malformed_requests_are_refused(service: Running, head: bytes) -> None:
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as client:
        client.sendall(head)
        response = http.client.HTTPResponse(client)
        response.begin()
        assert response.status == 400
        assert json.loads(response.read())["status"] == 400
    assert service.get("/v2/health/live").status == 200


def test_a_head_beyond_its_limit(service: Running) -> None:
    lines = b"".join(b"X-%d: %s\r\n" % (number, b"x" * 1000) for number in range(200))
    answer = talk(service.port, b"GET / HTTP/1.1\r\nHost: localhost\r\n" + lines[:100_000], lines[100_000:])
    assert status(answer) == 431


@pytest.mark.parametrize("start", [b"1\r\nx\r\n0\r\nX-Y: ", b"1\r\nx\r\n1;a="], ids=["trailers", "an extension"])
def test_what_follows_a_chunk_is_limited(service: Running, start: bytes) -> None:
    head = b"POST /v1/translate/tiny HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert status(talk(service.port, head + start, b"x" * 100_000, pause=0.2)) == 431


def test_slow_heads_and_idle_connections_are_ended(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.3)
    start = time.monotonic()
    answer = talk(service.port, *[b"GET / HTTP/1.1\r\n", *[b"X-Y: z\r\n"] * 10], pause=0.1)
    assert status(answer) == 408
    assert talk(service.port) == b""  # says nothing, is ended
    first = b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answer = talk(service.port, first, *[b"G", b"E", b"T", b" ", b"/"] * 2, pause=0.1)
    assert (status(answer), answer.count(b"HTTP/1.1 408")) == (200, 1)
    assert time.monotonic() - start < 10


def test_a_slow_body_is_ended(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "GRACE", 0.3)
    answer = talk(service.port, HEAD % len(DATA), *[DATA[i : i + 1] for i in range(10)], pause=0.1)
    assert status(answer) == 408
    assert service.metric("i2i_body_bytes") == 0


def test_a_client_that_does_not_read_is_ended(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "STALLED_SECONDS", 0.3)
    with running(models / "tiny.onnx") as here:
        large = encoded(picture(900, 900), "BMP")
        with socket.create_connection(("127.0.0.1", here.port), timeout=20) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            for _ in range(3):
                client.sendall(HEAD % len(large))
                client.sendall(large)
            wait_for(lambda: here.metric("i2i_connections") == 1)  # the one that asks
        assert here.translate(DATA).status == 200


def test_a_client_that_reads_slowly_gets_all(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "STALLED_SECONDS", 0.5)
    monkeypatch.setattr(server, "KEEP_ALIVE", 0.7)  # which begins when the last byte is written, not when it is taken
    bind = server.bind

    def small(*address: object) -> socket.socket:
        bound = bind(*address)  # type: ignore[arg-type]
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)  # or the system takes the answer at once
        return bound

    monkeypatch.setattr(server, "bind", small)
    large, received, start = encoded(picture(900, 900), "BMP"), 0, time.monotonic()
    with running(models / "tiny.onnx") as here, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.settimeout(20)
        client.connect(("127.0.0.1", here.port))
        client.sendall(HEAD % len(large) + large)
        while received < len(large):
            part = client.recv(65536)
            assert part, f"cut after {received} bytes"
            received += len(part)
            time.sleep(0.05)
        assert time.monotonic() - start > 1.4
        while client.recv(65536):  # until the service ends the idle connection
            pass


def test_truncated_bodies_leave_nothing(service: Running) -> None:
    for count in (0, 1, len(DATA) - 1):
        with socket.create_connection(("127.0.0.1", service.port), timeout=20) as client:
            client.sendall(HEAD % len(DATA) + DATA[:count])
    wait_for(lambda: service.metric("i2i_connections") == 1)
    assert service.metric("i2i_body_bytes") == 0


def test_pipelined_requests_are_answered_in_order(service: Running) -> None:
    last = b"GET /v2 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    live = b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answer = talk(service.port, live + HEAD % len(DATA) + DATA + live + last)
    assert answer.count(b"HTTP/1.1 200 OK") == 4
    assert answer.index(b'"live"') < answer.index(b"image/png") < answer.rindex(b'"live"') < answer.index(b'"name"')


def test_a_body_beyond_the_limit_is_not_read(service: Running) -> None:
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as client:
        client.sendall(HEAD % 10**12 + b"x" * 1000)
        assert status(client.recv(4096)) == 413
    chunked = b"POST /v1/translate/tiny HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as client:
        client.sendall(chunked)
        for _ in range(70):
            client.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        assert status(client.recv(4096)) == 413


def test_connections_beyond_the_limit_are_refused(models: Path) -> None:
    with running(models / "tiny.onnx", max_connections=3) as here:
        clients = [socket.create_connection(("127.0.0.1", here.port), timeout=20) for _ in range(4)]
        try:
            assert status(clients[3].recv(4096)) == 503
        finally:
            for client in clients:
                client.close()
        wait_for(lambda: here.get("/v2/health/live").status == 200)


def test_the_memory_for_bodies_is_limited(models: Path) -> None:
    with running(models / "tiny.onnx") as here:
        held = here.service.most_body_bytes
        memory = bodies.Memory(1000)
        with memory.held() as first, memory.held() as second:
            first.add(900)
            with pytest.raises(Exception, match="memory for request bodies is full"):
                second.add(101)
            assert memory.used == 900
        assert memory.used == 0
        assert held >= here.service.settings.max_body


def test_answers_do_not_wait_for_acknowledgements() -> None:
    """With Nagle's algorithm the second packet of an answer waits 40 ms for a delayed acknowledgement."""
    with server.bind("127.0.0.1", 0) as bound:
        assert bound.proto == socket.IPPROTO_TCP  # asyncio sets TCP_NODELAY on what it accepts from such a socket


def test_an_address_that_is_taken() -> None:
    with server.bind("127.0.0.1", 0) as bound, pytest.raises(OSError, match=r"127\.0\.0\.1:.*Address already in use"):
        server.bind("127.0.0.1", bound.getsockname()[1])


def test_a_form_that_is_still_coming_when_the_service_stops_is_answered(models: Path) -> None:
    body, headers = form(("f", "a.png", DATA), ("f", "b.png", DATA))
    lines = [f"{name}: {value}" for name, value in headers.items()] + [f"Content-Length: {len(body)}"]
    head = "\r\n".join(["POST /v1/translate/tiny HTTP/1.1", "Host: localhost", *lines, "", ""]).encode()
    with running(models / "tiny.onnx") as here, socket.create_connection(("127.0.0.1", here.port), 20) as client:
        client.sendall(head + body[:100])
        wait_for(lambda: here.metric("i2i_body_bytes") == 100)
        here.service.stop()
        client.sendall(body[100:])
        assert status(client.recv(4096)) == 200
