"""The page for browsers alone, from a plain server of files in headless Chromium: its pixels, actions and failures."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from onnx import TensorProto, helper

import i2i
from i2i.images import Image, read_image, write_image
from i2i.serving import ort_web, static
from tests import tiny
from tests.conftest import ROOT
from tests.production.browser import WAIT
from tests.reporting import devtools
from tests.serving.conftest import picture
from tests.serving.page import Page

DAY2NIGHT = ROOT / "weights" / "day2night.onnx"
SOFTWARE_GPU = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader")


class _Handler(SimpleHTTPRequestHandler):
    """A server of files that redirects index.html to its folder, as many do."""

    def do_GET(self) -> None:
        if not self.path.endswith("/index.html"):
            return super().do_GET()
        self.send_response(301)
        self.send_header("Location", self.path.removesuffix("index.html"))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Site:
    """A folder on a server of files, below another folder, and the page there in a browser."""

    def __init__(self, folder: Path, chromium: str, downloads: Path, *switches: str) -> None:
        handler = partial(_Handler, directory=str(folder.parent))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.folder, self._downloads = folder, downloads
        self._browser = devtools.Browser(chromium, downloads / "profile", *switches)

    def __enter__(self) -> Site:
        browser = self._browser.__enter__()
        browser.send("Page.setDownloadBehavior", behavior="allow", downloadPath=str(self._downloads))
        self.page = Page(browser, f"http://127.0.0.1:{self._server.server_port}/{quote(self.folder.name)}/")
        return self

    def __exit__(self, *_: object) -> None:
        self._browser.__exit__(None, None, None)
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def translated(self, source: Path, model: str, seconds: float = WAIT) -> Image:
        """Return the file that a person downloads after choosing a picture."""
        page = self.page
        page.select("#model", model)
        page.choose(source)
        page.wait(
            "(e => e && ['done', 'waits', 'in work …'].indexOf(e.textContent) < 1)"
            "([...document.querySelectorAll('#list li span')].at(-1))",
            seconds,
        )
        assert page.text("#list li:last-child span") == "done"
        page.run("[...document.querySelectorAll('#list button')].at(-1).click()")
        name = page.run("document.querySelector('#save').download")
        page.run("document.querySelector('#save').click()")
        target, end = self._downloads / name, time.monotonic() + 20
        while not (target.exists() and target.stat().st_size):  # the name is taken before the content is there
            assert time.monotonic() < end, f"{name} was not downloaded"
            time.sleep(0.02)
        image = read_image(target)
        target.unlink()
        return image


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    tiny.inverter(folder / "tiny.onnx")
    tiny.inverter(folder / "white.onnx", replace(tiny.RGB, background=255))
    tiny.inverter(folder / "rgba.onnx", tiny.RGBA)
    tiny.inverter(folder / "grey.onnx", tiny.GREY)
    tiny.to_grey(folder / "to_grey.onnx")
    tiny.brighter(folder / "weather.onnx")
    tiny.brighter(folder / "faces.onnx", tiny.FACES)
    tiny.styled(folder / "styled.onnx")
    tiny.filler(folder / "filler.onnx")
    _hungry(folder / "hungry.onnx")
    return folder


def _hungry(path: Path) -> Path:
    """A model that changes nothing, and takes 6000 bytes for each pixel."""
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["f", "axes"], ["f5"]),
        helper.make_node("Expand", ["f5", "shape"], ["many"]),
        helper.make_node("ReduceMax", ["many", "axes"], ["one"], keepdims=0),
        helper.make_node("Cast", ["one"], ["y"], to=TensorProto.UINT8),
    ]
    constants = {"shape": np.array([1, 1, 1, 1, 500]), "axes": np.array([4])}
    return tiny.write(path, nodes, tiny.RGB, constants)


@pytest.fixture(scope="module")
def folder(models: Path, node_modules: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("host") / "my site"
    names = static.write([str(DAY2NIGHT), str(models)], folder, node_modules)
    assert names == ["day2night", *sorted(path.stem for path in models.glob("*.onnx") if ".style" not in path.name)]
    return folder


@pytest.fixture(scope="module")
def site(folder: Path, chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(folder, chromium, tmp_path_factory.mktemp("downloads")) as site:
        yield site


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    write_image(tmp_path / "photo.png", Image(read_image(ROOT / "docs" / "demo.jpg").pixels[:217, :333]))
    return tmp_path / "photo.png"


def _difference(found: np.ndarray, expected: np.ndarray) -> int:
    assert found.shape == expected.shape
    return int(np.abs(found.astype(int) - expected.astype(int)).max())


def _rgba(image: Image) -> np.ndarray:
    assert image.alpha is not None
    return np.dstack([image.pixels, image.alpha])


def test_the_pixels_are_those_of_i2i(site: Site, photo: Path) -> None:
    page = site.page
    assert page.run("crossOriginIsolated") is True  # by the service worker, since this host sends no headers
    found = site.translated(photo, "day2night")
    assert _difference(found.pixels, i2i.load(DAY2NIGHT)(read_image(photo).pixels)) <= 1
    assert found.pixels.std() > 20  # a picture, not one colour
    assert page.text("#note").endswith((" threads", " 1 thread"))
    asked = [url for url in page.browser.requested if not url.startswith("blob:")]
    assert all(url.startswith(page.url) for url in asked), asked
    assert not any("webgpu" in url or "asyncify" in url for url in asked)  # 27 MB that only WebGPU needs


def test_redirections_and_other_pages_of_the_host_work_as_before(site: Site) -> None:
    page = Page(site.page.browser, f"{site.page.url}index.html")
    assert page.run("location.href") == site.page.url
    (site.folder / "other").mkdir()
    (site.folder / "other" / "page.html").write_text("another page of the host")
    page.run(
        "Promise.all(['./', 'page/app.js', 'other/page.html', 'models.json'].map(f => fetch(f))).then(all => "
        "window.found = all.map(a => [a.ok, a.headers.get('Cross-Origin-Embedder-Policy')])); 0"
    )
    page.wait("window.found")
    assert page.run("window.found") == [[True, "require-corp"]] * 2 + [[True, None]] * 2


@pytest.mark.parametrize("name", ["tiny", "white", "rgba"])
def test_alpha_is_kept(site: Site, models: Path, tmp_path: Path, name: str) -> None:
    source = read_image(ROOT / "docs" / "demo.jpg").pixels[100:140, 100:151]
    alpha = np.full(source.shape[:2], 255, np.uint8)
    alpha[:9], alpha[20:, 30:] = 128, 200
    if name != "rgba":  # a canvas has no colours where alpha is 0, which this model would let appear
        alpha[:, :11] = 0
    write_image(tmp_path / "alpha.png", Image(source, alpha))
    found = _rgba(site.translated(tmp_path / "alpha.png", name))
    expected = i2i.load(models / f"{name}.onnx")(np.dstack([source, alpha]))
    assert _difference(found[..., 3], expected[..., 3]) == 0
    # What shows on black and on white: a canvas rounds the colours of half-transparent pixels to what shows of them.
    for ground in (0, 255):
        share = expected[..., 3:] / 255
        shown = [np.rint(each[..., :3] * share + ground * (1 - share)) for each in (found, expected)]
        assert _difference(*shown) <= 1 + (name == "white")


@pytest.mark.parametrize("background", ["edge", "255"])
def test_transparent_pixels_are_seen_as_by_i2i(
    site: Site, models: Path, tmp_path: Path, background: str, photo: Path
) -> None:
    """A network spreads what lies behind transparent pixels into visible ones."""
    source = read_image(photo).pixels
    rows, columns = np.mgrid[: source.shape[0], : source.shape[1]]
    alpha = np.where((rows - 100) ** 2 + (columns - 150) ** 2 < 90**2, 255, 0).astype(np.uint8)
    write_image(tmp_path / "disc.png", Image(source, alpha))
    found = _rgba(site.translated(tmp_path / "disc.png", "day2night"))
    expected = i2i.load(DAY2NIGHT)(np.dstack([source, alpha]))
    assert _difference(found[alpha > 0], expected[alpha > 0]) <= 2
    assert (found[..., 3] == alpha).all()


def test_an_upright_photograph(site: Site, tmp_path: Path) -> None:
    """Orientation 6 in EXIF: the first row of the file is the right-hand side."""
    stored = np.zeros((40, 60, 3), np.uint8)
    stored[:20], stored[20:, :30] = (250, 20, 20), (20, 20, 250)
    exif = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    from PIL import Image as Pillow

    Pillow.fromarray(stored).save(tmp_path / "turned.jpg", quality=95, exif=b"Exif\0\0" + exif)
    found = site.translated(tmp_path / "turned.jpg", "tiny")
    assert (found.height, found.width, found.format) == (60, 40, "JPEG")
    expected = i2i.load(site.folder / "models" / "tiny.onnx")(read_image(tmp_path / "turned.jpg").pixels)
    assert np.abs(found.pixels.astype(int) - expected).mean() < 3


def test_grey_models(site: Site, models: Path, photo: Path) -> None:
    source = read_image(photo).pixels
    for name in ("grey", "to_grey"):
        expected = np.atleast_3d(i2i.load(models / f"{name}.onnx")(source))
        assert _difference(site.translated(photo, name).pixels, np.repeat(expected[..., :1], 3, 2)) <= 1


def test_domains_attributes_and_styles(site: Site, models: Path, photo: Path, tmp_path: Path) -> None:
    page, source = site.page, read_image(photo).pixels
    page.select("#model", "weather")
    page.select("#domain", "rain")
    page.settled("Done.")
    page.choose(photo)
    page.wait_for_pixel(i2i.load(models / "weather.onnx")(source, to="rain")[0, 0].tolist())
    page.select("#model", "faces")
    page.run("document.querySelectorAll('#attributes input')[2].click()")
    page.wait_for_pixel(i2i.load(models / "faces.onnx")(source, to=["smiling"])[0, 0].tolist())
    page.select("#model", "styled")
    page.select("#seed", "3")
    styled = i2i.load(models / "styled.onnx")
    page.wait_for_pixel(styled.styled(seed=3)(source)[0, 0].tolist())
    write_image(tmp_path / "grey.png", Image(np.full((8, 8, 3), 40, np.uint8)))
    page.choose(tmp_path / "grey.png", field="#example")
    page.wait_for_pixel((source[0, 0] + 40).tolist())  # ten times a tenth of the example's mean colour


@pytest.mark.parametrize("seed", [0, 1, 42, 2**32 - 1])
def test_a_seed_draws_the_numbers_of_numpy(site: Site, seed: int) -> None:
    site.page.run(f"import('./page/noise.js').then(m => window.drawn = m.normal({seed}, 700)); 0")
    site.page.wait("window.drawn")
    found = np.array(site.page.run("window.drawn"))
    site.page.run("delete window.drawn")
    np.testing.assert_allclose(found, np.random.RandomState(seed).standard_normal(700), rtol=1e-13)


def test_a_mask(site: Site, photo: Path, tmp_path: Path) -> None:
    page, source = site.page, read_image(photo).pixels
    mask = np.zeros((*source.shape[:2], 1), np.uint8)
    mask[:, 100:], mask[:, 200:] = 255, 51
    write_image(tmp_path / "mask.png", Image(mask))
    page.choose(tmp_path / "mask.png", field="#mask")
    found = site.translated(photo, "tiny").pixels
    weight = mask / 255
    assert _difference(found, np.rint(weight * (255 - source) + (1 - weight) * source)) <= 1
    expected = np.where(mask >= 128, 127, source)  # a model that fills holes fills the white parts
    assert _difference(site.translated(photo, "filler").pixels, expected) == 0
    page.select("#model", "tiny")
    write_image(tmp_path / "small.png", Image(mask[:9]))
    page.choose(tmp_path / "small.png", field="#mask")
    page.wait("document.querySelector('#status').classList.contains('bad')")
    assert page.text("#status") == "the mask has 333 x 9 pixels, and the picture 333 x 217"
    page.run("document.querySelector('#no-mask').click()")
    page.settled("Done.")
    assert _difference(site.translated(photo, "tiny").pixels, 255 - source) == 0


def test_formats_that_a_canvas_writes(site: Site, tmp_path: Path) -> None:
    page = site.page
    alpha = np.full((20, 30), 255, np.uint8)
    alpha[:5] = 0
    write_image(tmp_path / "alpha.webp", Image(picture(20, 30), alpha), quality=100)
    assert site.translated(tmp_path / "alpha.webp", "tiny").format == "WEBP"
    page.select("#format", "jpeg")
    assert site.translated(tmp_path / "alpha.webp", "tiny").format == "JPEG"
    assert page.text("#note").startswith("not carried over to JPEG: alpha; ")
    page.select("#format", "")
    (tmp_path / "no.png").write_text("no picture")
    page.choose(tmp_path / "no.png")
    page.wait("document.querySelector('#status').classList.contains('bad')")
    assert page.text("#list li:last-child span") == "not a picture of a format that this browser reads"


def test_the_webcam_and_the_page_that_stays_alive(site: Site) -> None:
    page = site.page
    page.select("#model", "tiny")
    page.run(
        "navigator.mediaDevices.getUserMedia = async () => { const c = document.createElement('canvas');"
        "c.width = 64; c.height = 48; const g = c.getContext('2d'); g.fillStyle = 'rgb(200, 100, 50)';"
        "window.paint = setInterval(() => g.fillRect(0, 0, 64, 48), 20); return c.captureStream(30) }; 0"
    )
    page.run("document.querySelector('#webcam').click()")
    page.wait("document.querySelector('#note').textContent.endsWith('pictures a second')")
    assert np.abs(np.array(page.pixels("#after")) - [55, 155, 205]).max() < 8  # a JPEG there and back
    page.run("document.querySelector('#webcam').click()")
    page.settled("The webcam is off.")
    page.run("clearInterval(window.paint)")


# 6 and 3.8 GB: WebAssembly counts in 32 bits, and has 4 GB.
@pytest.mark.parametrize("side", [1000, pytest.param(800, marks=pytest.mark.slow)])
def test_a_picture_that_is_too_large_and_the_next_one(site: Site, photo: Path, tmp_path: Path, side: int) -> None:
    page, source = site.page, read_image(photo).pixels
    write_image(tmp_path / "large.png", Image(np.zeros((side, side, 3), np.uint8)))
    page.select("#model", "hungry")
    page.choose(tmp_path / "large.png")
    page.wait("document.querySelector('#status').classList.contains('bad')")
    assert page.text("#status").startswith("The picture does not fit into the memory that a browser gives to a page")
    assert _difference(site.translated(photo, "hungry").pixels, source) == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(site: Site, node_modules: Path, photo: Path, scheme: str) -> None:
    page = site.page
    page.browser.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    site.translated(photo, "tiny")
    assert page.text("footer") == "Pictures stay in this browser: the models run here, and nothing is sent."
    assert page.violations(node_modules) == []


@pytest.mark.slow  # the software GPU takes both cores for a minute or more
def test_webgpu_only_where_its_pixels_are_right(folder: Path, chromium: str, tmp_path: Path, photo: Path) -> None:
    """This release computes a convolution of 18 channels, as in day2night, wrongly on WebGPU; others run there."""
    source = read_image(photo).pixels
    with Site(folder, chromium, tmp_path, *SOFTWARE_GPU) as site:
        assert _difference(site.translated(photo, "tiny").pixels, 255 - source) <= 1
        assert site.page.text("#note").endswith("graphics card")
        found = site.translated(photo, "day2night", 240).pixels
        assert _difference(found, i2i.load(DAY2NIGHT)(source)) <= 1
        assert "thread" in site.page.text("#note")


def test_a_model_that_is_not_the_one_described(
    folder: Path, chromium: str, tmp_path: Path, photo: Path, node_modules: Path, models: Path
) -> None:
    other = tmp_path / "other"
    static.write([str(models / "tiny.onnx"), f"cut={models / 'tiny.onnx'}"], other, node_modules)
    tiny.inverter(other / "models" / "tiny.onnx", weights=-2)  # other weights, of the same size
    (other / "models" / "cut.onnx").write_bytes((other / "models" / "cut.onnx").read_bytes()[:-9])
    for name in ort_web.FILES[2:]:  # a host may leave out what WebGPU needs
        (other / "ort" / name).unlink()
    with Site(other, chromium, tmp_path, *SOFTWARE_GPU) as site:
        site.page.choose(photo)
        site.page.settled("tiny: this browser computes other pixels than i2i")
        site.page.select("#model", "cut")
        site.page.choose(photo)
        site.page.settled("models/cut.onnx is not the file that models.json describes")


def test_what_is_written(folder: Path, models: Path) -> None:
    found = json.loads((folder / "models.json").read_text())["models"]
    assert [each["name"] for each in found if each["encoder"]] == ["styled"]
    for each in found:
        assert (folder / each["file"]).stat().st_size == each["bytes"]
    assert (folder / "models" / "day2night.onnx").read_bytes() == DAY2NIGHT.read_bytes()
    assert "Content-Security-Policy" in (folder / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{models}/deep.onnx"], "browsers have pictures of 8 bits, and photo has uint16"),
        (["{models}/bare.onnx"], "the page runs exports that take pixels; export the run with --io pixels"),
        (["{models}/tiny.onnx", "--ort-web", "{models}"], "ort.wasm.bundle.min.mjs is missing; expected the package"),
        (["{models}/tiny.onnx", "--ort-web", "{models}/tiny.onnx"], "package.json is missing; expected the package"),
        (["{models}/tiny.onnx", "--port", "80"], "--port is of a service, and --static only writes files"),
    ],
)
def test_what_is_refused(
    models: Path, tmp_path: Path, arguments: list[str], message: str, i2i_inside: Callable
) -> None:
    tiny.inverter(models / "deep.onnx", tiny.DEEP)
    tiny.inverter(models / "bare.onnx", replace(tiny.RGB, io="tensor"))
    words = [each.format(models=models) for each in arguments]
    done = i2i_inside("serve", *words, "--static", tmp_path / "site")
    assert (done.returncode, message in done.stderr) == (2, True), done.stderr
    assert not (tmp_path / "site" / "index.html").exists()


def test_no_extra_is_needed() -> None:
    block = "import sys; sys.modules.update(dict.fromkeys(('starlette', 'uvicorn', 'prometheus_client', 'torch')))"
    subprocess.run([sys.executable, "-c", f"{block}; import i2i.serving.static"], check=True, cwd=ROOT)


def test_npm_fetches_the_files_once(node_modules: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("I2I_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match=r"there is no npm to fetch them: install Node.js, or run `npm pack"):
        ort_web.copy(None, tmp_path / "ort")
    npm, packed = tmp_path / "npm", tmp_path / "packed.tgz"
    npm.write_text("#!/bin/sh\n/bin/echo 'npm error network' >&2\nexit 1\n")
    npm.chmod(0o755)
    with pytest.raises(ValueError, match=r"npm could not fetch onnxruntime-web \(npm error network\)"):
        ort_web.copy(None, tmp_path / "ort")
    with tarfile.open(packed, "w") as archive:
        package = node_modules / "onnxruntime-web"
        for name in ("package.json", *(f"dist/{name}" for name in ort_web.FILES)):
            archive.add(package / name, f"package/{name}")
    npm.write_text(f'#!/bin/sh\n[ "$2" = onnxruntime-web@{ort_web.VERSION} ] && /bin/cp {packed} "$5/x.tgz"\n')
    assert ort_web.copy(None, tmp_path / "ort") == ort_web.VERSION  # the one that package-lock.json has, too
    npm.unlink()
    assert ort_web.copy(None, tmp_path / "again") == ort_web.VERSION
    assert sorted(path.name for path in (tmp_path / "again").iterdir()) == sorted(ort_web.FILES)
