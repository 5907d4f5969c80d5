#!/usr/bin/env python3
"""Unsupervised domain adaptation between MNIST and USPS: the digits of UNIT's table 3 (arXiv:1703.00848, section 4).

    python tools/reproduce/digits.py --data DIGITS --out results.jsonl      trains what is not in the file yet
    python tools/reproduce/digits.py --out results.jsonl --table            prints the table

A classifier is trained on the source's labelled images, half of them translated to the target by the current
translator, and measured on the target's test images after the last step. The target's labels are used for nothing else.
The classifier is a separate network, the same for every method (in the paper it shares layers with the discriminators);
for ``source`` nothing is translated. Every method has the same steps, batches and augmentation.

DIGITS contains ``mnist/*-ubyte.gz`` and ``usps/usps_train.npz``. MNIST is tested on its own 10,000 test images. The
file of USPS has none, so 1,800 of its 7,291 images are held out: they are not those of the published figures. Another
test set is measured with ``--test FILE.npz`` (images [n, h, w], 0..255 or 0..1, and labels). USPS's 16 x 16 pixels are
resized to 28 x 28, without the border that MNIST has. ``--development`` measures on 3,000 training images of the target
instead of the test set: the settings below were chosen so, and the test images were used once, for the table.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from games import METHODS, SIDE, Learner
from torch import Tensor, cat, nn
from torch.nn.functional import affine_grid, grid_sample, interpolate

from i2i.engine.ema import EMA
from i2i.engine.step import Move, play
from i2i.sheets import sheet
from i2i.translators import Translator

HELD_OUT, DEVELOPMENT = 1800, 3000
DIRECTIONS = {"mnist2usps": ("mnist", "usps"), "usps2mnist": ("usps", "mnist")}
# What the result depends on, the method's own options apart.
SETTINGS: dict[str, Any] = {
    "steps": 2000,  # of the classifier, which costs little
    "game_every": 4,  # of those steps is one of the translator's game
    "batch": 16,  # images of each domain in the game
    "labelled": 96,  # images of the source for the classifier
    "ema": 0.995,  # of the classifier that is measured
    "augment": {"rotation": 15.0, "stretch": 0.2, "zoom": 0.35, "shear": 0.25, "shift": 0.12},
    "classifier": 16,  # its first layer's filters
    "networks": {"ngf": 12, "ndf": 16, "lr": 1e-3},
}
OPTIONS: dict[str, dict[str, Any]] = {
    "source": {},
    "direct": {"discriminator": "patch_2"},
    "cut": {"generator": "resnet_2", "discriminator": "patch_2", "upsample": "resize", "antialias": False},
    "cyclegan": {"discriminator": "patch_2", "lambda_identity": 0.0},
    "unit": {"discriminator": "unit_3"},
}
NOT_AUGMENTED = "not augmented"
PUBLISHED = {  # test accuracy as published, of the step that was best on the test set
    "CoGAN, published": (0.9565, 0.9315),
    "UNIT, published": (0.9597, 0.9358),
}


class Digits(NamedTuple):
    """Images [n, 1, 28, 28] in [-1, 1] and the digits they show."""

    images: Tensor
    labels: Tensor

    def part(self, index: Any) -> Digits:
        return Digits(self.images[index], self.labels[index])

    def to(self, device: torch.device) -> Digits:
        return Digits(self.images.to(device), self.labels.to(device))


def digits(images: np.ndarray, labels: np.ndarray) -> Digits:
    """Convert images [n, h, w], 0..255 if integers and else 0..1, resized bilinearly. Raises ValueError."""
    if images.ndim != 3 or labels.shape != images.shape[:1] or not len(images):
        raise ValueError(f"images are {images.shape} and labels {labels.shape}; expected [n, h, w] and [n]")
    scale = 255.0 if np.issubdtype(images.dtype, np.integer) else 1.0
    x = torch.from_numpy(images.astype(np.float32) / scale * 2 - 1)[:, None]
    if x.abs().max() > 1 or labels.min() < 0 or labels.max() > 9:
        raise ValueError("expected images of 0..255 as integers or 0..1, and labels of 0..9")
    if x.shape[-2:] != (SIDE, SIDE):
        x = interpolate(x, size=(SIDE, SIDE), mode="bilinear", align_corners=False, antialias=max(x.shape) > SIDE)
    return Digits(x, torch.from_numpy(labels.astype(np.int64)))


def read_idx(path: Path) -> np.ndarray:
    """Read a file in MNIST's format. Raises ValueError for another format."""
    content = gzip.decompress(path.read_bytes())
    dimensions = content[3] if content[:3] == b"\0\0\x08" else 0
    shape = np.frombuffer(content, ">u4", dimensions, offset=4) if dimensions else np.zeros(0)
    if not dimensions or len(content) != 4 + 4 * dimensions + int(shape.prod()):
        raise ValueError(f"{path} is no idx file of bytes")
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def read_npz(path: Path) -> Digits:
    with np.load(path) as archive:
        return digits(archive["images"], archive["labels"])


def read_domains(folder: Path) -> dict[str, tuple[Digits, Digits]]:
    """Read the training and test images of both domains."""
    mnist = [
        digits(*(read_idx(folder / "mnist" / f"{split}-{what}-ubyte.gz") for what in ("images-idx3", "labels-idx1")))
        for split in ("train", "t10k")
    ]
    usps = read_npz(folder / "usps" / "usps_train.npz")
    order = np.random.default_rng(0).permutation(len(usps.images))
    return {"mnist": (mnist[0], mnist[1]), "usps": (usps.part(order[HELD_OUT:]), usps.part(order[:HELD_OUT]))}


def augmented(images: Tensor, rotation: float, stretch: float, zoom: float, shear: float, shift: float) -> Tensor:
    """Apply a random affine map to each image; angles in degrees, the rest in logarithms and half widths."""

    def within(bound: float) -> Tensor:
        return (torch.rand(len(images), device=images.device) * 2 - 1) * bound

    angle, wide, large, slant = within(rotation * np.pi / 180), within(stretch).exp(), within(zoom).exp(), within(shear)
    c, s = angle.cos(), angle.sin()
    rows = [
        torch.stack([c * wide * large, (slant * c - s) / wide * large, within(shift)], 1),
        torch.stack([s * wide * large, (slant * s + c) / wide * large, within(shift)], 1),
    ]
    grid = affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return grid_sample(images + 1, grid, align_corners=False) - 1  # what comes in from outside is black


@torch.no_grad()
def drawn(domain: Digits, n: int, augment: dict[str, float]) -> Digits:
    """Draw n random images, each augmented separately."""
    found = domain.part(torch.randint(len(domain.images), (n,)))
    return found._replace(images=augmented(found.images, **augment))


def train(
    method: str, source: Digits, target: Digits, seed: int, settings: dict[str, Any]
) -> tuple[Translator | None, nn.Module]:
    """Train ``method`` for all its steps; return the translator and the averaged classifier.

    The target's labels are not read. Raises FloatingPointError if a loss is not finite.
    """
    torch.manual_seed(seed)
    device = source.images.device
    translator = METHODS[method](**settings["networks"], **settings["options"])
    if translator:
        translator.to(device, memory_format=torch.channels_last)
    learner = Learner(translator, settings["classifier"], settings["networks"]["lr"])
    learner.to(device, memory_format=torch.channels_last)
    game, lesson = (
        {name: Move(player) for name, player in one.players().items()} if one else {} for one in (translator, learner)
    )
    ema = EMA({"C": learner.C}, settings["ema"])
    steps, augment, terms = settings["steps"], settings["augment"], {}
    for step in range(steps):
        rate = min(1.0, 2 * (1 - step / steps))
        if translator and step % settings["game_every"] == 0:
            x, y = (drawn(domain, settings["batch"], augment).images for domain in (source, target))
            terms = play(translator, game, {"x": x, "y": y}, step // settings["game_every"], rate)
        images, labels = drawn(source, settings["labelled"], augment)
        terms |= play(learner, lesson, {"labelled": images, "labels": labels}, step, rate)
        ema.update(step)
        if (step + 1) % 100 == 0:
            found = {name: round(float(term), 3) for name, term in terms.items()}
            if not all(np.isfinite(value) for value in found.values()):
                raise FloatingPointError(f"{method} diverged before step {step + 1}: {found}")
            print(method, seed, step + 1, found, file=sys.stderr, flush=True)
    return translator, ema.networks["C"].eval()


@torch.no_grad()
def accuracy(classifier: nn.Module, test: Digits) -> float:
    """Return the share of the images that are classified correctly."""
    said = cat([classifier(images).argmax(1) for images in test.images.split(1000)])
    return float((said == test.labels).double().mean())


def picture(translator: Translator, source: Digits, target: Digits, path: Path) -> None:
    """Draw a sheet of the views of ten images of each domain, without augmentation."""
    translator.eval()
    with torch.no_grad():
        n = 10
        views = translator({"x": source.images[:n], "y": target.images[:n]})
    shown = {k: ((v.clamp(-1, 1) + 1) * 127.5).byte().cpu() for k, v in views.items() if v.ndim == 4}
    rows = [[view[i].permute(1, 2, 0).numpy() for view in shown.values()] for i in range(n)]
    sheet(rows, list(shown), path, cell=56)


def read_results(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def differences(result: dict[str, Any]) -> list[str]:
    """Describe the test set of a result, and the settings in which it differs from the standard."""
    standard = SETTINGS | {"options": OPTIONS.get(plain(result["method"]), {})}
    found = [] if result["measured_on"] == "test" else [f"on {result['measured_on']}"]
    for name in dict.fromkeys([*standard, *result["settings"]]):
        usual, value = standard.get(name), result["settings"].get(name)
        if name == "augment" and value and not any(value.values()):
            found.append(NOT_AUGMENTED)
        elif isinstance(usual, dict) and isinstance(value, dict):
            keys = [key for key in dict.fromkeys([*usual, *value]) if usual.get(key) != value.get(key)]
            found += [f"{name} {key} {value.get(key)}" for key in keys]
        elif value != usual:
            found.append(f"{name} {value}")
    return found


def plain(method: str) -> str:
    return method.removesuffix(f", {NOT_AUGMENTED}")


def rows(results: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Group the results that may be averaged: equal method, settings and test sets, which the row's name states."""
    found: dict[str, list[dict[str, Any]]] = {}
    for result in results:
        found.setdefault(", ".join([plain(result["method"]), *differences(result)]), []).append(result)
    whole: dict[str, list[dict[str, Any]]] = {}
    for name, row in found.items():
        sizes = {direction: {one["images"] for one in row if one["direction"] == direction} for direction in DIRECTIONS}
        for one in row:
            several = len(sizes[one["direction"]]) > 1
            whole.setdefault(f"{name}, {one['images']} test images" if several else name, []).append(one)
    return whole


def table(results: list[dict[str, Any]]) -> str:
    """Return a Markdown table: mean ± standard deviation over the seeds, and the mean time of a training by device."""
    lines = [
        "| method | MNIST -> USPS | USPS -> MNIST | seeds | seconds a training by the clock (processor seconds) |",
        "|---|---|---|---|---|",
    ]
    for name, row in rows(results).items():
        cells, seeds = [], []
        for direction in DIRECTIONS:
            found = {(one["seed"], i): one["accuracy"] for i, one in enumerate(row) if one["direction"] == direction}
            spread = f" ± {statistics.stdev(found.values()):.4f}" if len(found) > 1 else ""
            cells.append(f"{statistics.mean(found.values()):.4f}{spread}" if found else "–")
            seeds.append(", ".join(str(seed) for seed, _ in sorted(found)) or "–")
        times = []
        for device in dict.fromkeys(one["device"] for one in row):
            here = [one for one in row if one["device"] == device]
            wall, process = (statistics.mean(one[k] for one in here) for k in ("seconds", "processor_seconds"))
            times.append(f"{wall:.0f} on {device} ({process:.0f})")
        counts = seeds[0] if seeds[0] == seeds[1] else " / ".join(seeds)
        lines.append(f"| {name} | {' | '.join(cells)} | {counts} | {'; '.join(times)} |")
    lines += [f"| {name} | {there:.4f} | {back:.4f} | | |" for name, (there, back) in PUBLISHED.items()]
    return "\n".join(lines)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    root = os.environ.get("I2I_TEST_DATA")
    parser.add_argument("--data", type=Path, default=root and Path(root) / "data" / "digits", help="folder of digits")
    parser.add_argument("--out", type=Path, default=Path("digits.jsonl"), help="results, a line each")
    parser.add_argument("--table", action="store_true", help="print the table of --out and do nothing else")
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--directions", nargs="+", choices=list(DIRECTIONS), default=list(DIRECTIONS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=SETTINGS["steps"])
    parser.add_argument("--no-augmentation", action="store_true", help="images as they are")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda ...")
    parser.add_argument("--test", type=Path, metavar="FILE.npz", help="test set of the target, in place of its own")
    parser.add_argument("--development", action="store_true", help="measure on training images of the target instead")
    parser.add_argument("--sheets", type=Path, metavar="DIR", help="also draw what the translators made")
    options = parser.parse_args()
    if options.test and (options.development or len(options.directions) > 1):
        parser.error("--test is one target's: give one of --directions with it, and no --development")
    if not options.table and not options.data:
        parser.error("expected --data, the folder of digits")
    return options


def main() -> int:
    options = parse()
    if options.table:
        print(table(read_results(options.out)))
        return 0
    name = ("cuda" if torch.cuda.is_available() else "cpu") if options.device == "auto" else options.device
    device = torch.device(name)
    domains = read_domains(options.data)
    measured = options.test.name if options.test else "development" if options.development else "test"
    shared = SETTINGS | {"steps": options.steps}
    if options.no_augmentation:
        shared |= {"augment": dict.fromkeys(SETTINGS["augment"], 0.0)}
    for seed in options.seeds:
        for method in options.methods:
            for direction in options.directions:
                settings = shared | {"options": OPTIONS[method]}
                name = method if not options.no_augmentation else f"{method}, {NOT_AUGMENTED}"
                key = {"method": name, "direction": direction, "seed": seed, "measured_on": measured}
                key |= {"settings": settings}
                if any(key.items() <= result.items() for result in read_results(options.out)):
                    continue
                source, target = (domains[domain] for domain in DIRECTIONS[direction])
                test = read_npz(options.test) if options.test else target[1]
                if options.development:
                    test = target[0].part(slice(DEVELOPMENT))
                began, computed = time.time(), time.process_time()
                translator, classifier = train(method, source[0].to(device), target[0].to(device), seed, settings)
                found = accuracy(classifier, test.to(device))
                times = {"seconds": time.time() - began, "processor_seconds": time.process_time() - computed}
                result = key | {"accuracy": found, "images": len(test.labels)}
                result |= {k: round(v, 1) for k, v in times.items()}
                result |= {"device": str(device), "torch": torch.__version__}
                with options.out.open("a") as file:
                    file.write(json.dumps(result) + "\n")
                print(name, direction, seed, measured, found, flush=True)
                if options.sheets and translator:
                    options.sheets.mkdir(parents=True, exist_ok=True)
                    path = options.sheets / f"{method}-{direction}-{seed}.png"
                    picture(translator, source[0].to(device), target[0].to(device), path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
