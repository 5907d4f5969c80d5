"""Hundreds of bad requests of every kind: each gets a status that is meant for it, and the service stays as it is."""

from __future__ import annotations

import http.client
import random
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests.serving.conftest import Running, ask, encoded, picture, wait_for

ENDPOINTS = (
    *("/v1/translate/tiny", "/v1/translate/weather", "/v1/translate/styled", "/v1/video?model=tiny"),
    *("/v2/models/tiny/infer", "/v2/models/weather/infer"),
)
EXPECTED = {200, 202, 400, 403, 404, 405, 406, 408, 413, 415, 422, 431}
WORDS = ("to", "seed", "format", "quality", "background", "keep_metadata", "x", "")
VALUES = (
    *("", "png", "-1", "1e9", "99999999999999999999", "rain", "../../etc/passwd", "http://127.0.0.1/", "%00", "%ff"),
    *("é", "a" * 3000),
)
TYPES = (
    *("image/png", "application/json", "multipart/form-data", "multipart/form-data; boundary=" + "b" * 300),
    *("\x7f", "text/html"),
)


def bodies(rng: random.Random) -> Iterator[bytes]:
    """Yield bodies without end: noise, damaged images, JSON that almost fits, forms that are cut."""
    images = [encoded(picture(12, 9), format) for format in ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "PNM")]
    tensor = b'{"inputs": [{"name": "image", "datatype": "UINT8", "shape": [1, 2, 2, 3], "data": [%s]}]}'
    while True:
        data = bytearray(rng.choice(images))
        kind = rng.randrange(6)
        if kind == 0:
            yield rng.randbytes(rng.randrange(200))
        elif kind == 1:
            yield bytes(data[: rng.randrange(len(data))])
        elif kind == 2:
            for _ in range(rng.randrange(1, 8)):
                data[rng.randrange(len(data))] = rng.randrange(256)
            yield bytes(data)
        elif kind == 3:
            text = tensor % b",".join(str(rng.choice([0, 255, 256, -1, 1e300])).encode() for _ in range(12))
            at = rng.randrange(len(text))
            yield text[:at] + rng.choice([b"", b"[" * 3000, b'"', b"\0", b"9" * 400]) + text[at + rng.randrange(3) :]
        elif kind == 4:
            yield b"--b\r\nContent-Disposition: form-data; name=f; filename=a.png\r\n\r\n" + bytes(data)
        else:
            yield bytes(data) + rng.randbytes(50)


def test_three_hundred_bad_requests(service: Running, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    rng, statuses = random.Random(0), Counter[int]()
    made = bodies(rng)
    for _ in range(300):
        query = "&".join(f"{rng.choice(WORDS)}={rng.choice(VALUES)}" for _ in range(rng.randrange(3)))
        path = rng.choice(ENDPOINTS)
        address = (path + ("&" if "?" in path else "?") + query).encode("ascii", "replace").decode()
        headers = {"Content-Type": rng.choice(TYPES)} if rng.random() < 0.5 else {}
        if rng.random() < 0.2:
            headers["Inference-Header-Content-Length"] = rng.choice(["0", "10", "-5", "abc", "9" * 30])
        if rng.random() < 0.1:
            headers["Accept"] = rng.choice(["", ";;q=", "image/*;q=x", "text/html", ",,,", "*/*;q=0"])
        answer = ask(service.port, "POST", address, next(made), headers)
        statuses[answer.status] += 1
        assert answer.status in EXPECTED, (address, headers, answer)
        if answer.status >= 400:
            assert answer.json["status"] == answer.status
            assert answer.detail
    assert len(statuses) >= 5
    assert statuses[400] > 50
    for job in list(service.service.videos._jobs.values()):
        service.service.videos.cancel(job)
    wait_for(lambda: service.metric("i2i_running") == 0)
    assert service.metric("i2i_body_bytes") == 0
    assert service.translate(encoded(picture())).status == 200


def test_noise_on_the_socket(service: Running) -> None:
    rng = np.random.default_rng(0)
    for number in range(60):
        start = [b"", b"GET / HTTP/1.1\r\n", b"POST /v1/translate/tiny HTTP/1.1\r\nHost: localhost\r\n"][number % 3]
        with socket.create_connection(("127.0.0.1", service.port), timeout=20) as client:
            client.sendall(start + rng.bytes(int(rng.integers(1, 400))))
    wait_for(lambda: service.metric("i2i_connections") == 1)
    client = http.client.HTTPConnection("127.0.0.1", service.port)
    client.request("GET", "/v2/health/ready")
    assert client.getresponse().status == 200
    client.close()
