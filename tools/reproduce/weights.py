#!/usr/bin/env python3
"""Make a model of weights/: data, training, export in fp32 and int8, evaluation, and the entry with its picture.

    python tools/reproduce/weights.py restore [--work DIR] [--weights DIR]

The data come from packages (``tools/datasets.py``), the training is the model's command below. Run again with the same
``--work``, it continues where it stopped. Photographs under CC BY and CC0 are trained on; those under CC BY-SA, by
other photographers, are measured on and shown. The int8 file is published where its loss is as small as ``i2i export``
demands and it takes less time here. With another ``--weights`` than the repository's, the same model is made again, to
compare the metrics.
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import onnx

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent)]
import datasets  # noqa: E402
import publishing  # noqa: E402
from weights_data import DRAWN, FREE, STYLE, STYLES, TESTED, derived, drawings, painted  # noqa: E402
from weights_emoji import pairs  # noqa: E402

import i2i  # noqa: E402
from i2i.evaluation.results import RESULT  # noqa: E402
from i2i.images import flatten, read_image  # noqa: E402
from i2i.spec import METADATA_KEY, Spec  # noqa: E402

PART = 110, 165
"""Height and width of the part of an image that a picture shows twice as large; a whole one is reduced to that size."""


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
    shown: dict[str, tuple[int, int] | None]
    """Test images in the picture, of the first condition -> where a part begins, top and left; None: the whole."""
    captions: tuple[str, str, str]
    names: tuple[str, str]
    """Names of the domains, in the place of those of the training folders."""
    metrics: str = "PSNR,SSIM"


PHOTOGRAPHERS = dict.fromkeys(
    name.partition("_by_")[2].replace("_", " ") for name, licence in datasets.PHOTOGRAPHERS.items() if licence in FREE
)
TRAINED_ON = "10 photographs under CC BY 4.0 and CC0 (tools/datasets.py photos), as tiles of 256 pixels at four scales"
DRAWN_ON = "coloured drawings of the Open Clip Art Library, on white (tools/datasets.py clipart)"
MEASURED_ON = f"8 pictures under CC BY-SA by other people, 6 of them photographs, their longer side {TESTED} pixels"

REGRESSION = (
    "--precision bf16 --set generator=drunet_1 --set ngf=16 --set norm=none --set residual=true --set upsample=deconv "
    "--set lambda_ssim=0 --set lr=5e-4"
)
"""Network and loss where a source has one right result."""

MODELS: dict[str, Model] = {
    "restore": Model(
        about="Removes JPEG artefacts and noise from photographs; returns clean ones as they are.",
        licence="CC-BY-4.0",
        credit=f"photographs by {', '.join(PHOTOGRAPHERS)}; in the picture by Bolly and Peter Nerlich, CC BY-SA 4.0",
        data=TRAINED_ON,
        prepare=derived(
            {"jpeg20": "jpeg:20", "jpeg10": "jpeg:10", "jpeg40": "jpeg:40", "noise10": "noise:10", "clean": ""}
        ),
        commands=(
            "i2i train distill --b data/train --derive jpeg:10..100+noise:0..10 --size 96 --augment crop:2.667,flip "
            f"--batch 16 --steps 8000 {REGRESSION} --out runs/restore",
        ),
        tests={
            "JPEG quality 20": ("jpeg20", "test"),
            "JPEG quality 10": ("jpeg10", "test"),
            "JPEG quality 40": ("jpeg40", "test"),
            "noise of 10 levels": ("noise10", "test"),
            "clean": ("clean", "test"),
        },
        protocol=MEASURED_ON,
        shown={
            "Dragonfly_by_Bolly": (240, 470),
            "free_by_Peter_Nerlich": (480, 430),
            "greentock_by_Peter_Nerlich": (70, 140),
        },
        captions=("JPEG, quality 20", "restore", "original"),
        names=("JPEG", "restored"),
    ),
    "redraw": Model(
        about="Redraws small, blurred or JPEG-compressed drawings with clean edges and flat colours.",
        licence="CC0-1.0",
        credit=datasets.CLIPART.credit,
        data=DRAWN_ON,
        prepare=drawings({"poor": "downscale:2+jpeg:40", "small": "downscale:3", "jpeg20": "jpeg:20", "clean": ""}),
        commands=(
            "i2i train distill --b data/train --derive downscale:1..3+jpeg:20..100 --size 96 --augment crop:3,flip "
            f"--batch 16 --steps 5000 {REGRESSION} --out runs/redraw",
        ),
        tests={
            "reduced by 2, JPEG quality 40": ("poor", "test"),
            "reduced by 3": ("small", "test"),
            "JPEG quality 20": ("jpeg20", "test"),
            "clean": ("clean", "test"),
        },
        protocol=f"drawings that were not trained on, at most {DRAWN} pixels long, on white",
        shown={
            "animals-bugs-ragno_figo_architetto_fr_01": (10, 60),
            "signs_and_symbols-flags-oceania-australia-australia_capital_territory": (50, 240),
            "unsorted-carpentiere3": (80, 150),
        },
        captions=("half the size, JPEG 40", "redraw", "original"),
        names=("poor", "redrawn"),
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
        protocol=f"drawings that were not trained on, at most {DRAWN} pixels long, on white",
        metrics="KID,PSNR,perceptual",
        shown=dict.fromkeys(
            (
                "buildings-furniture-sedia_in_legno_architett_01",
                "recreation-toys-stylized_teddy_bear_wit_01",
                "food-beverages-macchina_caffe_architett_01",
            )
        ),
        captions=("grey", "colourise", "original"),
        names=("grey", "coloured"),
    ),
    "painting": Model(
        about="Paints photographs with the brush strokes and the blue and yellow of an oil painting of a starry night.",
        licence="CC-BY-4.0",
        credit=f"{STYLES.credit}; photographs by {', '.join(PHOTOGRAPHERS)}; in the picture by Sander Klootwijk, "
        "Bolly and Peter Nerlich, CC BY-SA 4.0",
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
        shown=dict.fromkeys(("Bridge_by_Sander_Klootwijk", "Dragonfly_by_Bolly", "free_by_Peter_Nerlich")),
        captions=("photograph", "painting", "teacher"),
        names=("photograph", "painting"),
    ),
    "noto2twemoji": Model(
        about="Gives emoji of about 64 pixels in Google's Noto style the colours of Twitter's Twemoji; shapes stay.",
        licence="CC-BY-4.0",
        credit=f"{datasets.NOTO.credit}; {datasets.TWEMOJI.credit}",
        data="pairs of emoji of 64 pixels (tools/datasets.py emoji-pairs), the one moved onto the other",
        prepare=pairs,
        commands=(
            "i2i train distill --data data --channels 3 --size 64 --augment flip,scale:0.8..1.2,rotate:15 --batch 8 "
            "--steps 9000 --precision bf16 --set generator=resnet_3 --set ngf=16 --set norm=group --set residual=true "
            "--set upsample=resize --set lambda_ssim=0 --set lr=5e-4 --out runs/noto2twemoji",
        ),
        tests={"held-out emoji": ("testA", "testB")},
        protocol="241 pairs that were not trained on",
        metrics="KID,PSNR,SSIM,perceptual",
        shown=dict.fromkeys(("1f9d4-200d-2640-fe0f", "2198-fe0f", "1f62e", "1f646-200d-2642-fe0f", "264f")),
        captions=("Noto", "noto2twemoji", "Twemoji"),
        names=("noto", "twemoji"),
    ),
}


CANDIDATES = {RESULT: "result", "the input itself": "input"}
"""The names of an evaluation's candidates in an entry."""


def run(command: str, work: Path) -> None:
    """Run a line ``i2i ...`` in the folder of work; what it prints goes on. Raises CalledProcessError."""
    print(f"$ {command}", flush=True)
    subprocess.run([sys.executable, "-m", "i2i", *shlex.split(command)[1:]], cwd=work, check=True)


def name_domains(file: Path, source: str, target: str) -> None:
    """Write other names of the domains into an exported file."""
    network = onnx.load(file)
    (entry,) = (each for each in network.metadata_props if each.key == METADATA_KEY)
    spec = Spec.from_json(entry.value)
    spec = replace(spec, source=replace(spec.source, name=source), target=replace(spec.target, name=target))
    entry.value = spec.to_json()
    onnx.save(network, file)


def measured(model: Model, file: Path, data: Path) -> tuple[dict[str, dict[str, dict[str, float]]], str]:
    """Return condition -> candidate -> metric -> value of a file, and the protocol of the first condition."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    line = ""
    for condition, (source, truth) in model.tests.items():
        result = i2i.evaluate(
            file, a=data / source, b=data / truth, paired=True, baseline=True, metrics=model.metrics, provider="cpu"
        )
        (table,) = result.tables
        line = line or table.protocol.line.replace(f"{data.parent}/", "")
        for row in table.to_dict()["metrics"].values():
            for who, figure in row["candidates"].items():
                name, value = CANDIDATES.get(who), float(figure["value"])
                if name and math.isfinite(value):  # the PSNR of a clean input is not
                    found.setdefault(condition, {}).setdefault(name, {})[row["name"]] = round(value, 4)
    return found, line


def picture(model: Model, file: Path, data: Path) -> list[list[np.ndarray]]:
    """Return rows of source, result and truth of some test images, on white."""
    source, truth = next(iter(model.tests.values()))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, place in model.shown.items():
            here, result, wanted = (
                data / source / f"{name}.png",
                Path(folder, f"{name}.png"),
                data / truth / f"{name}.png",
            )
            i2i.translate(here, result, model=file, provider="cpu")
            rows.append([part(flatten(read_image(path)), place) for path in (here, result, wanted)])
    return rows


def part(pixels: np.ndarray, place: tuple[int, int] | None) -> np.ndarray:
    """Return what a picture shows of an image [h, w, c]."""
    if place is not None:
        seen = pixels[place[0] : place[0] + PART[0], place[1] : place[1] + PART[1]]
        return seen.repeat(2, 0).repeat(2, 1)
    height, width = pixels.shape[:2]
    factor = min(2 * PART[0] / height, 2 * PART[1] / width)
    size = round(width * factor), round(height * factor)
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).reshape(*size[::-1], -1)


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
        print(f"{name}-int8: not published, for the reason above", file=sys.stderr)
        del files[f"{name}-int8"]
    else:
        fp32, int8 = (publishing.milliseconds(i2i.load(file, provider="cpu"))["value"] for file in files.values())
        if int8 >= fp32:
            print(f"{name}-int8: not published, it takes {int8} ms and fp32 {fp32}", file=sys.stderr)
            del files[f"{name}-int8"]
    for title, file in files.items():
        name_domains(file, *model.names)
        metrics, line = measured(model, file, data)
        print(title, json.dumps(metrics, indent=1))
        publishing.publish(
            file, picture(model, file, data), model.captions, name=title, weights=given.weights, metrics=metrics,
            about=model.about + (" In 8 bits: a third of the size." if title != name else ""), licence=model.licence,
            credit=model.credit, data=model.data, seed=0,
            command="\n".join((f"python tools/reproduce/weights.py {name}", "# which runs", *model.commands)),
            protocol=f"{model.protocol}; {line}",
        )  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
