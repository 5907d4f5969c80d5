#!/usr/bin/env python3
"""Trains a small classifier on real photos, as a judge of translations.

    python tools/train_judge.py weather -o weather-judge.onnx
    i2i evaluate runs/stargan-weather --judge weather-judge.onnx

It learns from DIR/train/DOMAIN, and its accuracy on DIR/test/DOMAIN (or val) is printed. The file takes pixels, uint8
[n, h, w, 3], of the size that it was trained on, and has the names of the domains in its metadata. Needs i2i[train].
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from i2i.atomic import atomically
from i2i.data import Batches, Dataset, View, has_split, read_folders

BATCH, LEARNING_RATE = 32, 1e-3


class Judge(nn.Module):
    """Pixels, uint8 [n, h, w, 3], to logits [n, domains]."""

    def __init__(self, domains: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for out in (24, 48, 96, 96):
            layers += [nn.Conv2d(channels, out, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]
            channels = out
        self.layers = nn.Sequential(
            *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.3), nn.Linear(channels, domains)
        )

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.layers(pixels.permute(0, 3, 1, 2).float() / 127.5 - 1)
        return logits


def pixels(x: Tensor) -> Tensor:
    """Images [n, 3, h, w] in [-1, 1] as pixels."""
    return ((x + 1) * 127.5).round().byte().permute(0, 2, 3, 1)


def train(dataset: Dataset, size: int, steps: int, seed: int) -> Judge:
    """A classifier of the dataset's domains, to which rare domains count as much as frequent ones."""
    torch.manual_seed(seed)
    judge = Judge(len(dataset.domains))
    labels = real(dataset, size)[1]
    weight = len(labels) / (len(dataset.domains) * labels.bincount(minlength=len(dataset.domains)))
    with Batches(dataset, View((size, size)), min(BATCH, len(dataset)), seed) as batches:

        def loss() -> Tensor:
            batch = next(batches)
            return cross_entropy(judge(pixels(batch["x"])), batch["c"].argmax(1), weight)

        optimise(judge, LEARNING_RATE, steps, loss)
    return judge.eval()


def optimise(judge: nn.Module, rate: float, steps: int, loss: Callable[[], Tensor]) -> None:
    """Minimise ``loss()`` by AdamW, with a learning rate that rises to ``rate`` and falls to 0."""
    optimizer = torch.optim.AdamW(judge.parameters(), rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    for step in range(steps):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
        schedule.step()
        print(f"\rstep {step + 1} of {steps}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)


def real(dataset: Dataset, size: int) -> tuple[Tensor, Tensor]:
    """Every photo once, uint8 [n, size, size, 3], and the index of its domain [n]."""
    view = View((size, size), load=1, flip=False, crop="center")
    samples = [dataset.sample(position, 0, view) for position in range(len(dataset))]
    return pixels(torch.stack([s["x"] for s in samples])), torch.stack([s["c"] for s in samples]).argmax(1)


def write(judge: nn.Module, size: int, domains: tuple[str, ...], path: Path) -> None:
    """The judge as an ONNX file, with the names of its classes."""
    example = torch.zeros(2, size, size, 3, dtype=torch.uint8)
    batch = {0: torch.export.Dim("n")}
    program = torch.onnx.export(
        judge, (example,), dynamo=True, dynamic_shapes=(batch,), opset_version=18, verbose=False
    )
    assert program is not None
    model = program.model_proto
    onnx.helper.set_model_props(model, {"classes": json.dumps(list(domains))})
    atomically(path, lambda temporary: temporary.write_bytes(model.SerializeToString()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a folder with train/DOMAIN and test/DOMAIN")
    parser.add_argument("-o", "--out", type=Path, required=True, help="the ONNX file to write")
    parser.add_argument("--size", type=int, default=96, help="of the images [96]")
    parser.add_argument("--steps", type=int, default=600, help="of training [600]")
    parser.add_argument("--seed", type=int, default=0, help="of training [0]")
    arguments = parser.parse_args()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    try:
        dataset = read_folders("domains", data=arguments.data, channels=3)
        judge = train(dataset, arguments.size, arguments.steps, arguments.seed)
        held_out = next((s for s in ("test", "val") if has_split(s, arguments.data, kind="domains")), None)
        if held_out is not None:
            images, truth = real(
                read_folders("domains", data=arguments.data, split=held_out, channels=3), arguments.size
            )
            with torch.no_grad():
                right = (judge(images).argmax(1) == truth).float().mean()
            print(f"{right:.1%} of {len(truth)} photos of {held_out} are classified correctly")
        write(judge, arguments.size, dataset.domains, arguments.out)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    print(arguments.out)


if __name__ == "__main__":
    main()
