#!/usr/bin/env python3
"""Measure an exported model and two baselines on aligned pairs (A | B side by side in one file).

    python tools/evaluate_pairs.py MODEL.onnx facades/val --train facades/train --direction b2a --json scores.json

The baselines are the mean training photo, which knows the set but not the image, and the input itself, which knows
the image but not the task. L1 is a share of the range, PSNR is in dB; each is the mean over the images, which are
compared at their own size. Needs no PyTorch.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import i2i
from i2i.images import convert, flatten, list_images, read_image
from i2i.metrics import l1, psnr, ssim
from i2i.runtime import Model
from i2i.spec import Domain

METRICS = {"L1": l1, "PSNR": psnr, "SSIM": ssim}
MODEL, MEAN, INPUT = "the model", "the mean training photo", "the input itself"


def pairs(folder: Path, direction: str) -> Iterator[tuple[Path, np.ndarray, np.ndarray]]:
    """Yield file, source and target [h, w, c] of every pair. Raises ValueError for an odd width or no image."""
    files = list_images(folder)
    if not files:
        raise ValueError(f"{folder}: no images; expected files with A on the left and B on the right")
    for file in files:
        both = flatten(read_image(file))
        if both.shape[1] % 2:
            raise ValueError(f"{file}: {both.shape[1]} pixels wide; two images side by side have an even width")
        a, b = np.split(both, 2, axis=1)
        yield (file, a, b) if direction == "a2b" else (file, b, a)


def mean_photo(folder: Path, direction: str, form: Domain) -> np.ndarray:
    """Return the mean of all targets in a folder, as float64 at the size of the first, in the form of the domain."""
    total, count = None, 0
    for _, _, target in pairs(folder, direction):
        target = convert(target, form.channels, form.bits).astype(np.float64)
        total = target if total is None else total + fit(target, total)
        count += 1
    assert total is not None  # pairs() has raised where there are none
    return total / count


def fit(image: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Resize ``image`` to the size of ``like``."""
    if image.shape[:2] == like.shape[:2]:
        return image
    return cv2.resize(image, like.shape[1::-1], interpolation=cv2.INTER_AREA).reshape(*like.shape[:2], -1)


def evaluate(model: Model, folder: Path, train: Path, direction: str) -> dict[str, Any]:
    """Return the means by method and metric, and the figures of every image."""
    form = model.spec.target
    mean = mean_photo(train, direction, form)
    images: dict[str, dict[str, dict[str, float]]] = {}
    for file, source, target in pairs(folder, direction):
        truth = convert(target, form.channels, form.bits)
        guess = np.clip(fit(mean, truth).round(), 0, form.peak).astype(truth.dtype)
        answers = {
            MODEL: convert(model(source), form.channels, form.bits),
            MEAN: guess,
            INPUT: convert(source, form.channels, form.bits),
        }
        name = file.relative_to(folder).as_posix()
        images[name] = {
            who: {metric: score(answer, truth) for metric, score in METRICS.items()} for who, answer in answers.items()
        }
        print(f"\r{len(images)} images", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    means = {
        who: {metric: float(np.mean([image[who][metric] for image in images.values()])) for metric in METRICS}
        for who in (MODEL, MEAN, INPUT)
    }
    return {"images": len(images), "direction": direction, "means": means, "by_image": images}


def table(results: dict[str, Any]) -> str:
    """Return the means as a Markdown table, and how often the model is the closest of the three."""
    lines = [f"| {results['images']} images | L1 | PSNR (dB) | SSIM |", "|---|---|---|---|"]
    for who, mean in results["means"].items():
        lines.append(f"| {who} | {mean['L1']:.4f} | {mean['PSNR']:.2f} | {mean['SSIM']:.4f} |")
    shares = []
    for metric in METRICS:
        best = min if metric == "L1" else max
        wins = sum(
            best(image, key=lambda who, image=image: image[who][metric]) == MODEL  # type: ignore[misc]
            for image in results["by_image"].values()
        )
        shares.append(f"{100 * wins / results['images']:.0f} %")
    lines.append(f"| images on which the model is best | {' | '.join(shares)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="an .onnx file that i2i export wrote")
    parser.add_argument("pairs", type=Path, help="a folder of images with A on the left and B on the right")
    parser.add_argument("--train", type=Path, help="the training pairs, for the mean photo [PAIRS/../train]")
    parser.add_argument("--direction", choices=["a2b", "b2a"], help="[the model's own]")
    parser.add_argument("--provider", default="auto", help="auto, cpu or cuda [auto]")
    parser.add_argument("--json", type=Path, help="also write all numbers to this file")
    arguments = parser.parse_args()
    try:
        model = i2i.load(arguments.model, provider=arguments.provider)
        results = evaluate(
            model,
            arguments.pairs,
            arguments.train or arguments.pairs.parent / "train",
            arguments.direction or model.spec.direction,
        )
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    results = {"model": arguments.model.name, "provider": model.provider, "recipe": model.spec.recipe, **results}
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))
    print(table(results))


if __name__ == "__main__":
    main()
