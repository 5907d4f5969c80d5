#!/usr/bin/env python3
"""Train the default model, day2night, on the demo's drawings, and write it to weights/ with its entry in index.json.

    python tools/train_default.py [--work DIR] [--steps N]

The defaults are those that weights/day2night.onnx was made with.
Everything random is seeded, so the same versions on the same machine give the same file. Run again with the same
``--work``, it continues where it stopped. Nothing under weights/ changes unless the new model beats both baselines.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import publishing

import i2i
from i2i.demo.paint import paint
from i2i.demo.scenes import scene
from i2i.engine import load_generators
from i2i.exporter import export_network
from i2i.images import Image, write_image
from i2i.metrics import l1, psnr, ssim
from i2i.sheets import sheet

ROOT = Path(__file__).resolve().parent.parent
NAME, METHOD = "day2night", "cyclegan"
SIDE, SCENES = 107, 400
DAY, NIGHT, HELD_OUT = (
    500_000,
    600_000,
    700_000,
)  # first scenes; the demo, unless seeded, stays below 100,000
# All that the result depends on; the precision too, which would else be that of the machine.
SETTINGS: dict[str, Any] = {"size": 96, "batch": 1, "steps": 3000, "precision": "fp32", "ema": 0.995, "seed": 0}
HYPERPARAMETERS: dict[str, Any] = {
    "generator": "unet_16",
    "discriminator": "patch_2",
    "ngf": 18,
    "ndf": 24,
    "norm": "instance",
    "upsample": "resize",
    "lr": 4e-4,
}
TESTED = (64, 96, 128)  # sizes at which the metrics are measured
PROTOCOL = (
    "40 held-out scenes at each size; the truth is the same scene drawn by night; l1 is the mean absolute difference "
    "as a share of the range (0 to 1), psnr is in dB, ssim is at most 1; means over the scenes"
)


def recipe(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the recipe of the model without the folders of this machine, which the run's own recipe names."""
    return {
        "program": "tools/train_default.py",
        "i2i": i2i.__version__,
        "data": f"{SCENES} drawings a side, {SIDE} pixels wide, by i2i.demo",
        **settings,
        "hyperparameters": HYPERPARAMETERS,
    }


def held_out(size: int, count: int = 40) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return scenes that were not used in training, by day and by night."""
    return [
        (paint(scene(HELD_OUT + number), "day", size), paint(scene(HELD_OUT + number), "night", size))
        for number in range(count)
    ]


def colour_map(pairs: list[tuple[np.ndarray, np.ndarray]]) -> list[np.ndarray]:
    """Apply the best affine map of colours, fitted on the truth itself: a baseline that knows the answer."""
    source = np.concatenate([day.reshape(-1, 3) for day, _ in pairs]).astype(np.float64)
    target = np.concatenate([night.reshape(-1, 3) for _, night in pairs])
    fit = np.linalg.lstsq(np.c_[source, np.ones(len(source))], target, rcond=None)[0]
    return [
        np.clip(np.round(day.reshape(-1, 3) @ fit[:3] + fit[3]), 0, 255).astype(np.uint8).reshape(day.shape)
        for day, _ in pairs
    ]


def scores(results: list[np.ndarray], truths: list[np.ndarray]) -> dict[str, float]:
    """Return means over the images: L1 as a share of the range, PSNR in dB, SSIM."""
    pairs = list(zip(results, truths, strict=True))
    return {
        name: round(float(np.mean([metric(a, b) for a, b in pairs])), 4)
        for name, metric in (("l1", l1), ("psnr", psnr), ("ssim", ssim))
    }


def measure(model: i2i.runtime.Model, size: int) -> dict[str, dict[str, float]]:
    """Return the scores on held-out scenes of the model, of the input itself, and of a colour map."""
    pairs = held_out(size)
    truths = [night for _, night in pairs]
    return {
        "result": scores([model(day) for day, _ in pairs], truths),
        "input": scores([day for day, _ in pairs], truths),
        "colour_map": scores(colour_map(pairs), truths),
    }


def draw(folder: Path, style: str, first: int) -> Path:
    folder = folder / style
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(SCENES):
        path = folder / f"{number:04d}.png"
        if not path.exists():
            write_image(path, Image(paint(scene(first + number), style, SIDE)))
    return folder


def publish(model: Path, metrics: dict[str, dict[str, dict[str, float]]], weights: Path = publishing.WEIGHTS) -> None:
    """Write the model to weights/ with its entry, and a picture of three held-out scenes."""
    translate = i2i.load(model, provider="cpu")
    publishing.publish(
        model,
        [[day, translate(day), night] for day, night in held_out(2 * SETTINGS["size"], 3)],
        ["day", NAME, "drawn by night"],
        name=NAME,
        licence="Apache-2.0",
        credit="drawings by i2i itself",
        about="Drawn landscapes with a house, by day, as they look at night; trained on unpaired drawings.",
        data=recipe(SETTINGS)["data"],
        command="python tools/train_default.py",
        seed=SETTINGS["seed"],
        protocol=PROTOCOL,
        metrics=metrics,
        weights=weights,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "default", help="folder of data and run")
    parser.add_argument("--steps", type=int, default=SETTINGS["steps"], help="length (default: %(default)s)")
    options = parser.parse_args()

    work = options.work
    day, night = draw(work / "data", "day", DAY), draw(work / "data", "night", NIGHT)
    settings = SETTINGS | {"steps": options.steps}
    run = i2i.train(METHOD, a=day, b=night, out=work / "run", **settings, **HYPERPARAMETERS)
    net, spec = load_generators(run)["a2b"]
    path = export_network(net, replace(spec, recipe=recipe(settings)), work / f"{NAME}.onnx")
    model = i2i.load(path, provider="cpu")
    metrics = {f"{size}x{size}": measure(model, size) for size in TESTED}
    print(json.dumps(metrics, indent=2))
    pairs = held_out(SETTINGS["size"], 6)
    sheet([[d, model(d), n] for d, n in pairs], ["day", NAME, "truth: night"], work / "held-out.png")

    size = os.path.getsize(path)
    poor = [
        name
        for name, found in metrics.items()
        if found["result"]["l1"] > 0.75 * min(found["input"]["l1"], found["colour_map"]["l1"])
    ]
    if poor or size > 2_000_000:
        print(f"not published: {size} bytes, at most 2000000; too near to the baselines at: {poor}", file=sys.stderr)
        return 1
    publish(path, metrics)
    print(f"published weights/{NAME}.onnx, {size} bytes; look at {work / 'held-out.png'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
