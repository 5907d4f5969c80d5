"""Services in threads of the test's process, and a client of the standard library."""

from __future__ import annotations

import asyncio
import http.client
import json
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

from i2i.images import Image, encode_image
from i2i.serving import server
from i2i.serving.settings import Settings
from i2i.serving.work.service import Service
from tests import tiny
from tests.production.browser import WAIT
from tests.production.conftest import chromium, node, node_modules  # noqa: F401 (fixtures)


@dataclass
class Answer:
    """An answer of the service."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def detail(self) -> str:
        return str(self.json["detail"])


def ask(
    port: int, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, timeout: float = 30
) -> Answer:
    """Send one request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    finally:
        connection.close()


@dataclass
class Running:
    """A service that runs."""

    service: Service
    port: int
    said: list[str] = field(default_factory=list)
    logged: list[dict[str, Any]] = field(default_factory=list)

    def get(self, path: str, **more: Any) -> Answer:
        return ask(self.port, "GET", path, **more)

    def post(self, path: str, body: Any, **more: Any) -> Answer:
        return ask(self.port, "POST", path, body, **more)

    def translate(self, data: bytes, model: str = "tiny", query: str = "", **more: Any) -> Answer:
        return self.post(f"/v1/translate/{quote(model)}{query}", data, **more)

    def metric(self, name: str) -> float:
        """Return the value of a metric, by its name with labels."""
        for line in self.get("/metrics").body.decode().splitlines():
            if line.startswith(f"{name} "):
                return float(line.rpartition(" ")[2])
        return 0.0


@contextmanager
def running(*models: object, ready: bool = True, **settings: Any) -> Iterator[Running]:
    """Run a service of these models within the block."""
    options = Settings(**{"port": 0, "provider": "cpu", **settings})
    service = Service([str(model) for model in models], options)
    bound = server.bind(options.host, 0)
    here = Running(service, bound.getsockname()[1])
    loop_run = server.run(service, bound, here.said.append, lambda line: here.logged.append(json.loads(line)))
    failures: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(loop_run)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        wait_for(lambda: not ready or service.ready or failures)
        if failures:
            raise failures[0]
        yield here
    finally:
        service.stop()
        thread.join(WAIT)  # open connections may take the service ``drain`` seconds
        bound.close()
        if thread.is_alive():
            frame = sys._current_frames()[thread.ident or 0]
            pytest.fail("the service does not end:\n" + "".join(traceback.format_stack(frame)))


def wait_for(condition: Callable[[], object], seconds: float = WAIT) -> None:
    """Wait until the condition is true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def form(*parts: tuple[str, str | None, bytes]) -> tuple[bytes, dict[str, str]]:
    """Return a multipart body of (field, file name or None, content), and its headers."""
    boundary = "----a-boundary"
    lines = []
    for name, file, content in parts:
        named = f'; filename="{file}"' if file is not None else ""
        lines += [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'.encode(),
            content,
            b"\r\n",
        ]
    return b"".join([*lines, f"--{boundary}--\r\n".encode()]), {
        "Content-Type": f"multipart/form-data; boundary={boundary}"
    }


def picture(height: int = 24, width: int = 32, channels: int = 3, seed: int = 0, dtype: type = np.uint8) -> np.ndarray:
    """Return an image of random pixels."""
    top = np.iinfo(dtype).max
    return np.random.default_rng(seed).integers(0, top + 1, (height, width, channels), dtype=dtype)


def encoded(pixels: np.ndarray, format: str = "PNG", **facts: Any) -> bytes:
    """Return the bytes of a file."""
    return encode_image(Image(pixels, **facts), format)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with models that can be computed by hand."""
    folder = tmp_path_factory.mktemp("models")
    tiny.inverter(folder / "tiny.onnx")
    tiny.brighter(folder / "weather.onnx")
    tiny.brighter(folder / "faces.onnx", tiny.FACES)
    tiny.styled(folder / "styled.onnx")
    tiny.inverter(folder / "deep.onnx", tiny.DEEP)
    tiny.checkerboard(folder / "board.onnx")
    tiny.draws(folder / "shapes.onnx")  # a generator, which a service leaves out
    return folder


@pytest.fixture(scope="session")
def service(models: Path) -> Iterator[Running]:
    """A service of all of them, for tests that change nothing about it."""
    with running(models, max_pixels=1_000_000, max_body=4_000_000, max_files=4) as here:
        yield here
