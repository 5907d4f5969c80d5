"""The page in headless Chromium: its actions, its accessibility, and nothing from other hosts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from i2i.images import Image, read_image, write_image
from i2i.runtime import Model
from tests.conftest import ROOT
from tests.reporting.devtools import Browser
from tests.serving.conftest import Running, picture, running, wait_for
from tests.serving.page import Page


@pytest.fixture(scope="module")
def here(models: Path) -> Iterator[Running]:
    names = ("tiny", "weather", "faces", "styled")
    with running(ROOT / "weights" / "day2night.onnx", *(models / f"{name}.onnx" for name in names)) as service:
        yield service


@pytest.fixture(scope="module")
def page(here: Running, chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with Browser(chromium, tmp_path_factory.mktemp("profile")) as browser:
        yield Page(browser, f"http://127.0.0.1:{here.port}/")


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    paths = []
    for seed in range(3):
        paths.append(tmp_path / f"picture {seed}.png")
        write_image(paths[-1], Image(picture(60, 90, seed=seed) // 4))
    return paths


def test_pictures_are_translated_compared_and_saved(page: Page, pictures: list[Path]) -> None:
    page.select("#model", "tiny")
    page.choose(*pictures)
    page.wait("document.querySelectorAll('#list li span').length === 3 && "
              "[...document.querySelectorAll('#list li span')].every(e => e.textContent === 'done')")  # fmt: skip
    first = read_image(pictures[2]).pixels[0, 0]
    page.wait("document.querySelector('#after').complete && document.querySelector('#after').naturalWidth === 90")
    assert page.pixels("#before") == first.tolist()
    assert page.pixels("#after") == (255 - first).tolist()
    assert page.run("document.querySelector('#save').download") == "picture 2-tiny.png"

    # Another of the pictures, by its button; then the slider by the keyboard, and the zoom.
    page.run("document.querySelectorAll('#list button')[0].click()")
    page.wait("document.querySelector('#save').download === 'picture 0-tiny.png'")
    page.run("document.querySelector('#cut').focus()")
    page.browser.press("ArrowRight", 39)
    assert page.run("getComputedStyle(document.querySelector('#after')).clipPath") == "inset(0px 0px 0px 51%)"
    page.run("document.activeElement.blur()")
    width = page.run("document.querySelector('#stage').offsetWidth")
    page.browser.press("+", 107)
    page.run("document.querySelector('body').dispatchEvent(new KeyboardEvent('keydown', {key: '+', bubbles: true}))")
    assert page.run("document.querySelector('#stage').offsetWidth") > 1.4 * width

    # Nothing came from another host, and the console is empty; Chromium recommends a name beside each password, and the
    # token has none.
    asked = [url for url in page.browser.requested if not url.startswith("blob:")]
    assert len(asked) >= 5
    assert all(url.startswith(page.url) for url in asked), asked
    assert [e for e in page.browser.complaints if e["params"].get("entry", {}).get("level") != "verbose"] == []


def test_domains_attributes_styles_and_formats(page: Page, pictures: list[Path]) -> None:
    first = read_image(pictures[0]).pixels[0, 0]

    def settled(expected: list[int]) -> None:
        page.settled("Done.")
        page.wait_for_pixel(expected)

    page.select("#model", "weather")
    page.select("#domain", "rain")
    page.choose(pictures[0])
    settled((first + 20).tolist())
    page.select("#domain", "shine")
    settled((first + 30).tolist())
    page.select("#model", "faces")
    page.run("document.querySelectorAll('#attributes input')[2].click()")
    settled((first + 4).tolist())
    page.select("#model", "styled")
    assert page.run("document.querySelector('#seed-label').hidden") is False
    page.select("#format", "webp")
    page.wait("document.querySelector('#save').download.endsWith('-styled.webp')")
    page.select("#format", "")


def test_settings_that_change_while_pictures_are_in_work(
    here: Running, page: Page, pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, run = threading.Event(), Model.run

    def slow(self: Model, batch: np.ndarray) -> np.ndarray:
        assert opened.wait(30)
        return run(self, batch)

    monkeypatch.setattr(Model, "run", slow)
    page = Page(page.browser, page.url)  # which shows no result yet
    try:
        page.select("#model", "tiny")
        page.choose(pictures[0])
        page.wait("document.querySelector('#list span').textContent === 'in work …'")
        wait_for(lambda: here.service.pool.running)
        page.select("#model", "weather")
        opened.set()
        page.wait("document.querySelector('#save').download === 'picture 0-weather.png'")
        page.wait_for_pixel((read_image(pictures[0]).pixels[0, 0] + 10).tolist())

        # The next picture was sent with the settings before, and its name says so.
        opened.clear()
        page.choose(pictures[1])
        wait_for(lambda: here.service.pool.running)
        page.select("#model", "tiny")
    finally:
        opened.set()
    page.wait("document.querySelector('#save').download === 'picture 0-tiny.png'")
    page.wait("[...document.querySelectorAll('#list span')].every(e => e.textContent === 'done')")
    page.run("document.querySelectorAll('#list button')[1].click()")
    page.wait("document.querySelector('#save').download === 'picture 1-weather.png'")
    page.wait_for_pixel((read_image(pictures[1]).pixels[0, 0] + 10).tolist())


def test_the_style_of_an_example(page: Page, pictures: list[Path], tmp_path: Path) -> None:
    write_image(tmp_path / "grey.png", Image(np.full((8, 8, 3), 40, np.uint8)))
    page.select("#model", "styled")
    page.choose(pictures[1])
    page.settled("Done.")
    page.choose(tmp_path / "grey.png", field="#example")
    first = read_image(pictures[1]).pixels[0, 0]
    page.wait_for_pixel((first + 40).tolist())  # ten times a tenth of the example's mean colour
    page.select("#seed", "3")
    page.wait("document.querySelector('#example').files.length === 0")


def test_a_mask(page: Page, pictures: list[Path], tmp_path: Path) -> None:
    page.select("#model", "tiny")
    write_image(tmp_path / "mask.png", Image(np.zeros((60, 90, 1), np.uint8)))
    page.choose(tmp_path / "mask.png", field="#mask")
    page.choose(pictures[0])
    first = read_image(pictures[0]).pixels[0, 0]
    page.wait_for_pixel(first.tolist())
    page.run("document.querySelector('#no-mask').click()")
    page.wait_for_pixel((255 - first).tolist())
    assert page.run("document.querySelector('#no-mask').hidden") is True


def test_the_webcam(page: Page) -> None:
    page.select("#model", "tiny")
    page.run(
        "navigator.mediaDevices.getUserMedia = async () => { const c = document.createElement('canvas');"
        "c.width = 64; c.height = 48; const g = c.getContext('2d'); g.fillStyle = 'rgb(200, 100, 50)';"
        "g.fillRect(0, 0, 64, 48); window.paint = setInterval(() => g.fillRect(0, 0, 64, 48), 20);"
        "return window.stream = c.captureStream(30) }; 0"
    )
    assert page.run("document.querySelector('#webcam').hidden") is False
    page.run("document.querySelector('#webcam').click()")
    page.wait("document.querySelector('#note').textContent.endsWith('pictures a second')")
    page.wait("document.querySelector('#after').naturalWidth === 64")
    pixel = np.array(page.pixels("#after"))
    assert np.abs(pixel - [55, 155, 205]).max() < 8  # a JPEG there and back
    page.run("document.querySelector('#webcam').click()")
    page.settled("The webcam is off.")
    assert page.run("window.stream.active") is False
    page.run("clearInterval(window.paint)")


def test_a_pasted_and_a_dropped_picture(page: Page) -> None:
    page.select("#model", "tiny")
    make = (
        "const c = document.createElement('canvas'); c.width = c.height = 8;"
        "const b = await new Promise(r => c.toBlob(r)); const d = new DataTransfer();"
        "d.items.add(new File([b], name, {type: 'image/png'}));"
    )
    count = page.run("document.querySelectorAll('#list li').length")
    page.run(
        f"(async name => {{ {make} dispatchEvent(new ClipboardEvent('paste', {{clipboardData: d}})) }})('pasted.png')"
    )
    page.run(f"(async name => {{ {make} dispatchEvent(new DragEvent('drop', {{dataTransfer: d}})) }})('dropped.png')")
    page.wait(
        f"[...document.querySelectorAll('#list li span')].filter(e => e.textContent === 'done').length === {count + 2}"
    )
    names = page.run("[...document.querySelectorAll('#list button')].map(e => e.textContent).slice(-2).sort()")
    assert names == ["dropped.png", "pasted.png"]


def test_a_file_that_is_no_picture_is_named_with_the_reason(page: Page, tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("no picture")
    page.choose(tmp_path / "notes.png")
    page.wait("document.querySelector('#status').classList.contains('bad')")
    assert "not an image of a known format" in page.text("#list li:last-child span")
    page.browser.events.clear()  # the browser logs the status 415, as it should


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_in_either_scheme(page: Page, scheme: str) -> None:
    page.size(390, 800, mobile=True)
    page.browser.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    page.show_one()
    page.run("(e => { e.value = 4; e.dispatchEvent(new Event('input')) })(document.querySelector('#zoom'))")
    assert page.run("document.querySelector('#stage').offsetWidth") > 390
    assert page.run("document.documentElement.scrollWidth") == 390
    shown = "[...document.querySelectorAll('button, select, .button, input[type=range]')].filter(e => e.offsetParent)"
    assert page.run(f"{shown}.filter(e => e.offsetHeight < 44).length") == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(page: Page, node_modules: Path, scheme: str) -> None:
    page.browser.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    page.show_one()
    assert page.violations(node_modules) == []


def test_a_token_is_asked_for(page: Page, models: Path, tmp_path: Path, pictures: list[Path]) -> None:
    """The last test, since it leaves the page."""
    (tmp_path / "token").write_text("correct-horse-battery")
    with running(models / "tiny.onnx", token_file=tmp_path / "token") as here:
        page = Page(
            page.browser, f"http://127.0.0.1:{here.port}/", "document.querySelector('#token-label')?.hidden === false"
        )
        page.choose(pictures[0])
        page.wait("document.querySelector('#list span').textContent === 'waits'")
        page.select("#token", "correct-horse-battery")
        page.wait("document.querySelector('#status').textContent === 'Done.'")
