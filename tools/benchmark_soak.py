"""``benchmark.py soak``: the memory of a service under half an hour of mixed load, which must stay flat."""

from __future__ import annotations

import asyncio
import random
import re
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import click
import cv2
import numpy as np
import psutil
from benchmark_serve import service
from measuring import draw

from i2i.runtime.model import catalog

FLAT = 0.02
"""Growth of the memory, as a share of that after the warm-up, up to which it is flat."""
PAUSE, QUIET = 20.0, 11.0
"""Seconds of load between two measurements, and of silence before each, in which the service releases memory."""
SIZES = ((32, 32), (64, 100), (256, 256), (300, 217), (512, 384), (1000, 700))
FORMATS = {
    "jpg": [cv2.IMWRITE_JPEG_QUALITY, 92],
    "png": [],
    "webp": [cv2.IMWRITE_WEBP_QUALITY, 90],
    "bmp": [],
    "tif": [],
}
QUERIES = ("", "", "", "?format=png", "?format=webp", "?format=jpeg&quality=80", "?format=avif", "?keep_metadata=true")
EXPECTED = {200, 400, 404, 406, 413, 415, 422, 429}
"""Statuses of this load; any other is a fault."""
_BOUNDARY = "boundary-of-the-load"


@click.command
@click.option("--model", "models", multiple=True, help="As of `i2i serve`.  [default: the default model, twice]")
@click.option("--minutes", default=30.0, show_default=True)
@click.option("--warm-up", default=300.0, show_default=True, help="Seconds of load before the first measurement.")
@click.option("--clients", default=4, show_default=True, help="Requests at once.")
def soak(models: tuple[str, ...], minutes: float, warm_up: float, clients: int) -> None:
    """Measure memory under images of several sizes and formats, forms, tensors, bad requests and clients that go away.

    An image in work takes memory by its size, so every few seconds the clients pause, and the memory is measured when
    nothing is in work: what stays is what the service keeps. The peak is that in between.

    Exit status 1 if the memory grew by more than 2 %, or an unexpected status came.
    """
    path = catalog.resolve(None).path
    named = models or (f"first={path}", f"second={path}")
    with tempfile.TemporaryDirectory(prefix="i2i-benchmark-") as place:
        pictures = list(_pictures(Path(place)))
    with service(*named) as (process, port):
        load = Load(port, [each.partition("=")[0] for each in named], pictures)
        samples = asyncio.run(load.run(process, 60 * minutes, warm_up, clients))
    times, sizes = np.array(samples).T
    part = max(1, len(sizes) // 6)
    start, end = statistics.median(sizes[:part]), statistics.median(sizes[-part:])
    slope = np.polyfit(times, sizes, 1)[0] * 3600 if len(times) > 1 else 0.0
    found = ", ".join(f"{number} x {status}" for status, number in sorted(load.statuses.items()))
    wrong = {status: number for status, number in load.statuses.items() if status not in EXPECTED}
    click.echo(f"{sum(load.statuses.values())} answers in {minutes:g} minutes: {found}; {load.gone} clients went away")
    click.echo(
        f"memory between requests {start / 2**20:.1f} MiB after {warm_up:g} s, {end / 2**20:.1f} MiB at the end "
        f"({100 * (end / start - 1):+.2f} %), slope {slope / 2**20:+.1f} MiB an hour ({len(sizes)} measurements from "
        f"{sizes.min() / 2**20:.1f} to {sizes.max() / 2**20:.1f}); peak {load.peak / 2**20:.1f} MiB"
    )
    if wrong or end > (1 + FLAT) * start:
        click.echo(f"not flat within {100 * FLAT:g} %" if not wrong else f"unexpected: {wrong}")
        sys.exit(1)


def _pictures(place: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of a picture of each size in each format."""
    for size in SIZES:
        (file,) = draw(place / f"{size[0]}x{size[1]}", 1, max(size), "png").iterdir()
        pixels = cv2.imread(str(file))[: size[1], : size[0]]
        for suffix, options in FORMATS.items():
            yield f"{size[0]}x{size[1]}.{suffix}", cv2.imencode(f".{suffix}", pixels, options)[1].tobytes()


class Load:
    """Clients that send a random mixture, the same in each run up to their order.

    Attributes:
        statuses: number of answers by status.
        gone: number of requests whose client left before the answer.
        peak: largest resident bytes, of measurements each tenth of a second.
    """

    def __init__(self, port: int, models: list[str], pictures: list[tuple[str, bytes]]) -> None:
        self.statuses: Counter[int] = Counter()
        self.gone, self.peak = 0, 0
        self._go, self._busy = asyncio.Event(), 0
        self._port, self._models, self._pictures = port, models, pictures
        self._random = random.Random(0)
        self._kinds: dict[Callable[[], Awaitable[None]], int] = {
            self._image: 20, self._form: 3, self._tensor: 3, self._bad: 6, self._leave: 4, self._malformed: 2,
            self._numbers: 1,
        }  # fmt: skip

    async def run(
        self, process: psutil.Process, seconds: float, warm_up: float, clients: int
    ) -> list[tuple[float, float]]:
        """Return times, and the resident bytes of the process when nothing is in work, after the warm-up."""
        start, samples = time.monotonic(), []
        self._go.set()

        async def client() -> None:
            while time.monotonic() < start + seconds:
                await self._go.wait()
                self._busy += 1
                (kind,) = self._random.choices(list(self._kinds), list(self._kinds.values()))
                with suppress(ConnectionError, asyncio.IncompleteReadError):
                    await kind()
                self._busy -= 1

        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(client())
            while time.monotonic() < start + seconds:
                for _ in range(round(PAUSE / 0.1)):
                    await asyncio.sleep(0.1)
                    self.peak = max(self.peak, process.memory_info().rss)
                self._go.clear()
                while self._busy:
                    await asyncio.sleep(0.05)
                await asyncio.sleep(QUIET)  # those whose clients left are still in work
                if (now := time.monotonic() - start) >= warm_up:
                    samples.append((now, float(process.memory_info().rss)))
                self._go.set()
        return samples

    def _request(self, path: str, body: bytes, kind: str = "application/octet-stream", method: str = "POST") -> bytes:
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        return f"{head}Connection: close\r\n\r\n".encode() + body

    async def _ask(self, request: bytes) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(request)
            answer = await reader.read()
            if found := re.match(rb"HTTP/1.1 (\d+)", answer):
                self.statuses[int(found[1])] += 1
        finally:
            writer.close()

    def _translate(self, body: bytes, query: str = "", kind: str = "application/octet-stream") -> bytes:
        return self._request(f"/v1/translate/{self._random.choice(self._models)}{query}", body, kind)

    async def _image(self) -> None:
        await self._ask(self._translate(self._random.choice(self._pictures)[1], self._random.choice(QUERIES)))

    async def _form(self) -> None:
        parts = [
            f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="f"; filename="{name}"\r\n\r\n'.encode() + data
            for name, data in self._random.choices(self._pictures, k=3)
        ]
        body = b"\r\n".join([*parts, f"--{_BOUNDARY}--\r\n".encode()])
        await self._ask(self._translate(body, kind=f"multipart/form-data; boundary={_BOUNDARY}"))

    async def _tensor(self) -> None:
        shape = [2, 48, self._random.choice((32, 64, 96)), 3]
        tensor = f'{{"name": "image", "datatype": "UINT8", "shape": {shape}, "data": {[7] * int(np.prod(shape))}}}'
        path = f"/v2/models/{self._random.choice(self._models)}/infer"
        await self._ask(self._request(path, f'{{"inputs": [{tensor}]}}'.encode(), "application/json"))

    async def _bad(self) -> None:
        data = self._random.choice(self._pictures)[1]
        await self._ask(
            self._random.choice(
                [
                    self._translate(data[: len(data) // 2]), self._translate(b"no picture"), self._translate(b""),
                    self._translate(data, "?format=exe"), self._translate(data, "?colour=red"),
                    self._request("/v1/translate/nobody", data), self._request("/nowhere", b"", method="GET"),
                    self._request("/v2/models/first/infer", b'{"inputs": 7}', "application/json"),
                    self._translate(b"x" * 1000, kind=f"multipart/form-data; boundary={_BOUNDARY}"),
                ]
            )
        )  # fmt: skip

    async def _leave(self) -> None:
        """Send a request, or part of it, and leave."""
        request = self._translate(self._random.choice(self._pictures)[1])
        _, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(request[: self._random.choice((40, len(request) // 2, len(request)))])
        with suppress(ConnectionError):
            await writer.drain()
        await asyncio.sleep(self._random.choice((0, 0.005, 0.05)))
        writer.transport.abort()
        self.gone += 1

    async def _malformed(self) -> None:
        await self._ask(
            self._random.choice([b"nonsense\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\r\n\r\n"])
        )

    async def _numbers(self) -> None:
        await self._ask(self._request("/metrics", b"", method="GET"))
