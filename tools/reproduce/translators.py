#!/usr/bin/env python3
"""Translators beside a known truth: the tables of docs/results.md on facades and on emoji, and which metrics agree.

    python tools/reproduce/translators.py --facades FACADES --emoji EMOJI --judge JUDGE --palette FILE --out tables.json
    python tools/reproduce/translators.py --recipes EMOJI [--only NAME] [--seeds 3] --out recipes.json
    python tools/reproduce/translators.py --photos SUMMER2WINTER [--only NAME] [--seeds 1] --out photos.json

Facades are translated by pix2pix from label maps to photos at 128 x 128. FACADES has A|B pairs in ``train`` and
``test``, A the photos; JUDGE and its palette are made by ``tools/train_segmenter.py FACADES``. Emoji are translated by
CycleGAN, CUT and FastCUT at 64 x 64: EMOJI has ``trainA`` and ``trainB`` without pairs, and ``testA`` and ``testB``
whose equal names are pairs. Methods train without pairs, so the pairs of the test split are a truth that no method saw.

Recipes are methods, norms and losses on the same emoji, each for as many steps as a core does in a quarter of an hour.
Photos are those of SUMMER2WINTER, which has no pairs, at 96 x 96 for half an hour: the best recipes and CycleGAN.

A run that --runs has and that is finished is taken, any other is trained first; --finished trains none. The weights of
the last step and those that validation chose are exported and measured on the test split (of recipes also the last
step's without --ema, which the same run has), beside the input itself and
the mean of the target's training images. Pairs of the test split of which one image equals a training image in its
pixels are left out. Tables are printed as Markdown; the file has every figure; a sheet of results of the first seed is
written beside it for each task. Figures are kept beside the models, and taken again while files and options are the
same.

Controls that cost nothing stand beside all networks but those of facades: both baselines, a training image of the
target drawn at random, and the input blurred. The second table of emoji is Spearman's rank correlation of each metric
with those of the truth over all candidates, for trained networks alone and with the controls: 1 means that it ranks as
the truth does. Needs i2i[train,evaluate], scipy.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import shutil
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.stats import spearmanr
from torch import nn

import i2i
from i2i.atomic import atomically, digest
from i2i.engine import load_generators, state_file
from i2i.evaluation.candidates import of_model
from i2i.evaluation.pictures import read
from i2i.evaluation.results import RESULT, SECTIONS
from i2i.evaluation.sources import Task, from_data
from i2i.images import Image, write_image
from i2i.metrics import METRICS
from i2i.runtime.model.catalog import read_run
from i2i.sheets import sheet
from i2i.spec import Spec
from i2i.text import plural
from i2i.translators import translator_class

# fmt: off
NET = {"generator": "resnet_4", "ngf": 32, "ndf": 32, "norm": "group", "upsample": "resize"}
INSTANCE, LAYER = {**NET, "norm": "instance"}, {**NET, "norm": "layer"}
RESIDUAL = {**NET, "residual": True}
NO_HINGE = {"objective": "lsgan", "pool": 50}  # as --preset good
RECIPES: dict[str, dict[str, Any]] = {
    "cyclegan, instance norm": {"method": "cyclegan", "steps": 6000, "eval_every": 1200, **INSTANCE},
    "cyclegan, group norm": {"method": "cyclegan", "steps": 6400, "eval_every": 1280, **NET},
    "cyclegan, layer norm": {"method": "cyclegan", "steps": 6400, "eval_every": 1280, **LAYER},
    "cyclegan, residual": {"method": "cyclegan", "steps": 6400, "eval_every": 1280, **RESIDUAL},
    "uvcgan2, residual": {"method": "cyclegan", "preset": "uvcgan2", "steps": 3250, "eval_every": 650, **RESIDUAL},
    "cut, instance norm": {"method": "cut", "steps": 6300, "eval_every": 1260, **INSTANCE},
    "cut, group norm": {"method": "cut", "steps": 6300, "eval_every": 1260, **NET},
    "cut, residual": {"method": "cut", "steps": 6300, "eval_every": 1260, **RESIDUAL},
    "enco, residual": {"method": "enco", "steps": 11700, "eval_every": 2340, **RESIDUAL},
    "hneg, residual": {"method": "hneg", "steps": 5900, "eval_every": 1180, **RESIDUAL},
    "monce, residual": {"method": "monce", "steps": 4250, "eval_every": 850, **RESIDUAL},
    "dclgan, residual": {"method": "dclgan", "steps": 3600, "eval_every": 720, **RESIDUAL, **NO_HINGE},
    "dclgan, residual, hinge": {"method": "dclgan", "steps": 3600, "eval_every": 720, **RESIDUAL},
}
"""Name -> the method and its settings; the steps are what 900 s of a core's time allowed, measured on one machine."""
PHOTOS = {
    "cyclegan, instance norm": 5300, "cyclegan, group norm": 5700, "cyclegan, layer norm": 5700,
    "cyclegan, residual": 5700, "cut, residual": 5600, "dclgan, residual": 3200,
}
"""Recipe -> its steps on photos: those above, for twice the time and (96 / 64)^2 times as many pixels."""


def folder(name: str) -> str:
    """Return a recipe's name as a part of a file's name."""
    return "-".join(name.replace(",", "").split())


def recipe(task: str, name: str) -> dict[str, Any]:
    """Return the settings of a run by the name of its task and of its method or recipe."""
    if task not in ("recipes", "photos"):
        return {"method": name}
    steps = {"steps": PHOTOS[name], "eval_every": PHOTOS[name] // 5} if task == "photos" else {}
    return RECIPES[name] | steps


TASKS: dict[str, dict[str, Any]] = {
    "facades": {
        "runs": {("pix2pix", seed): f"facades-{seed}" for seed in range(3)},
        "direction": "b2a", "size": 128,
        "settings": {"direction": "b2a", "generator": "unet_128", "ngf": 32, "ndf": 32, "epochs": 20, "eval_every": 702,
                     "precision": "bf16", "compile": "off", "workers": 1},
    },
    "emoji": {
        "runs": {(method, seed): f"emoji-{method}-{seed}" for method, seeds in
                 (("cyclegan", 3), ("cut", 3), ("fastcut", 1)) for seed in range(seeds)},
        "direction": "a2b", "size": 64, "pairs_of_test": True,
        "settings": {"preset": "fast", "background": 255, "generator": "resnet_3", "steps": 6000, "eval_every": 500},
    },
    "recipes": {
        "runs": {(name, seed): f"recipe-{folder(name)}-{seed}" for name in RECIPES for seed in range(3)},
        "direction": "a2b", "size": 64, "pairs_of_test": True, "unaveraged": True,
        "settings": {"background": 255, "precision": "bf16", "compile": "off", "workers": 1},
    },
    "photos": {
        "runs": {(name, seed): f"photos-{folder(name)}-{seed}" for name in PHOTOS for seed in range(3)},
        "direction": "a2b", "size": 96, "paired": False, "unaveraged": True,
        "settings": {"precision": "bf16", "compile": "off", "workers": 1},
    },
}
# fmt: on
WEIGHTS = {"newest": "last step", "best": "chosen by validation", "unaveraged": "last step, not averaged"}
BLUR, SHOWN = 2.0, 12  # sigma of a control in pixels; rows of a sheet
Chosen = Callable[[str, int], bool]
"""Function of method and seed: True for the runs to measure."""
ALL: Chosen = lambda _method, _seed: True  # noqa: E731
Row = dict[str, Any]
"""A candidate: "method", and for networks "seed", "weights" and "step"; "figures", metric -> value, low, high, ..."""


def finished(path: Path) -> bool:
    run = read_run(path)
    return run is not None and run.status == "finished"


def trained(name: str, data: Path, runs: Path, train: bool, chosen: Chosen = ALL) -> dict[tuple[str, int], Path]:
    """Return the finished runs of a task, by method and seed; with ``train`` all, which are trained where needed.

    A finished run of fewer steps goes on. Raises ValueError for a run of other settings, a finished one too.
    """
    task, found = TASKS[name], {}
    for (method, seed), place in task["runs"].items():
        path = runs / place
        if not chosen(method, seed):
            continue
        if train:
            settings = task["settings"] | recipe(name, method)
            i2i.train(data=data, out=path, size=task["size"], seed=seed, **settings)
        if finished(path):
            found[method, seed] = path
        else:
            print(f"{path}: not finished, left out", file=sys.stderr)
    return found


def without_trained(data: Path, folder: Path) -> int:
    """Copy unpaired data without the test pairs of which an image was trained on; return how many these are.

    A copy that is there already is replaced. Raises ValueError if one of the two folders is the other or within it.
    """
    here, there = data.resolve(), folder.resolve()
    if here == there or here in there.parents or there in here.parents:
        raise ValueError(f"{folder} is where the copy of {data} belongs, and one is in the other; give another --out")
    task = from_data(data, None, None, "test", "a2b", True)
    known = {read(source)[1] for source in task.trained}
    if folder.exists():
        shutil.rmtree(folder)
    for split in ("train", "test"):
        for side in "AB":
            (folder / f"{split}{side}").mkdir(parents=True)
    for source in task.trained:
        shutil.copyfile(source.path, folder / source.path.parent.name / source.path.name)
    left_out = 0
    for item in task.items:
        pair = [source for source in (item.source, item.truth) if source is not None]
        if known & {read(source)[1] for source in pair}:
            left_out += 1
            continue
        for source, side in zip(pair, "AB", strict=True):
            shutil.copyfile(source.path, folder / f"test{side}" / source.path.name)
    return left_out


def exports(run: Path, work: Path, weights: str, direction: str) -> list[Path | None]:
    """Export a direction of a run and the one back, if it has both; return their files."""
    generators = unaveraged(run) if weights == "unaveraged" else load_generators(run, weights)
    files = {way: work / f"{run.name}-{way}-{weights}.onnx" for way in (direction, direction[::-1])}
    return [i2i.export(generators, file, to=way) if way in generators else None for way, file in files.items()]


def unaveraged(run: Path) -> dict[str, tuple[nn.Module, Spec]]:
    """Return the generators of a run that translates A to B with the weights of its last step themselves."""
    generators = load_generators(run, "newest")
    recipe = next(iter(generators.values()))[1].recipe
    method = translator_class(read_run(run).method)
    translator = method(*recipe["channels"], **recipe["hyperparameters"])
    (newest,) = sorted((run / "state").glob("[0-9]*.pt"))[-1:]
    translator.load_state_dict(translator.state_dict() | state_file.load(newest)["game"]["translator"])
    return {way: (translator.exports()[way].eval(), spec) for way, (_, spec) in generators.items()}


def figures_of(table: Any, who: str) -> dict[str, Any]:
    """Return metric -> figure of a candidate, times the stated factor."""
    metrics = table.to_dict()["metrics"]
    return {name: row["candidates"][who] for name, row in metrics.items() if who in row["candidates"]}


def measured(
    data: Path, name: str, runs: dict[tuple[str, int], Path], work: Path, options: dict[str, Any]
) -> tuple[list[Row], Row, list[Path]]:
    """Measure all weights of each run; return the rows, with those of the baselines, the protocol and the files."""
    rows: list[Row] = []
    about: Row = {}
    files: list[Path] = []
    for (method, seed), run in runs.items():
        for weights in (each for each in WEIGHTS if each != "unaveraged" or TASKS[name].get("unaveraged")):
            file, back = exports(run, work / "models", weights, TASKS[name]["direction"])
            assert file is not None
            first = not rows
            facts = {"size": TASKS[name]["size"], "paired": TASKS[name].get("paired", True), "baseline": first}
            found = once(work / "measured", data, options | facts | {"model": file, "back": back})
            row = {"method": method, "seed": seed, "weights": weights, "step": found["step"]}
            rows.append(row | {"figures": found["figures"].pop(RESULT)})
            if first:
                rows += [{"method": who, "figures": figures} for who, figures in found["figures"].items()]
                about = {"protocol": found["protocol"], "left_out": found["left_out"]}
            about["warnings"] = sorted({*about.get("warnings", ()), *found["warnings"]})
            if seed == min(other for same, other in runs if same == method):
                files.append(file)
            print(f"{run.name}, {WEIGHTS[weights]}: {found['text']}\n", file=sys.stderr)
    return rows, about, files


def once(folder: Path, data: Path, options: dict[str, Any]) -> Row:
    """Evaluate a model on the test split of ``data``, or return what this found before; it is kept in ``folder``.

    It counts as the same while the names of the images, the content of the models and all options are the same.
    """
    content = {name: digest(value) if isinstance(value, Path) else value for name, value in options.items()}
    images = sorted(str(path.relative_to(data)) for path in data.rglob("*") if path.is_file())
    key = hashlib.sha256(json.dumps([i2i.__version__, content, images], sort_keys=True).encode()).hexdigest()
    kept = folder / f"{key[:24]}.json"
    if not kept.exists():
        found = i2i.evaluate(data=data, split="test", **options)
        (table,) = found.tables
        row = {
            "step": found.about["recipe"]["step"],
            "figures": {who: figures_of(table, who) for who in table.candidates},
            "protocol": table.protocol.line, "left_out": table.left_out, "warnings": list(table.warnings),
            "text": str(found),
        }  # fmt: skip
        write_json(kept, row)
    return json.loads(kept.read_text(encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(value, indent=1) + "\n"
    atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def control_rows(task: Task, data: Path, work: Path, about: dict[str, Any], options: dict[str, Any]) -> list[Row]:
    """Measure results that no network made: training images of the target drawn at random, and blurred inputs.

    Args:
        about: the task's facts, of :data:`TASKS`.
    """
    drawn = np.random.default_rng(0).integers(len(task.targets), size=len(task.items))
    folders = {"a random training image": work / "random", "the input, blurred": work / "blurred"}
    for item, number in zip(task.items, drawn, strict=True):
        assert item.source is not None
        blurred = cv2.GaussianBlur(read(item.source)[0].rgb, (0, 0), BLUR)
        for path, pixels in zip(folders.values(), (read(task.targets[number])[0].rgb, blurred), strict=True):
            path.mkdir(parents=True, exist_ok=True)
            write_image((path / item.name).with_suffix(".png"), Image(pixels))
    rows, sides = [], {"real": data / "testB", "source": data / "testA", "train": data / "trainB"}
    facts = {"size": about["size"], "paired": about.get("paired", True)}
    for who, folder in folders.items():
        (table,) = i2i.evaluate(fake=folder, **facts, **sides, **options).tables
        rows.append({"method": who, "figures": figures_of(table, RESULT)})
    return rows


def value(row: Row, metric: str) -> float:
    return float(row["figures"][metric]["value"]) if metric in row["figures"] else math.nan


def correlation(rows: Sequence[Row], one: str, other: str) -> tuple[float, int]:
    """Return Spearman's rank correlation of two metrics, and of how many rows; 1 if both prefer the same ones."""
    both = [(value(row, one), value(row, other)) for row in rows]
    both = [pair for pair in both if not any(map(math.isnan, pair))]
    if len(both) < 3 or any(len(set(values)) == 1 for values in zip(*both, strict=True)):
        return math.nan, len(both)
    sign = 1 if METRICS[one].better == METRICS[other].better else -1
    return sign * float(spearmanr(*zip(*both, strict=True)).statistic), len(both)


def _network(row: Row) -> tuple[Any, ...]:
    """Return what identifies a row's weights: the last step's may be those that validation chose as well."""
    return row["method"], row["seed"], row["step"], row.get("weights") == "unaveraged"


def agreement(rows: Sequence[Row]) -> str:
    """Return the rank correlations of all metrics with those of the truth as a table: of networks / with controls."""
    networks = list({_network(row): row for row in rows if "seed" in row}.values())
    everything = networks + [row for row in rows if "seed" not in row]
    there = [name for name in METRICS if any(name in row["figures"] for row in rows)]
    truths = [name for name in there if METRICS[name].section == "truth"]
    lines = [["metric", *truths], ["---"] * (1 + len(truths))]
    for name in there:
        cells = []
        for truth in truths:
            pairs = [correlation(some, name, truth) for some in (networks, everything)]
            cells.append(" / ".join("" if math.isnan(rho) else f"{rho:.2f}" for rho, _ in pairs))
        few = correlation(networks, name, truths[0])[1]
        lines.append([name + ("" if few == len(networks) else f" ({few} networks)"), *cells])
    return f"{len(networks)} networks, and {len(everything) - len(networks)} controls\n\n{markdown(lines)}"


def summary(rows: Sequence[Row]) -> str:
    """Return a table for each section: mean and deviation over seeds, and the 95 % interval of the first seed."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in sorted(rows, key=lambda row: "seed" not in row):  # networks first
        groups.setdefault((row["method"], row.get("weights", "")), []).append(row)
    most = max(map(len, groups.values()))
    tables = []
    for section in SECTIONS:
        names = [n for n, m in METRICS.items() if m.section == section and any(n in row["figures"] for row in rows)]
        if not names:
            continue
        lines = [[section, *map(heading, names)], ["---"] * (1 + len(names))]
        for (method, weights), group in groups.items():
            steps = ", ".join(str(row["step"]) for row in group if "step" in row)
            title = method + (f", {WEIGHTS[weights]} ({steps})" if weights else "")
            if "seed" in group[0] and len(group) < most:
                title += f" ({plural(len(group), 'seed')})"
            cells = [cell(group, name) for name in names]
            lines += [[title, *cells]] if any(cells) else []
        tables.append(markdown(lines))
    return "\n\n".join(tables)


def heading(metric: str) -> str:
    """Return "KID x1000, lower", the name with its factor and which way is better."""
    unit = " in %" if METRICS[metric].percent else f" x{METRICS[metric].scale}" if METRICS[metric].scale > 1 else ""
    return f"{metric}{unit}, {METRICS[metric].better}"


def cell(group: Sequence[Row], metric: str) -> str:
    """Return mean and deviation over seeds, and the interval of the first seed: "12.34 ± 0.56 [11.20, 13.48]"."""
    values = [value(row, metric) for row in group if metric in row["figures"]]
    if not values:
        return ""
    factor = 100 if METRICS[metric].percent else 1
    mean = statistics.mean(values) * factor
    digits = 1 if METRICS[metric].percent else 2 if abs(mean) >= 1 else 3
    text = f"{mean:.{digits}f}"
    if len(values) > 1:
        text += f" ± {statistics.stdev(values) * factor:.{digits}f}"
    first = group[0]["figures"][metric]
    if first["low"] is not None:
        text += f" [{first['low'] * factor:.{digits}f}, {first['high'] * factor:.{digits}f}]"
    return text


def markdown(lines: Iterable[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write_sheet(task: Task, files: Sequence[Path], size: int, path: Path) -> None:
    """Write source, the results of each file, and truth (if there is one) of some images below each other."""
    models = [of_model(i2i.load(file)) for file in files]
    rows = []
    for item in task.items[:: max(1, len(task.items) // SHOWN)][:SHOWN]:
        there = [role for role in ("source", "truth") if getattr(item, role) is not None]
        views = {role: read(getattr(item, role), (size, size))[0] for role in there}
        made = [model(item, views)["result"] for model in models]
        rows.append([views["source"].rgb, *(each.rgb for each in made), *(views[role].rgb for role in there[1:])])
    sheet(rows, ["source", *(file.stem for file in files), "truth"][: len(rows[0])], path)


def add_shared(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that all tasks have, here and in ``students.py``."""
    parser.add_argument("--seeds", type=int, default=3, help="seeds of each, from 0 [3]")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of the runs [runs]")
    parser.add_argument("--finished", action="store_true", help="measure the finished runs and train none")
    parser.add_argument("--judge", type=Path, help="segmenter of facades; without, none")
    parser.add_argument("--palette", type=Path, help="colours of the label maps, for the judge")
    parser.add_argument("--features", help="lite0, onnx:FILE or inception:FILE [lite0]")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write; models and copies lie beside it")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--facades", type=Path, help="folder of facades; without, this task is left out")
    parser.add_argument("--emoji", type=Path, help="folder of emoji; without, this task is left out")
    parser.add_argument("--recipes", type=Path, help="the same, for the recipes; without, this task is left out")
    parser.add_argument("--photos", type=Path, help="folder of photos; without, this task is left out")
    parser.add_argument("--only", action="append", help="name of a method or recipe; can be repeated [all]")
    add_shared(parser)
    arguments = parser.parse_args()
    names = arguments.only
    work = arguments.out.with_suffix("")
    everything: dict[str, Any] = {}
    for name, task in TASKS.items():
        data = getattr(arguments, name)
        if data is None:
            continue
        options = {"features": arguments.features, "provider": "cpu"}
        paired = task.get("paired", True)
        from_data(data, None, None, "test", task["direction"], paired)  # raises before hours of training
        runs = trained(
            name, data, arguments.runs, not arguments.finished,
            lambda method, seed: (names is None or method in names) and seed < arguments.seeds,
        )  # fmt: skip
        if not runs:
            print(f"{name}: no run to measure", file=sys.stderr)
            continue
        left_out = 0
        if task.get("pairs_of_test", False):
            left_out = without_trained(data, work / name)
            data = work / name
        if arguments.judge and name == "facades":
            options |= {"judge": arguments.judge, "palette": arguments.palette}
        rows, about, files = measured(data, name, runs, work, options)
        images = from_data(data, None, None, "test", task["direction"], paired)
        if name != "facades":
            rows += control_rows(images, data, work / f"{name}-controls", task, options)
        write_sheet(images, files, task["size"], arguments.out.with_name(f"{arguments.out.stem}-{name}.png"))
        everything[name] = {"settings": task["settings"], "left_out_pairs": left_out, **about, "rows": rows}
        write_json(arguments.out, everything)
        print(f"## {name}: {len(images.items)} images, {left_out} left out\n\n{summary(rows)}\n\n{about['protocol']}\n")
        if task.get("pairs_of_test", False):
            print(f"{agreement(rows)}\n")


if __name__ == "__main__":
    main()
