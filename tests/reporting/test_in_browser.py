"""The page in headless Chromium, opened as a file."""

from __future__ import annotations

from pathlib import Path

from i2i.reporting import report
from tests.reporting.conftest import MakeRun
from tests.reporting.devtools import Browser

HOSTILE = "<img src=x onerror=alert(1)>&\"'"
CUT = "getComputedStyle(document.activeElement.parentNode).getPropertyValue('--cut')"


def test_the_page_works_from_a_file_with_the_keyboard_and_requests_nothing(
    run: MakeRun, tmp_path: Path, chromium: str
) -> None:
    path = run(HOSTILE, {"select": "</script><script>alert(2)</script>"})
    page = report(path, out=tmp_path / "report.html", images=7)
    with Browser(chromium, tmp_path / "profile") as browser:
        browser.send("Emulation.setDeviceMetricsOverride", width=390, height=800, deviceScaleFactor=1, mobile=True)
        browser.open(page)
        assert browser.run("document.scripts.length") == 1
        assert browser.run("document.querySelector('h1').textContent") == HOSTILE
        assert browser.run("document.documentElement.scrollWidth") == 390

        # To the first slider by the tabulator alone, then with the arrow keys.
        for _ in range(40):
            browser.press("Tab", 9)
            if browser.run("document.activeElement.type") == "range":
                break
        assert browser.run(CUT) == "50%"
        browser.press("ArrowRight", 39)
        browser.press("ArrowRight", 39)
        assert browser.run(CUT) == "52%"
        clip = browser.run("getComputedStyle(document.querySelector('.over')).clipPath")
        assert clip == "inset(0px 48% 0px 0px)"

        # Six of seven results on the first page, the worst one first.
        shown = "[...document.querySelectorAll('.gallery .card:not([hidden]) .name')].map(e => e.textContent)"
        first = browser.run(shown)
        assert len(first) == 6
        assert first[0] == "n7.png"
        browser.run("document.querySelector('.after').focus()")
        browser.press("Enter", 13)
        second = browser.run(shown)
        assert len(second) == 1
        assert not set(first) & set(second)
        assert browser.run("document.querySelector('.after').disabled") is True

        # Sample sheets over time.
        visible = "document.querySelector('.sheet:not([hidden])').dataset.step"
        assert browser.run(visible) == "40"
        browser.run("document.querySelector('.sheets input').focus()")
        browser.press("ArrowLeft", 37)
        assert browser.run(visible) == "20"
        assert browser.run("document.querySelector('.sheets output').textContent") == "20"

        unnamed = "[...document.querySelectorAll('input, select, button, img, svg[role=img]')].filter(e => " \
            "!(e.labels?.length || e.ariaLabel || e.alt || e.textContent.trim())).length"  # fmt: skip
        assert browser.run(unnamed) == 0
        requested = [url for url in browser.requested if not url.startswith("data:")]
        assert requested == [page.resolve().as_uri()]
        assert browser.complaints == []
