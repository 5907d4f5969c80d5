"""A browser without a window, driven by a script that is served with the page and reports to the server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

WAIT = 90  # seconds, on a busy machine
SWITCHES = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
]
ISOLATION = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}
TYPES = {".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm"}
DRIVER = Path(__file__).with_name("driver.js")


def start(chromium: str, *switches: str, **options: Any) -> subprocess.Popen[bytes]:
    """Start a browser in a process group of its own; ``options`` are those of Popen."""
    return subprocess.Popen([chromium, *SWITCHES, *switches], start_new_session=True, **options)


def stop(browser: subprocess.Popen[bytes]) -> None:
    """End a browser and whatever it has started: a page that computes would go on without it."""
    browser.terminate()
    with suppress(subprocess.TimeoutExpired):
        browser.wait(10)
    with suppress(ProcessLookupError):
        os.killpg(browser.pid, signal.SIGKILL)
    browser.wait()


@dataclass
class Page:
    """A page with one model: the input, and the results."""

    model: Path
    pictures: list[tuple[Path, str | None]]
    """Files to choose, and the domain to choose with each, or attributes with commas between."""
    isolated: bool = False
    """Whether the server sends the headers under which a page may have threads; after a visit: whether it had."""
    title: str = ""
    results: list[bytes] = field(default_factory=list)
    """What was saved for each picture, PNG; empty where there was nothing to save."""
    said: list[str] = field(default_factory=list)
    """What the page said when it was done with each."""
    last: str = ""
    """What it says in the end."""


class Site:
    """Folder N of the server holds page N: the same files, with another model."""

    def __init__(self, folder: Path, node_modules: Path, pages: list[Page]) -> None:
        self.folder, self.node_modules, self.pages = folder, node_modules, pages
        self.done, self.error = threading.Event(), ""

    def get(self, page: int, name: str) -> bytes:
        """Raise OSError for missing files: a browser asks for an icon, and the last page for the next one."""
        if page not in range(len(self.pages)):
            raise FileNotFoundError(page)
        if name == "":
            text = (self.folder / "index.html").read_text(encoding="utf-8")
            todo = json.dumps([to for _, to in self.pages[page].pictures])
            return f"{text}<script>const page = {page}, todo = {todo};{DRIVER.read_text()}</script>".encode()
        if name == "model.onnx":
            return self.pages[page].model.read_bytes()
        if name.startswith("picture/"):
            return self.pages[page].pictures[int(name.removeprefix("picture/"))][0].read_bytes()
        if name.startswith("node_modules/"):
            return (self.node_modules / name.removeprefix("node_modules/")).read_bytes()
        return (self.folder / name).read_bytes()

    def post(self, page: int, name: str, said: str, body: bytes) -> None:
        if name == "result":
            self.pages[page].results.append(body)
            self.pages[page].said.append(said)
        elif name == "end":
            self.pages[page].title, isolated, self.pages[page].last = said.split("|")
            self.pages[page].isolated = isolated == "true"
        else:
            self.error = said
        if name == "error" or (name == "end" and page == len(self.pages) - 1):
            self.done.set()


class Handler(SimpleHTTPRequestHandler):
    def __init__(self, site: Site, *arguments: object) -> None:
        self.site = site
        super().__init__(*arguments)  # type: ignore[arg-type]

    def _where(self) -> tuple[int, str]:
        page, _, name = self.path.removeprefix("/").partition("/")
        return int(page) if page.isdecimal() else -1, name

    def do_GET(self) -> None:
        page, name = self._where()
        try:
            body = self.site.get(page, name)
        except OSError:
            return self.send_error(404)
        self.send_response(200)
        self.send_header("Content-Type", TYPES.get(Path(name or "index.html").suffix, "application/octet-stream"))
        self.send_header("Content-Length", str(len(body)))
        for header, value in ISOLATION.items() if self.site.pages[page].isolated else ():
            self.send_header(header, value)
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.send_response(204)
        self.end_headers()
        self.site.post(*self._where(), unquote(self.headers["X-Said"] or ""), body)

    def log_message(self, *arguments: object) -> None:
        pass


def visit(chromium: str, folder: Path, node_modules: Path, pages: list[Page], profile: Path) -> list[Page]:
    """Opens ``index.html`` of the folder with each page's model in turn, chooses its pictures, and fills the pages."""
    site = Site(folder, node_modules, pages)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, site))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    profile.mkdir()
    words = [f"--user-data-dir={profile}", f"http://127.0.0.1:{server.server_port}/0/"]
    with (profile.parent / "chromium.log").open("wb") as log:
        browser = start(chromium, *words, stdout=log, stderr=log)
    try:
        in_time = site.done.wait(WAIT)
    finally:
        stop(browser)
        server.shutdown()
        server.server_close()
    log_end = (profile.parent / "chromium.log").read_text(errors="replace")[-1000:]
    assert in_time, f"nothing came from the browser in {WAIT} s: {log_end}"
    assert not site.error, site.error
    return pages
