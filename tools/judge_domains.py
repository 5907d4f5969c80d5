#!/usr/bin/env python3
"""Measure a model of several domains with a small classifier that was trained on real photos only.

    python tools/judge_domains.py MODEL.onnx weather --json scores.json

The classifier learns from DIR/train/DOMAIN, and is tested on the photos of DIR/test/DOMAIN. These are then translated,
each to every other domain. The share that is classified as the target is compared with the share before translation.
All images are resized and cropped to the model's training size.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import i2i
from i2i.data import Batches, Dataset, View, read_folders

BATCH, LEARNING_RATE = 32, 1e-3
Translate = Callable[[np.ndarray, str], np.ndarray]


def classifier(channels: int, domains: int) -> nn.Module:
    """Images [n, channels, h, w] in [-1, 1] to logits [n, domains]."""
    layers: list[nn.Module] = []
    for out in (24, 48, 96, 96):
        layers += [nn.Conv2d(channels, out, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]
        channels = out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.3), nn.Linear(channels, domains))


def train(dataset: Dataset, size: tuple[int, int], steps: int, seed: int) -> nn.Module:
    """Train a classifier of the dataset's domains, with equal weight for rare and frequent ones."""
    torch.manual_seed(seed)
    judge = classifier(dataset.source.channels, len(dataset.domains))
    view = View(size, load=1, flip=False, crop="center")
    labels = torch.stack([dataset.sample(position, seed, view)["c"] for position in range(len(dataset))])
    weight = len(labels) / (labels.shape[1] * labels.sum(0))
    optimizer = torch.optim.AdamW(judge.parameters(), LEARNING_RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    with Batches(dataset, View(size), min(BATCH, len(dataset)), seed) as batches:
        for step in range(steps):
            batch = next(batches)
            loss = cross_entropy(judge(batch["x"]), batch["c"].argmax(1), weight)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            print(f"\rclassifier: step {step + 1} of {steps}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return judge.eval()


def photos(dataset: Dataset, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return every photo once, uint8 [n, h, w, channels], and the index of its domain [n]."""
    view = View(size, load=1, flip=False, crop="center")
    samples = [dataset.sample(position, 0, view) for position in range(len(dataset))]
    pixels = torch.stack([sample["x"] for sample in samples]).permute(0, 2, 3, 1)
    return ((pixels + 1) * 127.5).round().byte().numpy(), torch.stack([s["c"] for s in samples]).argmax(1).numpy()


@torch.no_grad()
def verdicts(judge: nn.Module, images: np.ndarray) -> np.ndarray:
    """Return the index of the domain as which each of the images [n, h, w, channels] is classified."""
    x: Tensor = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    return np.concatenate([judge(part).argmax(1).numpy() for part in x.split(BATCH)])


def judged(
    judge: nn.Module, domains: tuple[str, ...], images: np.ndarray, truth: np.ndarray, translate: Translate
) -> dict[str, Any]:
    """Return the classifier's results on the photos, and on the others before and after translation, by target."""
    before = verdicts(judge, images)
    targets = {}
    for index, name in enumerate(domains):
        others = truth != index
        after = verdicts(judge, np.stack([translate(image, name) for image in images]))
        targets[name] = {
            "photos": int(others.sum()),
            "taken for it before": float((before[others] == index).mean()),
            "taken for it translated": float((after[others] == index).mean()),
            "its own photos before": float((before[~others] == index).mean()),
            "its own photos translated": float((after[~others] == index).mean()),
        }
        print(f"\rtranslated to {index + 1} of {len(domains)} domains", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    mean = {key: float(np.mean([target[key] for target in targets.values()])) for key in next(iter(targets.values()))}
    return {"photos": len(images), "accuracy": float((before == truth).mean()), "targets": targets, "mean": mean}


def table(results: dict[str, Any]) -> str:
    """Return the shares as a Markdown table."""
    lines = [
        f"The classifier is right of {results['accuracy']:.1%} of {results['photos']} photos it has not seen.",
        "",
        "| target | other photos taken for it | the same, translated to it | its own photos | the same, translated |",
        "|---|---|---|---|---|",
    ]
    for name, row in (*results["targets"].items(), ("mean", results["mean"])):
        shares = [f"{value:.1%}" for key, value in row.items() if key != "photos"]
        lines.append(f"| {name} | {' | '.join(shares)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="an .onnx file that i2i export wrote")
    parser.add_argument("data", type=Path, help="a folder with train/DOMAIN and test/DOMAIN")
    parser.add_argument("--steps", type=int, default=600, help="of the classifier's training [600]")
    parser.add_argument("--seed", type=int, default=0, help="of the classifier's training [0]")
    parser.add_argument("--json", type=Path, help="also write all numbers to this file")
    arguments = parser.parse_args()
    try:
        model = i2i.load(arguments.model)
        splits = [read_folders("domains", data=arguments.data, split=split) for split in ("train", "test")]
        if any(split.domains != model.spec.domains for split in splits) or model.spec.attributes:
            raise ValueError(
                f"{arguments.model} knows {', '.join(model.spec.domains) or 'no domains'}, and {arguments.data} shows "
                + " and ".join(", ".join(split.domains) for split in splits)
            )
        height, width = model.spec.recipe["settings"]["size"]
        judge = train(splits[0], (height, width), arguments.steps, arguments.seed)
        images, truth = photos(splits[1], (height, width))
        results = judged(judge, model.spec.domains, images, truth, lambda image, name: model(image, to=name))
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    results = {"model": arguments.model.name, "size": [height, width], "recipe": model.spec.recipe, **results}
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))
    print(table(results))


if __name__ == "__main__":
    main()
