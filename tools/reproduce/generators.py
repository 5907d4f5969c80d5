#!/usr/bin/env python3
"""Generators from noise on MNIST: what a classifier says of their digits, and InfoGAN's code beside the digit it draws.

    python tools/reproduce/generators.py --data DIGITS --out FOLDER
    python tools/reproduce/generators.py --data DIGITS --out FOLDER --games dcgan-vanilla infogan --steps 500

Each game is trained as ``i2i train`` does, exported, and draws the images of the seeds 0, 1, ... A classifier, trained
on all of MNIST's labelled training images, is sure of an image if its largest probability is above 0.9. The table has
the share of images that it is sure of; the entropy of the ten classes among all images, 1 where they are equally
frequent, and the smallest share of a class, 0.1 at most; and KID between its features of the drawn images and of the
test images. Mode collapse shows in the entropy and the smallest share, whatever the single image looks like. The first
row, training images in the place of drawn ones, is what a perfect generator would reach.

DIGITS contains ``mnist/*-ubyte.gz``. FOLDER keeps the images, the runs, the classifier and a sheet of each game; the
same command again trains what is not finished and prints the table.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import torch
from digits import Digits, digits, read_idx
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import i2i
from i2i.atomic import atomically
from i2i.engine import load_translator
from i2i.metrics import kid
from i2i.runtime.graphs.onnx_file import read_spec
from i2i.sampling import latent
from i2i.sheets import sheet

SURE = 0.9
SHOWN = 8  # rows and columns of a sheet
SMALL = {"ngf": 32, "ndf": 32}
FAST = {**SMALL, "lr": 5e-4}  # these trainings are short
PLAIN = {**FAST, "norm": "none"}  # a constraint on single images or layers goes without batch norm in D
GAMES: dict[str, tuple[str, dict[str, Any]]] = {
    "gan": ("gan", {"hidden": 256, "lr": 5e-4}),
    "dcgan-vanilla": ("dcgan", FAST),
    "dcgan-minimax": ("dcgan", {**FAST, "objective": "minimax"}),
    "dcgan-lsgan": ("dcgan", {**FAST, "objective": "lsgan"}),
    "dcgan-hinge": ("dcgan", {**FAST, "objective": "hinge"}),
    "dcgan-margin": ("dcgan", {**FAST, "objective": "margin"}),
    "dcgan-wgan-clip": ("dcgan", {**PLAIN, "objective": "wgan", "constraint": "clip", "n_critic": 2}),
    "dcgan-wgan-gp": ("dcgan", {**PLAIN, "objective": "wgan", "constraint": "gp", "n_critic": 2}),
    "dcgan-vanilla-r1": ("dcgan", {**PLAIN, "constraint": "r1"}),
    "dcgan-hinge-spectral": ("dcgan", {**PLAIN, "objective": "hinge", "constraint": "spectral"}),
    "dcgan-smoothing": ("dcgan", {**FAST, "smoothing": 0.1}),
    "dcgan-noise": ("dcgan", {**FAST, "noise": 0.1}),
    "dcgan-minibatch": ("dcgan", {**FAST, "minibatch": 16}),
    "dcgan-matching": ("dcgan", {**FAST, "matching": 10.0}),
    "dcgan-balance": ("dcgan", {**FAST, "balance": 0.5}),
    "began": ("began", {"filters": 16, "lr": 5e-4, "gamma": 0.95, "lambda_k": 0.02}),
    "energy": ("energy", {"ndf": 32, "langevin": 40, "step_size": 2.0, "clip": 0.0, "pool": 4000}),
    "infogan": ("infogan", {**SMALL, "codes": "digit=10,first,second"}),
}
"""Method and hyper-parameters of each game: the objectives and constraints, and the training aids one by one. The two
of ``wgan`` have fewer steps of the critic than their authors' 5, so that G moves often enough within the same
length."""


class Classifier(nn.Module):
    """Digits of [n, 1, 28, 28] in [-1, 1]: logits [n, classes]; ``features`` is its last hidden layer, [n, 64]."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(32 * 7 * 7, 64), nn.ReLU(),
        )  # fmt: skip
        self.head = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


def trained_classifier(training: Digits, steps: int, path: Path) -> Classifier:
    """Return the classifier stored at ``path``, or train it for ``steps`` steps of 128 images and store it there."""
    torch.manual_seed(0)
    classifier = Classifier()
    if path.exists():
        classifier.load_state_dict(torch.load(path, weights_only=True))
        return classifier.eval()
    optimizer = torch.optim.Adam(classifier.parameters(), lr=1e-3)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 1e-3 * (1 - step / steps)
        part = training.part(torch.randint(len(training.images), (128,)))
        optimizer.zero_grad()
        cross_entropy(classifier(part.images), part.labels).backward()
        optimizer.step()
    atomically(path, lambda temporary: torch.save(classifier.state_dict(), temporary))
    return classifier.eval()


@dataclass(frozen=True)
class Verdict:
    """What the classifier says of images: the digit of each, the probability of that, and features [n, 64]."""

    digit: np.ndarray
    probability: np.ndarray
    features: np.ndarray

    @property
    def sure(self) -> float:
        """Share of the images of which it is sure."""
        return float((self.probability > SURE).mean())

    @property
    def shares(self) -> np.ndarray:
        """Share of each digit among all images, [10]."""
        return np.bincount(self.digit, minlength=10) / len(self.digit)

    @property
    def entropy(self) -> float:
        """Entropy of the shares over that of ten equal ones, from 0 to 1."""
        there = self.shares[self.shares > 0]
        return float(-(there * np.log(there)).sum() / np.log(10)) + 0.0


@torch.no_grad()
def judged(classifier: Classifier, images: Tensor) -> Verdict:
    """Judge images [n, 1, 28, 28] in [-1, 1]."""
    features = torch.cat([classifier.features(part) for part in images.split(1000)])
    probability, digit = classifier.head(features).softmax(1).max(1)
    return Verdict(digit.numpy(), probability.numpy(), features.numpy())


def write_images(training: Digits, count: int, folder: Path) -> None:
    """Write the first ``count`` training images as PNG files. Raises ValueError for a folder that has more."""
    folder.mkdir(parents=True, exist_ok=True)
    there = sum(1 for _ in folder.iterdir())
    if there > min(count, len(training.images)):
        raise ValueError(f"{folder} has {there} images, and {count} are wanted; give another --out")
    if there == min(count, len(training.images)):
        return
    for number, image in enumerate(training.images[:count]):
        cv2.imwrite(str(folder / f"{number:05d}.png"), ((image[0] + 1) * 127.5).round().byte().numpy())


def drawn(model: Path, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the z and the images, uint8 [count, 28, 28, 1], of the seeds 0 to count - 1.

    ``model`` is an exported file, or the run of an energy-based model, whose z are none.
    """
    if model.is_dir():
        chains: Any = load_translator(model)
        images = torch.cat([chains.sample(min(100, count - seed), seed) for seed in range(0, count, 100)])
        return np.empty((count, 0)), ((images + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    spec = read_spec(model)
    assert spec is not None
    assert spec.prior is not None
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    z = latent(spec.prior, range(count))
    images = [session.run(None, {"z": part})[0] for part in np.array_split(z, -(-count // 100))]
    return z, np.concatenate(images)


def codes_of(model: Path, z: np.ndarray) -> np.ndarray | None:
    """Return the value of the first categorical code of each z [n, length]; None for a model without one."""
    if not z.size:
        return None
    spec = read_spec(model)
    assert spec is not None
    assert spec.prior is not None
    start = spec.prior.noise
    for code in spec.prior.codes:
        if code.values:
            return z[:, start : start + code.values].argmax(1)
        start += code.width
    return None


def confusion(code: np.ndarray, digit: np.ndarray) -> np.ndarray:
    """Return how many images of each value of a code show each digit, [values, 10]."""
    found = np.zeros((code.max() + 1, 10), int)
    np.add.at(found, (code, digit), 1)
    return found


def purity(matrix: np.ndarray) -> float:
    """Share of the images that show the digit which is the most frequent one of their code's value."""
    return float(matrix.max(1).sum() / matrix.sum())


def matrix_table(name: str, matrix: np.ndarray) -> str:
    lines = [f"{name}: images of each value of the code (rows) by judged digit; purity {purity(matrix):.3f}", ""]
    lines += ["| code | " + " | ".join(map(str, range(10))) + " |", "|---|" + "---|" * 10]
    return "\n".join(lines + [f"| {i} | " + " | ".join(map(str, row)) + " |" for i, row in enumerate(matrix)])


def row(name: str, verdict: Verdict, real: np.ndarray) -> str:
    """Return the table's row. For KID the features have a mean square of 1 on the real images."""
    scale = np.sqrt(np.square(real).mean())
    distance = kid(verdict.features / scale, real / scale)
    return (
        f"| {name} | {verdict.sure:.3f} | {verdict.entropy:.3f} | {verdict.shares.min():.3f} | {distance.value:.3f} "
        f"[{distance.low:.3f}, {distance.high:.3f}] |"
    )


def train(name: str, images: Path, options: argparse.Namespace) -> Path:
    """Train a game if it is not finished; return its exported file."""
    method, hyperparameters = GAMES[name]
    run = i2i.train(
        method, out=options.out / name, data=images, select="none", size=28, batch=options.batch,
        steps=options.steps, seed=options.seed, sample_every=max(options.steps // 5, 1), workers=1, ema=0.99,
        quiet=options.quiet, **hyperparameters,
    )  # fmt: skip
    step = json.loads((run / "run.json").read_text())["step"]
    if step != options.steps:
        raise ValueError(f"{run} was trained for {step} steps, and {options.steps} are wanted; give another --out")
    return run if method == "energy" else i2i.export(run)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    root = os.environ.get("I2I_TEST_DATA")
    parser.add_argument("--data", type=Path, default=root and Path(root) / "data" / "digits", help="folder of digits")
    parser.add_argument("--out", type=Path, default=Path("generators"), help="folder of images, runs and sheets")
    parser.add_argument("--games", nargs="+", choices=list(GAMES), default=list(GAMES))
    parser.add_argument("--steps", type=int, default=4000, help="of each game")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--images", type=int, default=20_000, help="of the training set that the games see")
    parser.add_argument("--samples", type=int, default=1000, help="that are judged")
    parser.add_argument("--classifier-steps", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quiet", action="store_true")
    options = parser.parse_args()
    if not options.data:
        parser.error("expected --data, the folder of digits")
    return options


def main() -> int:
    options = parse()
    training, test = (
        digits(
            *(read_idx(options.data / "mnist" / f"{split}-{what}-ubyte.gz") for what in ("images-idx3", "labels-idx1"))
        )
        for split in ("train", "t10k")
    )
    images = options.out / "images"
    write_images(training, options.images, images)
    file = options.out / f"classifier-{options.classifier_steps}.pt"
    classifier = trained_classifier(training, options.classifier_steps, file)
    real = judged(classifier, test.images)
    correct = float((real.digit == test.labels.numpy()).mean())
    rows = [row("training images", judged(classifier, training.images[: options.samples]), real.features)]
    matrices = []
    for name in options.games:
        model = train(name, images, options)
        z, made = drawn(model, options.samples)
        grid = [list(made[start : start + SHOWN]) for start in range(0, SHOWN * SHOWN, SHOWN)]
        full = [line for line in grid if len(line) == SHOWN]
        if full:
            sheet(full, [""] * SHOWN, options.out / "sheets" / f"{name}.png", cell=56)
        verdict = judged(classifier, torch.from_numpy(made).permute(0, 3, 1, 2) / 127.5 - 1)
        rows.append(row(name, verdict, real.features))
        print(rows[-1], flush=True)
        code = codes_of(model, z)
        if code is not None:
            matrices.append(matrix_table(name, confusion(code, verdict.digit)))
    print(
        f"\n{options.samples} images of each game, {options.steps} steps of {options.batch} images; the classifier is "
        f"right on {correct:.4f} of the test images and sure of {real.sure:.4f}\n\n"
        f"| game | sure (> {SURE}) | entropy | smallest share | KID |\n|---|---|---|---|---|\n" + "\n".join(rows)
    )
    print(*("\n" + matrix for matrix in matrices), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
