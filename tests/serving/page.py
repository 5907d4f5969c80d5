"""The page in a browser: its files chosen, its settings changed, and its pixels read."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

from tests.production.browser import WAIT
from tests.reporting.devtools import Browser

READY = "document.querySelector('#status')?.textContent === 'Ready.'"


class Page:
    """The page at an address, in a browser."""

    def __init__(self, browser: Browser, url: str, loaded: str = READY) -> None:
        self.browser, self.url = browser, url
        browser.send("DOM.enable")
        browser.send("Page.navigate", url=self.url)
        self.wait(loaded)

    def run(self, script: str) -> Any:
        return self.browser.run(script)

    def wait(self, condition: str, seconds: float = WAIT) -> None:
        end = time.monotonic() + seconds
        while not self.run(condition):
            assert time.monotonic() < end, (condition, self.text("#status"), self.browser.complaints)
            time.sleep(0.05)

    def text(self, selector: str) -> str:
        return str(self.run(f"document.querySelector({json.dumps(selector)})?.textContent ?? ''"))

    def settled(self, text: str) -> None:
        self.wait(f"document.querySelector('#status').textContent === {json.dumps(text)}")

    def wait_for_pixel(self, expected: list[int]) -> None:
        """Wait until the translation begins with that colour."""
        end = time.monotonic() + WAIT
        while self.pixels("#after") != expected:
            assert time.monotonic() < end, (self.pixels("#after"), expected)
            time.sleep(0.05)

    def choose(self, *files: Path, field: str = "#files") -> None:
        """Choose files as a person does in the dialog."""
        root = self.browser.send("DOM.getDocument")["root"]["nodeId"]
        found = self.browser.send("DOM.querySelector", nodeId=root, selector=field)["nodeId"]
        self.browser.send("DOM.setFileInputFiles", files=list(map(str, files)), nodeId=found)

    def select(self, selector: str, value: str) -> None:
        self.run(
            f"(e => {{ e.value = {json.dumps(value)}; e.dispatchEvent(new Event('change', {{bubbles: true}})) }})"
            f"(document.querySelector({json.dumps(selector)}))"
        )

    def pixels(self, selector: str) -> list[int]:
        """Return the first pixel that an image shows."""
        script = (
            "(i => { const c = document.createElement('canvas'); c.width = i.naturalWidth; c.height = i.naturalHeight;"
            "const g = c.getContext('2d'); g.drawImage(i, 0, 0);"
            "return [...g.getImageData(0, 0, 1, 1).data.slice(0, 3)] })"
        )
        return list(self.run(f"{script}(document.querySelector({json.dumps(selector)}))"))

    def show_one(self) -> None:
        """Show the first result again."""
        self.run("document.querySelector('#list button:not(:disabled)').click()")
        self.wait("!document.querySelector('#result').hidden && document.querySelector('#after').complete")

    def shot(self, path: Path) -> None:
        data = self.browser.send("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(data))

    def size(self, width: int, height: int, mobile: bool = False) -> None:
        self.browser.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile
        )

    def violations(self, node_modules: Path) -> list[str]:
        """Return what axe finds."""
        self.run((node_modules / "axe-core" / "axe.min.js").read_text(encoding="utf-8") + "; 0")
        self.run("axe.run().then(r => { window.found = r.violations.map(v => v.id + ': ' + v.nodes[0].html) }); 0")
        self.wait("window.found !== undefined")
        found = self.run("window.found")
        self.run("delete window.found; 0")
        return list(found)
