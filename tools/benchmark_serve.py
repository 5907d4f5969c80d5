"""``benchmark.py serve``: a service beside a bare loop around ONNX Runtime, at saturation, half load and overload."""

from __future__ import annotations

import asyncio
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import click
import cv2
import numpy as np
import onnxruntime
import psutil
from measuring import core_seconds, draw, head

from i2i.runtime import Model
from i2i.runtime.model import catalog
from i2i.runtime.system.host import cores

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
READY = re.compile(r"http://127\.0\.0\.1:(\d+)")


@click.command
@click.option("--model", help="As of `i2i translate`.  [default: the default model]")
@click.option("--size", default=256, show_default=True, help="Height and width of the JPEGs.")
@click.option("--rounds", default=5, show_default=True, help="Turns of both, of two seconds or more each.")
@click.option("--seconds", default=15.0, show_default=True, help="Of half load and of overload.")
@click.option("--times", default=10, show_default=True, help="Overload, as a multiple of the rate at saturation.")
def serve(model: str | None, size: int, rounds: int, seconds: float, times: int) -> None:
    """Measure requests a second, latency, and what an overload does.

    The bare loop decodes with OpenCV, infers on one thread and encodes, on as many threads as there are cores. It and
    the service take turns, so that a busy machine slows both equally. Core-milliseconds are processor time of the
    service's process, without the client.
    """
    path = catalog.resolve(model).path
    head(path, Model(path, "cpu"), f"{size} x {size} JPEG")
    with tempfile.TemporaryDirectory(prefix="i2i-benchmark-") as place:
        pictures = [file.read_bytes() for file in sorted(draw(Path(place) / "drawn", 50, size, "jpg").iterdir())]
        with service(path) as (process, port):
            asyncio.run(measure(process, port, path.stem, bare(path), pictures, rounds, seconds, times))


async def measure(
    process: psutil.Process,
    port: int,
    name: str,
    loop: Callable[[list[bytes]], None],
    pictures: list[bytes],
    rounds: int,
    seconds: float,
    times: int,
) -> None:
    """Print all figures."""
    client = Client(port, f"/v1/translate/{name}", pictures)
    await client.closed(2 * cores(), 50)
    loop(pictures)
    rows: list[tuple[float, float, float, float]] = []
    for _ in range(rounds):
        start, used = time.perf_counter(), core_seconds()
        loop(pictures * 4)
        one = time.perf_counter() - start, core_seconds() - used
        start, used = time.perf_counter(), sum(process.cpu_times()[:2])
        await client.closed(2 * cores(), len(pictures) * 4)
        rows.append((*one, time.perf_counter() - start, sum(process.cpu_times()[:2]) - used))
    count = len(pictures) * 4
    wall, work, served, spent = np.array(rows).T / count
    click.echo("| | images/s | core-ms an image | / bare |\n|---|---|---|---|")
    click.echo(f"| bare loop | {1 / statistics.median(wall):.1f} | {1000 * statistics.median(work):.2f} | |")
    ratio, dear = statistics.median(wall / served), statistics.median(work / spent)
    figures = f"{1 / statistics.median(served):.1f} | {1000 * statistics.median(spent):.2f}"
    click.echo(f"| service at saturation | {figures} | {ratio:.3f} of the rate, {dear:.3f} by core-ms |")
    rate = 1 / statistics.median(served)
    memory = process.memory_info().rss
    for factor in (0.5, float(times)):
        statuses, latencies = await client.opened(rate * factor, seconds)
        p50, p99 = np.percentile(latencies, (50, 99)) if latencies else (np.nan, np.nan)
        found = ", ".join(f"{number} x {status}" for status, number in sorted(statuses.items()))
        click.echo(f"| {factor:g} of that | {found} | p50 {1000 * p50:.0f} ms, p99 {1000 * p99:.0f} ms of the 200s | |")
    start = time.perf_counter()
    await client.closed(2 * cores(), count)
    after = count / (time.perf_counter() - start)
    grown = (process.memory_info().rss - memory) / 2**20
    click.echo(f"| afterwards | {after:.1f} | memory {memory / 2**20:.0f} MiB, grown by {grown:.1f} MiB | |")


class Client:
    """Requests on connections that stay open."""

    def __init__(self, port: int, path: str, pictures: list[bytes]) -> None:
        self._port, self._number = port, 0
        heads = [f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(each)}\r\n\r\n" for each in pictures]
        self._requests = [head.encode() + each for head, each in zip(heads, pictures, strict=True)]

    async def closed(self, clients: int, count: int) -> None:
        """Send so many requests, from clients that each wait for their answer."""
        todo = iter(range(count))

        async def one() -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            for _ in todo:
                assert await self._ask(reader, writer) == 200
            writer.close()

        await asyncio.gather(*(one() for _ in range(clients)))

    async def opened(self, rate: float, seconds: float) -> tuple[Counter[int], list[float]]:
        """Send ``rate`` requests a second whatever the answers; latencies count from when each was due."""
        statuses: Counter[int] = Counter()
        latencies: list[float] = []
        idle: list[Connection] = []

        async def one(due: float) -> None:
            connection = idle.pop() if idle else await asyncio.open_connection("127.0.0.1", self._port)
            status = await self._ask(*connection)
            statuses[status] += 1
            if status == 200:
                latencies.append(time.perf_counter() - due)
            idle.append(connection)

        start = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for due in np.arange(start, start + seconds, 1 / rate):
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                group.create_task(one(due))
        for _, writer in idle:
            writer.close()
        return statuses, latencies

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        self._number += 1
        writer.write(self._requests[self._number % len(self._requests)])
        answer = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", answer, re.IGNORECASE)
        assert length is not None
        await reader.readexactly(int(length[1]))
        return int(answer.split(b" ", 2)[1])


def bare(path: Path) -> Callable[[list[bytes]], None]:
    """Return a loop over JPEGs, without i2i."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    entry, threads = session.get_inputs()[0].name, ThreadPoolExecutor(cores())

    def one(data: bytes) -> bytes:
        pixels = cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        result = session.run(None, {entry: pixels[None]})[0][0]
        done, encoded = cv2.imencode(".jpg", cv2.cvtColor(result, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 95])
        assert done
        return encoded.tobytes()

    def run(pictures: list[bytes]) -> None:
        for _ in threads.map(one, pictures):
            pass

    return run


@contextmanager
def service(*models: object) -> Iterator[tuple[psutil.Process, int]]:
    """Run ``i2i serve`` in a process of its own; yield the process and its port."""
    words = [
        sys.executable,
        "-m",
        "i2i",
        "serve",
        *map(str, models),
        "--port",
        "0",
        "--provider",
        "cpu",
        "--no-access-log",
    ]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        port = 0
        for line in process.stderr:
            port = int(found[1]) if (found := READY.search(line)) else port
            if line.startswith("ready"):
                break
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield psutil.Process(process.pid), port
    finally:
        process.terminate()
        process.wait()
