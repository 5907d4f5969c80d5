#!/usr/bin/env python3
"""Measures reconstruction and latent arithmetic of generators with an encoder, on the demo's faces.

    i2i demo --what family
    i2i train vaegan --data i2i-demo/family --out vaegan
    python tools/reproduce/arithmetic.py i2i-demo/family vaegan bigan -o sheets/

A classifier of all attributes learns from the training drawings (attributes.csv). The exported ``any`` translates each
test drawing to the other three groups. "gained" is the share of results that have what was asked for, and "kept" the
share in which an attribute that was not asked for is still the drawing's own: glasses, colour of hair and of skin, and
the one of smile and sex that should stay. The reconstructions show what is lost by encoding alone; their L1 is of 255.
"arithmetic" is the share of smiling men among the images of ``--mean "smiling-woman - calm-woman + calm-man"``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from words import train

import i2i
from i2i.data import View, read_folders
from i2i.engine import load_translator
from i2i.exporter import export
from i2i.runtime.model.generator import Generator
from i2i.sheets import sheet

MEAN = "smiling-woman - calm-woman + calm-man"
GROUPS = ("smiling-woman", "calm-woman", "smiling-man", "calm-man")
KEPT = ("smiling", "woman", "glasses", "hair", "skin")
SHOWN = 8  # faces of a sheet


class Judge:
    """A classifier of attributes: images, uint8 [n, h, w, 3], to the value of each of ``KEPT``, [n, 5]."""

    def __init__(self, net: nn.Module, names: Sequence[str]) -> None:
        self.net = net
        self.members = [
            [i for i, name in enumerate(names) if name == kept or name.endswith(f"-{kept}")] for kept in KEPT
        ]

    def __call__(self, images: np.ndarray) -> np.ndarray:
        x = torch.from_numpy(images).permute(0, 3, 1, 2) / 127.5 - 1
        with torch.no_grad():
            logits = torch.cat([self.net(part) for part in x.split(100)]).numpy()
        return self.values(logits)

    def values(self, scores: np.ndarray) -> np.ndarray:
        """Return the values that scores [n, attributes] mean: of a single attribute 0 or 1, of several the largest."""
        columns = [scores[:, m].argmax(1) if len(m) > 1 else (scores[:, m[0]] > 0).astype(int) for m in self.members]
        return np.stack(columns, 1)


def pixels(x: Tensor) -> np.ndarray:
    """Images [n, 3, h, w] in [-1, 1] as uint8 [n, h, w, 3]."""
    return ((x.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()


def reconstructed(run: Path, x: Tensor) -> np.ndarray:
    """Return G(E(x)) as pixels."""
    translator = load_translator(run)
    with torch.no_grad():
        return pixels(translator.shown(x)["G(E(x))"])  # type: ignore[operator]


def measure(run: Path, x: Tensor, truth: np.ndarray, judge: Judge, count: int) -> tuple[str, list[list[np.ndarray]]]:
    """Return the row of a run in the table, and the images of its sheet."""
    images, again = pixels(x), reconstructed(run, x)
    lost = np.abs(images.astype(float) - again).mean()
    still = (judge(again) == truth).mean(0)
    model = i2i.load(export(run, to="any"))
    gained: dict[str, list[bool]] = {"smile": [], "sex": [], "both": []}
    kept, shown = [], [list(images[:SHOWN]), list(again[:SHOWN])]
    for group in GROUPS:
        wanted = np.array([group.startswith("smiling"), group.endswith("woman")])
        made = np.stack([model(image, to=group) for image in images])
        seen, changes = judge(made), truth[:, :2] != wanted
        shown.append(list(made[:SHOWN]))
        for value, own, changed in zip(seen, truth, changes, strict=True):
            if changed.any():
                what = "both" if changed.all() else "smile" if changed[0] else "sex"
                gained[what].append(bool((value[:2][changed] == wanted[changed]).all()))
                kept.append((value == own)[[*~changed, True, True, True]].mean())
    drawn = Generator(export(run, to="generate")).sample(count, mean=MEAN)
    arithmetic = (judge(drawn)[:, :2] == [1, 0]).all(1).mean()
    figures = [lost, *(100 * np.mean(values) for values in (still, *gained.values(), kept, arithmetic))]
    return f"| {run.name} | " + " | ".join(f"{figure:.1f}" for figure in figures) + " |", shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder that the demo drew")
    parser.add_argument("runs", type=Path, nargs="+", help="runs of vaegan or bigan")
    parser.add_argument("-o", "--out", type=Path, help="folder of a sheet for each run")
    parser.add_argument("--steps", type=int, default=1000, help="of training the classifier [1000]")
    parser.add_argument("--count", type=int, default=200, help="images of the arithmetic [200]")
    arguments = parser.parse_args()
    data = {"data": arguments.data, "attributes": arguments.data / "attributes.csv", "channels": 3}
    training, test = (read_folders("domains", split=split, **data) for split in ("train", "test"))
    size = load_translator(arguments.runs[0]).prior().size  # type: ignore[union-attr]
    samples = [test.sample(position, 0, View.plain(size)) for position in range(len(test))]
    x, labels = torch.stack([sample["x"] for sample in samples]), torch.stack([sample["c"] for sample in samples])
    judge = Judge(train(training, size, arguments.steps), training.domains)
    truth = judge.values(labels.numpy() - 0.5)
    right = (judge(pixels(x)) == truth).mean(0)
    print("the classifier on test drawings: " + ", ".join(f"{n} {r:.1%}" for n, r in zip(KEPT, right, strict=True)))
    print("\n| run | L1 | kept when reconstructed | smile gained | sex gained | both gained | kept | arithmetic |")
    print("|---|---|---|---|---|---|---|---|")
    for run in arguments.runs:
        row, shown = measure(run, x, truth, judge, arguments.count)
        print(row, flush=True)
        if arguments.out is not None:
            rows = [list(column) for column in zip(*shown, strict=True)]
            sheet(rows, ["x", "G(E(x))", *GROUPS], arguments.out / f"{run.name}.png", cell=128)


if __name__ == "__main__":
    main()
