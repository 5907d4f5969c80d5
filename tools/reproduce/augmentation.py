#!/usr/bin/env python3
"""Do generated images help a classifier that has few labels? MNIST, three schemes of labels for generated images.

    python tools/reproduce/augmentation.py --data DIGITS --out FOLDER            trains what is not in FOLDER yet
    python tools/reproduce/augmentation.py --out FOLDER --table                  prints the table

For each seed, ``dcgan`` is trained without labels on 6,000 training images, and a classifier on 100, 500 or 2,000
labelled ones among these, as many of each digit: labels are rare here, images are not. (Zheng et al., arXiv:1701.07717,
train DCGAN on the labelled images alone. With 100 of them it would repeat them.) Beside the classifier alone, one is
trained on every batch of labelled images and an equally large batch of generated ones, whose labels are those of
``i2i generate --labels``: one more class (``new-class``, as Salimans et al., arXiv:1606.03498; its score is left out
for the test), the same probability for each class (``uniform``, as Zheng et al.), or the class that the classifier
alone sees (``pseudo``). The loss is the sum of the two cross-entropies. The last row has real images in the place of
the generated ones: the 6,000 that ``dcgan`` saw, with pseudo labels. All classifiers of a seed begin with equal weights
and have equally many steps. Test accuracy is that of the last step, on MNIST's 10,000 test images.

DIGITS contains ``mnist/*-ubyte.gz``. FOLDER gets ``results.jsonl``, and the runs, images and judges of each seed.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import statistics
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from digits import Digits, accuracy, digits, read_idx, read_results
from generators import Classifier, write_images
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import i2i
from i2i.atomic import atomically
from i2i.evaluation import label_images
from i2i.images import read_image

SCHEMES = ("new-class", "uniform", "pseudo")
ROWS = ("alone", *SCHEMES, "real, pseudo")
SETTINGS: dict[str, Any] = {
    "seen": 6000,  # images that dcgan sees
    "steps": 1500,  # of dcgan
    "batch": 64,  # of dcgan, and of the labelled and of the generated images of the classifier
    "generated": 2000,  # images
    "classifier_steps": 400,
    "networks": {"ngf": 16, "ndf": 16},
}


class Judge(nn.Module):
    """A classifier of digits as a judge: pixels, uint8 [n, 28, 28, 3], to logits [n, 10]."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.classifier(pixels[..., 0].unsqueeze(1).float() / 127.5 - 1)
        return logits


def write_judge(classifier: Classifier, path: Path) -> None:
    """Write the classifier as an ONNX file with the names of its classes."""
    example, batch = torch.zeros(2, 28, 28, 3, dtype=torch.uint8), {0: torch.export.Dim("n")}
    program = torch.onnx.export(
        Judge(classifier).eval(), (example,), dynamo=True, dynamic_shapes=(batch,), opset_version=18, verbose=False
    )
    assert program is not None
    model = program.model_proto
    onnx.helper.set_model_props(model, {"classes": json.dumps([str(digit) for digit in range(10)])})
    atomically(path, lambda temporary: temporary.write_bytes(model.SerializeToString()))


def labelled(seen: Digits, count: int) -> Digits:
    """Return ``count`` images, as many of each digit, the first ones of each."""
    index = [torch.nonzero(seen.labels == digit)[: count // 10, 0] for digit in range(10)]
    return seen.part(torch.cat(index))


def read_labelled(folder: Path, table: Path) -> Digits:
    """Read the images of a table of ``label_images``; the labels are probabilities, [n, classes]."""
    with open(table, newline="", encoding="utf-8") as file:
        _, *lines = csv.reader(file)
    images = np.stack([read_image(folder / name).pixels[..., 0] for name, *_ in lines])
    probabilities = torch.tensor([[float(value) for value in values] for _, *values in lines])
    return Digits(torch.from_numpy(images)[:, None] / 127.5 - 1, probabilities)


def train_classifier(real: Digits, extra: Digits | None, seed: int, settings: dict[str, Any]) -> Classifier:
    """Train on labelled images and, if given, on others whose labels are probabilities [n, 10 or 11]."""
    torch.manual_seed(seed)
    classifier = Classifier()
    if extra is not None and extra.labels.shape[1] > 10:
        added = Classifier(11).head
        with torch.no_grad():
            added.weight[:10], added.bias[:10] = classifier.head.weight, classifier.head.bias
        classifier.head = added
    optimizer = torch.optim.Adam(classifier.parameters(), lr=1e-3)
    order = torch.Generator().manual_seed(seed)
    for step in range(settings["classifier_steps"]):
        optimizer.param_groups[0]["lr"] = 1e-3 * (1 - step / settings["classifier_steps"])
        loss: Any = 0
        for source in (real, extra):
            if source is not None:
                part = source.part(torch.randint(len(source.images), (settings["batch"],), generator=order))
                loss = loss + cross_entropy(classifier(part.images), part.labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if classifier.head.out_features > 10:
        known = Classifier().head
        with torch.no_grad():
            known.weight[:], known.bias[:] = classifier.head.weight[:10], classifier.head.bias[:10]
        classifier.head = known
    return classifier.eval()


def generate(seen: Digits, folder: Path, seed: int, settings: dict[str, Any]) -> Path:
    """Train ``dcgan`` on images and return the folder of those that it draws; what is finished is kept."""
    made, training = folder / "made", folder / "seen"
    if made.exists():
        return made
    write_images(seen, settings["seen"], training)
    run = i2i.train(
        "dcgan", out=folder / "dcgan", data=training, select="none", size=28, batch=settings["batch"],
        steps=settings["steps"], seed=seed, workers=1, ema=0.99, quiet=True, **settings["networks"],
    )  # fmt: skip
    i2i.export(run)
    i2i.generate(run, folder / "partly", settings["generated"], overwrite=True)
    (folder / "partly").rename(made)
    return made


def measure(training: Digits, test: Digits, count: int, seed: int, out: Path, settings: dict[str, Any]) -> None:
    """Train and test the classifiers of one number of labels and one seed; append a line for each to the results."""
    key = {"labels": count, "seed": seed, "settings": settings}
    path = out / "results.jsonl"
    if sum(key.items() <= result.items() for result in read_results(path)) == len(ROWS):
        return
    order = torch.randperm(len(training.images), generator=torch.Generator().manual_seed(seed))
    seen = training.part(order[: settings["seen"]])
    used = json.dumps(settings, sort_keys=True).encode()
    folder = out / f"seed-{seed}-{hashlib.sha256(used).hexdigest()[:8]}"  # other settings make other images
    made, real = generate(seen, folder, seed, settings), labelled(seen, count)
    alone = train_classifier(real, None, seed, settings)
    judge = folder / f"judge-{count}.onnx"
    write_judge(alone, judge)
    found = {"alone": accuracy(alone, test)}
    for name in ROWS[1:]:
        images, scheme = (made, name) if name in SCHEMES else (folder / "seen", "pseudo")
        extra = read_labelled(images, label_images(images, scheme, judge=judge, overwrite=True))
        found[name] = accuracy(train_classifier(real, extra, seed, settings), test)
    with path.open("a") as file:
        file.writelines(json.dumps(key | {"row": name, "accuracy": value}) + "\n" for name, value in found.items())
    print(count, seed, {name: round(value, 4) for name, value in found.items()}, flush=True)


def table(results: list[dict[str, Any]]) -> str:
    """Return a Markdown table of the mean ± standard deviation of the test accuracy over the seeds, in %."""
    counts = sorted({result["labels"] for result in results})
    lines = ["| trained on | " + " | ".join(f"{count:,} labels" for count in counts) + " |"]
    lines.append("|---|" + "---|" * len(counts))
    for name in ROWS:
        cells = []
        for count in counts:
            found = [100 * one["accuracy"] for one in results if (one["labels"], one["row"]) == (count, name)]
            spread = f" ± {statistics.stdev(found):.2f}" if found[1:] else ""
            cells.append(f"{statistics.mean(found):.2f}{spread}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    seeds = sorted({result["seed"] for result in results})
    return "\n".join([*lines, "", f"seeds {', '.join(map(str, seeds))}; {results[0]['settings']}"])


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    root = os.environ.get("I2I_TEST_DATA")
    parser.add_argument("--data", type=Path, default=root and Path(root) / "data" / "digits", help="folder of digits")
    parser.add_argument("--out", type=Path, default=Path("augmentation"), help="folder of results, runs and images")
    parser.add_argument("--table", action="store_true", help="print the table of --out and do nothing else")
    parser.add_argument("--labels", type=int, nargs="+", default=[100, 500, 2000], help="labelled images")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    for name, help_text in (("seen", "images that dcgan sees"), ("steps", "of dcgan"), ("generated", "images"),
                            ("classifier_steps", "of each classifier"), ("batch", "of both")):  # fmt: skip
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=SETTINGS[name], help=help_text)
    options = parser.parse_args()
    if not options.table and not options.data:
        parser.error("expected --data, the folder of digits")
    if wrong := [count for count in options.labels if count < 10 or count % 10]:
        parser.error(f"--labels {wrong[0]}: expected a multiple of 10, as many of each digit")
    return options


def main() -> int:
    options = parse()
    settings = SETTINGS | {name: value for name, value in vars(options).items() if name in SETTINGS}
    if not options.table:
        training, test = (
            digits(*(read_idx(options.data / "mnist" / f"{part}-{what}-ubyte.gz")
                     for what in ("images-idx3", "labels-idx1")))
            for part in ("train", "t10k")
        )  # fmt: skip
        options.out.mkdir(parents=True, exist_ok=True)
        for seed in options.seeds:
            for count in options.labels:
                measure(training, test, count, seed, options.out, settings)
    results = [one for one in read_results(options.out / "results.jsonl") if one["settings"] == settings]
    if not results:
        print(f"{options.out} has no results of the settings {settings}", file=sys.stderr)
        return 1
    print(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
