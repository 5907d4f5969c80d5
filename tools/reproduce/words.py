#!/usr/bin/env python3
"""Measures how often a generator draws what a caption says, on the demo's houses.

    i2i demo --what captions
    i2i train stackgan --data i2i-demo/captions --size 32 --batch 32 --out stackgan
    python tools/reproduce/words.py i2i-demo/captions stackgan -o sheet.png

A classifier of all attributes learns from the training drawings (attributes.csv), at the generator's size; its accuracy
on the test drawings is printed. Then the generator draws the captions of the test drawings, whose combinations of
attributes training never saw, and the classifier looks for what each caption states. Needs i2i[train].
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from i2i.data import Batches, Dataset, View, read_folders
from i2i.demo.captions import ROOFS, TREES, WALLS, stated
from i2i.exporter import export
from i2i.images import Image, write_image
from i2i.progress import Progress
from i2i.runtime.graphs.onnx_file import read_spec
from i2i.runtime.providers.table import open_session
from i2i.sampling import latent
from i2i.words import text_input

GROUPS = {
    "roof": [f"{name}-roof" for name in ROOFS],
    "walls": [f"{name}-walls" for name in WALLS],
    "trees": list(TREES),
    "night": ["night"],
    "clouds": ["clouds"],
}
BATCH = 32


def classifier(attributes: int) -> nn.Sequential:
    """Images [n, 3, h, w] in [-1, 1] to logits [n, attributes]."""
    layers: list[nn.Module] = []
    for before, after in ((3, 24), (24, 48), (48, 64)):
        layers += [
            nn.Conv2d(before, after, 3, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.MaxPool2d(2),
        ]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Dropout(0.3), nn.Linear(1024, attributes))


def train(dataset: Dataset, size: tuple[int, int], steps: int) -> nn.Sequential:
    torch.manual_seed(0)
    judge = classifier(len(dataset.domains))
    optimizer = torch.optim.AdamW(judge.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    with Batches(dataset, View.plain(size), BATCH) as batches, Progress("step", "training the classifier") as progress:
        for step in range(steps):
            batch = next(batches)
            # Noise and flips, so that it does not depend on traces that only drawings have.
            x = batch["x"] + 0.1 * torch.rand(()) * torch.randn(batch["x"].shape)
            loss = binary_cross_entropy_with_logits(judge(x.flip(3) if step % 2 else x), batch["c"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            progress.update(step + 1, steps)
    return judge.eval()


@torch.no_grad()
def seen(judge: nn.Sequential, images: Tensor, names: tuple[str, ...]) -> list[dict[str, str]]:
    """Return for each image and group the attribute that the classifier sees, or "" where a single one is missing."""
    logits = torch.cat([judge(part) for part in images.split(100)])
    found: list[dict[str, str]] = [{} for _ in images]
    for group, members in GROUPS.items():
        scores = logits[:, [names.index(name) for name in members]]
        for image, row in zip(found, scores, strict=True):
            image[group] = members[int(row.argmax())] if len(members) > 1 or row[0] > 0 else ""
    return found


def asked(caption: str) -> dict[str, str]:
    """Return what a caption states by group, in the form of ``seen``."""
    values = stated(caption)
    return {
        group: next(name for name in members if values.get(name))
        if len(members) > 1
        else members[0] * values[members[0]]
        for group, members in GROUPS.items()
        if any(values.get(name) for name in members) or (len(members) == 1 and members[0] in values)
    }


def draw(model: Path, captions: list[str]) -> np.ndarray:
    """Return one image of each caption, uint8 [n, h, w, 3], of the seeds 0, 1, 2 and so on."""
    spec, session = read_spec(model), open_session(model, "cpu")
    if spec is None or spec.prior is None:
        raise ValueError(f"{model} is no generator")
    z = latent(spec.prior, range(len(captions)))
    text = np.concatenate([text_input(spec.prior, caption)[0] for caption in captions])
    parts = [session.run({"z": z[i : i + 50], "text": text[i : i + 50]})[0] for i in range(0, len(captions), 50)]
    return np.concatenate(parts)


def report(found: list[dict[str, str]], wanted: list[dict[str, str]]) -> None:
    hits: dict[str, list[bool]] = defaultdict(list)
    for is_, should in zip(found, wanted, strict=True):
        for group, value in should.items():
            hits[group].append(is_[group] == value)
        hits["all of them"].append(all(is_[group] == value for group, value in should.items()))
    for group in (*GROUPS, "all of them"):
        print(f"{group:12} {np.mean(hits[group]):6.1%} of {len(hits[group])}")


def judge_of(data: Path, size: tuple[int, int], steps: int) -> tuple[nn.Sequential, tuple[str, ...]]:
    """Train the classifier, print its accuracy, and return it with the attributes' names."""
    table = {"data": data, "attributes": data / "attributes.csv", "channels": 3}
    dataset, test = (read_folders("domains", split=split, **table) for split in ("train", "test"))
    judge = train(dataset, size, steps)
    samples = [test.sample(position, 0, View.plain(size)) for position in range(len(test))]
    truth = [
        {
            group: next((name for name in members if sample["c"][test.domains.index(name)]), "")
            for group, members in GROUPS.items()
        }
        for sample in samples
    ]
    print(f"the classifier on drawings of {size[1]} x {size[0]} pixels:")
    report(seen(judge, torch.stack([sample["x"] for sample in samples]), test.domains), truth)
    return judge, test.domains


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder that the demo drew")
    parser.add_argument("models", type=Path, nargs="+", help="runs of stackgan, or their ONNX files")
    parser.add_argument("-o", "--out", type=Path, help="a picture of the first 64 results of the last model to write")
    parser.add_argument("--steps", type=int, default=700, help="of training the classifier [700]")
    arguments = parser.parse_args()
    judges: dict[tuple[int, int], tuple[nn.Sequential, tuple[str, ...]]] = {}
    try:
        with open(arguments.data / "captions.csv", newline="", encoding="utf-8") as file:
            captions = [row["caption"] for row in csv.DictReader(file) if row["file"].startswith("test/")]
        for model in arguments.models:
            images = draw(export(model) if model.is_dir() else model, captions)
            size = images.shape[1:3]
            if size not in judges:
                judges[size] = judge_of(arguments.data, size, arguments.steps)
            print(f"{model}:")
            generated = torch.from_numpy(images).permute(0, 3, 1, 2) / 127.5 - 1
            judge, names = judges[size]
            report(seen(judge, generated, names), [asked(caption) for caption in captions])
        if arguments.out is not None:
            h, w = size
            grid = images[:64].reshape(8, 8, h, w, 3).transpose(0, 2, 1, 3, 4).reshape(8 * h, 8 * w, 3)
            write_image(arguments.out, Image(np.ascontiguousarray(grid)))
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
