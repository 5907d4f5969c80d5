"""Servers on loopback for tests of remote folders: S3 by moto, and an HTTP listing."""

from __future__ import annotations

import http.server
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}


@contextmanager
def s3_server() -> Iterator[dict[str, str]]:
    """Yield the environment variables with which S3 is a server on this machine, with an empty bucket."""
    import logging

    import boto3
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        urllib.request.urlopen(urllib.request.Request(f"{url}/moto-api/reset", method="POST")).close()
        client = boto3.client(
            "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="key", aws_secret_access_key="secret"
        )
        client.create_bucket(Bucket="bucket")
        yield {**KEYS, "AWS_ENDPOINT_URL": url}
    finally:
        server.stop()


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Lists folders; refuses names with "secret", and fails twice for names with "shaky"."""

    failures: dict[str, int]

    def do_GET(self) -> None:
        if "secret" in self.path:
            self.send_error(403, "Forbidden")
        elif "shaky" in self.path and self.failures.setdefault(self.path, 0) < 2:
            self.failures[self.path] += 1
            self.send_error(503, "Service Unavailable")
        else:
            super().do_GET()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def http_server(root: Path) -> Iterator[str]:
    """Yield the URL of a listing of a folder."""
    handler = type("Handler", (_Handler,), {"failures": {}})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(root))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
