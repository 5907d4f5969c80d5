#!/usr/bin/env python3
"""Trains a small segmenter on real photos and their label maps, as a judge of translations from label maps.

    python tools/train_segmenter.py facades -o segmenter.onnx --palette colours.txt --size 128
    i2i evaluate runs/pix2pix-facades --judge segmenter.onnx --palette colours.txt --size 128

DIR is paired data in any layout that training reads; A are the photos and B the label maps unless --labels says
otherwise. The palette is read if the file exists; otherwise the colours that the flat areas of the label maps cluster
in become the classes, and the file is written. The judge learns from the training split; pixel accuracy, class accuracy
and IoU on test (or val) are printed. It takes pixels, uint8 [n, h, w, 3], of the size that it was trained on, and
returns scores [n, classes, h, w]. Needs i2i[train].
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, cat, nn
from torch.nn.functional import cross_entropy, interpolate
from train_judge import optimise, write

from i2i.atomic import atomically
from i2i.data import DataError, has_split
from i2i.evaluation.label_maps import labels_of, read_palette
from i2i.evaluation.pictures import read
from i2i.evaluation.sources import Item, from_data
from i2i.metrics import METRICS
from i2i.metrics.labels import confusion

BATCH, LEARNING_RATE = 16, 3e-3
MARGIN = 9 / 8  # of the images that are cropped while training
CHANNELS = (32, 48, 96, 128)  # at 1/2, 1/4, 1/8 and 1/16 of the size
# Of the palette: pixels whose neighbours differ by no more than FLAT levels, colours at least APART from each other,
# and of at least SHARE of the flat pixels.
FLAT, APART, SHARE = 12, 48, 1e-3


def block(i: int, o: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(i, o, 3, stride, 1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(o), nn.ReLU())


class Segmenter(nn.Module):
    """U-Net of pixels, uint8 [n, h, w, 3], to logits [n, classes, h, w]."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        inputs = (3, *CHANNELS[:-1])
        self.down = nn.ModuleList(
            nn.Sequential(block(i, o, 2), block(o, o)) for i, o in zip(inputs, CHANNELS, strict=True)
        )
        upward = list(zip(CHANNELS[:0:-1], CHANNELS[-2::-1], strict=True))
        self.up = nn.ModuleList(block(low + skip, skip) for low, skip in upward)
        self.scores = nn.Conv2d(CHANNELS[0], classes, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        x = pixels.permute(0, 3, 1, 2).float() / 127.5 - 1
        size, maps = x.shape[2:], []
        for layer in self.down:
            maps.append(x := layer(x))
        for layer, skip in zip(self.up, maps[-2::-1], strict=True):
            x = layer(cat([interpolate(x, skip.shape[2:], mode="bilinear"), skip], 1))
        return interpolate(self.scores(x), size, mode="bilinear")


def find_palette(items: list[Item]) -> np.ndarray:
    """Return the colours [classes, 3] of label maps, the most frequent first: the centres of clusters of flat pixels.

    Edges, where lossy compression and resizing mix colours, do not count. Raises DataError for fewer than two colours.
    """
    counts = np.zeros(1 << 24, np.int64)
    for item in items:
        assert item.truth is not None
        pixels = read(item.truth)[0].rgb
        around = np.lib.stride_tricks.sliding_window_view(pixels, (3, 3), (0, 1))
        flat = (around.max((3, 4)) - around.min((3, 4))).max(2) <= FLAT
        counts += np.bincount(pixels[1:-1, 1:-1][flat] @ np.array([1 << 16, 1 << 8, 1]), minlength=1 << 24)
    codes = np.flatnonzero(counts)
    colours, shares = np.stack([codes >> 16, codes >> 8 & 255, codes & 255], 1), counts[codes] / max(1, counts.sum())
    centres = []
    while shares.any():
        near = np.square(colours - colours[shares.argmax()]).sum(1) < APART**2
        if (share := shares[near].sum()) >= SHARE:
            centres.append((colours[near] * shares[near, None]).sum(0) / share)
        shares = np.where(near, 0, shares)
    if len(centres) < 2:
        raise DataError("the label maps have fewer than two colours in flat areas; give the palette, a line a class")
    return np.rint(centres).astype(int)


def read_pairs(items: list[Item], side: int, palette: np.ndarray) -> tuple[Tensor, Tensor]:
    """Return all photos, uint8 [n, side, side, 3], and the classes of their pixels, uint8 [n, side, side]."""
    photos, labels, classes_of = [], [], labels_of(palette.astype(np.float32))
    for item in items:
        assert item.source is not None
        assert item.truth is not None
        photos.append(read(item.source, (side, side))[0].rgb)
        labels.append(classes_of(read(item.truth, (side, side), unmixed=True)[0]).astype(np.uint8))
    return torch.from_numpy(np.stack(photos)), torch.from_numpy(np.stack(labels))


def train(items: list[Item], palette: np.ndarray, size: int, steps: int, seed: int) -> Segmenter:
    """Train a segmenter on random crops of all pairs, mirrored and with a random contrast and brightness.

    Classes count by the inverse root of their frequency.
    """
    torch.manual_seed(seed)
    photos, labels = read_pairs(items, round(MARGIN * size), palette)
    counts = labels.flatten().bincount(minlength=len(palette)).clamp(min=1).float()
    weight = counts.rsqrt() * len(palette) / counts.rsqrt().sum()
    segmenter = Segmenter(len(palette))

    def loss() -> Tensor:
        x, y = [], []
        for n in torch.randint(len(photos), (BATCH,)).tolist():
            top, left = torch.randint(photos.shape[1] - size + 1, (2,)).tolist()
            window = n, slice(top, top + size), slice(left, left + size)
            flip = [1] if torch.rand(()) < 0.5 else []
            contrast, brightness = 0.8 + 0.4 * torch.rand(()), 40 * torch.rand(()) - 20
            pixels = (photos[window].float() - 128) * contrast + 128 + brightness
            x.append(pixels.clamp(0, 255).byte().flip(flip))
            y.append(labels[window].long().flip(flip))
        return cross_entropy(segmenter(torch.stack(x)), torch.stack(y), weight)

    optimise(segmenter, LEARNING_RATE, steps, loss)
    return segmenter.eval()


@torch.no_grad()
def measure(segmenter: Segmenter, photos: Tensor, labels: Tensor, classes: int) -> str:
    """Return the pixel accuracy, class accuracy and IoU on these photos, in words."""
    seen = [segmenter(photo[None])[0].argmax(0) for photo in photos]
    found = np.stack([confusion(s.numpy(), y.numpy(), classes) for s, y in zip(seen, labels, strict=True)])
    names = ("pixel accuracy", "class accuracy", "IoU")
    return ", ".join(f"{name} {METRICS[name].function(found).value:.1%}" for name in names)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="paired data: photos and label maps")
    parser.add_argument("-o", "--out", type=Path, required=True, help="the ONNX file to write")
    parser.add_argument("--palette", type=Path, required=True, help="lines 'R G B NAME'; written if there is none")
    parser.add_argument("--labels", choices=["a", "b"], default="b", help="the side of the label maps [b]")
    parser.add_argument("--size", type=int, default=128, help="of the images [128]")
    parser.add_argument("--steps", type=int, default=2000, help="of training [2000]")
    parser.add_argument("--seed", type=int, default=0, help="of training [0]")
    arguments = parser.parse_args()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    direction = {"a": "b2a", "b": "a2b"}[arguments.labels]
    try:
        items = from_data(arguments.data, None, None, "train", direction, True).items
        if not arguments.palette.exists():
            found = [f"{r} {g} {b} #{r:02x}{g:02x}{b:02x}\n" for r, g, b in find_palette(items).tolist()]
            atomically(arguments.palette, lambda temporary: temporary.write_text("".join(found), encoding="utf-8"))
            print(f"{arguments.palette}: {len(found)} colours of the label maps")
        palette, names = read_palette(arguments.palette)
        segmenter = train(items, palette, arguments.size, arguments.steps, arguments.seed)
        if held_out := next((s for s in ("test", "val") if has_split(s, arguments.data, kind="pairs")), None):
            others = from_data(arguments.data, None, None, held_out, direction, True).items
            figures = measure(segmenter, *read_pairs(others, arguments.size, palette), len(palette))
            print(f"{len(others)} photos of {held_out}: {figures}")
        write(segmenter, arguments.size, tuple(names), arguments.out)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    print(arguments.out)


if __name__ == "__main__":
    main()
