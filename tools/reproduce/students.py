#!/usr/bin/env python3
"""Students beside their teachers: quality, operations and milliseconds.

    python tools/reproduce/students.py --facades FACADES --teachers RUNS --runs RUNS --out students.json
    python tools/reproduce/students.py --emoji EMOJI --teachers RUNS --runs RUNS --out students.json

The teachers are runs of ``translators.py``, in --teachers, one for each seed. A student learns from the teacher of its
seed, with the weights that validation chose, and from all source images of the training split alone, for as many steps
as the teacher had. "alone" is the network of a student, trained by the teacher's method on the images that the teacher
trained on. The teacher is measured with the weights that taught, all others with those of their last step, on the test
split and beside the input itself, as ``translators.py`` does; the smallest student in 8 bits too, where its loss is as
small as ``i2i export`` demands.

A finished run in --runs is taken, any other is trained first; --finished trains none. Operations and milliseconds are
those of the exported file for 256 x 256 pixels, the milliseconds on all cores of this machine. Needs
i2i[train,evaluate].
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import translators
from translators import Row, add_shared, figures_of, finished, markdown, summary, without_trained, write_sheet

import i2i
from i2i.atomic import atomically
from i2i.evaluation.results import RESULT
from i2i.evaluation.sources import from_data
from i2i.images import Image, read_image, write_image
from i2i.runtime.model import macs, speed

ALONE, INT8 = "alone", "in 8 bits"
LEAST = 9
"""Medians of milliseconds, of which the least is stated: other programs only add to it."""


@dataclass(frozen=True)
class Task:
    """A teacher, three students, and the data of both.

    Attributes:
        teachers: name of the teachers' task in ``translators.TASKS``, and
        method: of the teachers in it.
        students: hyper-parameters of each, from the largest to the smallest.
        alone: hyper-parameters of the smallest student in the teacher's method.
        settings: of the students' training, beside size and steps.
    """

    teachers: str
    method: str
    students: dict[str, dict[str, Any]]
    alone: dict[str, Any]
    settings: dict[str, Any]

    @property
    def about(self) -> dict[str, Any]:
        return translators.TASKS[self.teachers]


# fmt: off
TASKS = {
    "facades": Task(
        "facades", "pix2pix",
        {
            f"unet_128, {width} filters": {"generator": "unet_128", "ngf": width, "norm": "batch", "upsample": "deconv"}
            for width in (12, 8, 6)
        },
        {"ngf": 6},
        {"precision": "fp32"},
    ),
    "emoji": Task(
        "recipes", "dclgan, residual",
        {
            f"mobile_resnet_4, {width} filters":
                {"generator": "mobile_resnet_4", "ngf": width, "norm": "group", "residual": True}
            for width in (16, 12, 8)
        },
        {"generator": "mobile_resnet_4", "ngf": 8, "antialias": False},  # which a student has not
        {"precision": "bf16", "background": 255},
    ),
}
# fmt: on


def sources(data: Path, task: Task, folder: Path) -> Path:
    """Return a folder with the source images of the training split; the halves of pairs are written into ``folder``."""
    if task.about["direction"] == "a2b":
        return data / "trainA"
    if not folder.exists():
        unfinished = folder.with_name(f"{folder.name}-{os.getpid()}")
        unfinished.mkdir(parents=True, exist_ok=True)
        for path in sorted((data / "train").iterdir()):
            pixels = read_image(path).pixels
            write_image(unfinished / f"{path.stem}.png", Image(pixels[:, pixels.shape[1] // 2 :]))
        unfinished.rename(folder)
    return folder


def jobs(
    task: Task, data: Path, inputs: Path, teachers: Path, seeds: int
) -> Iterator[tuple[str, int, Path, dict[str, Any]]]:
    """Yield name, seed, teacher and settings of each run, seed by seed. Raises ValueError for a teacher that is not
    finished."""
    about = task.about
    for (method, seed), folder in about["runs"].items():
        if method != task.method or seed >= seeds:
            continue
        if not finished(teachers / folder):
            raise ValueError(f"{teachers / folder}: no finished run; translators.py trains it")
        facts = json.loads((teachers / folder / "run.json").read_text())
        same = {"size": about["size"], "steps": facts["step"], "seed": seed, "workers": 1} | task.settings
        for name, hyper in task.students.items():
            taught = {"method": "distill", "a": inputs, "teacher": teachers / folder, "teacher_to": about["direction"]}
            yield name, seed, teachers / folder, {**taught, **same, **hyper}
        settings = about["settings"] | translators.recipe(task.teachers, method)
        settings.pop("epochs", None)
        if "eval_every" in settings:
            settings["eval_every"] = facts["step"]  # the same images are held out, and validated once
        yield ALONE, seed, teachers / folder, {"data": data, **settings, **same, **task.alone}


def path_of(runs: Path, task: str, name: str, seed: int) -> Path:
    return runs / f"{task}-{name.replace(',', '').replace(' ', '-')}-{seed}"


def measured(
    row: Row, file: Path, data: Path, about: dict[str, Any], options: dict[str, Any], first: bool
) -> tuple[list[Row], str]:
    """Return a row with the figures and the cost of a file, for the first one also those of the baselines, and the
    protocol."""
    (table,) = i2i.evaluate(
        file, data=data, split="test", paired=True, direction=about["direction"], size=about["size"], baseline=first,
        **options,
    ).tables  # fmt: skip
    model = i2i.load(file, provider="cpu")
    cost = {
        "macs": macs.count(file, model.spec, speed.SIDE),
        "parameters": macs.parameters(file),
        "milliseconds": min(speed.milliseconds(model) for _ in range(LEAST)),
        "bytes": file.stat().st_size,
    }
    others = [{"method": who, "figures": figures_of(table, who)} for who in table.candidates if who != RESULT]
    return [row | cost | {"figures": figures_of(table, RESULT)}, *others], table.protocol.line


def costs(rows: list[Row]) -> str:
    """Return a table of what each network costs, of the first seed."""
    lines = [["", "G MACs", "teacher's / its", "parameters", "KB", "ms"], ["---"] * 6]
    first = {row["method"]: row for row in reversed(rows) if "macs" in row}
    whole = first["teacher"]["macs"]
    for name in dict.fromkeys(row["method"] for row in rows if "macs" in row):
        row = first[name]
        lines.append([
            name, f"{row['macs'] / 1e9:.3f}", f"{whole / row['macs']:.1f}", f"{row['parameters']:,}",
            f"{row['bytes'] / 1000:.0f}", f"{row['milliseconds']:.1f}",
        ])  # fmt: skip
    return markdown(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in TASKS:
        parser.add_argument(f"--{name}", type=Path, help=f"folder of {name}; without, this task is left out")
    parser.add_argument("--teachers", type=Path, required=True, help="folder of the teachers' runs")
    add_shared(parser)
    given = parser.parse_args()
    work = given.out.with_suffix("")
    everything: dict[str, Any] = {}
    for name, task in TASKS.items():
        data = getattr(given, name)
        if data is not None:
            everything[name] = report(name, task, data, given, work)
    text = json.dumps(everything, indent=1)
    atomically(given.out, lambda temporary: temporary.write_text(text + "\n", encoding="utf-8"))


def report(name: str, task: Task, data: Path, given: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Train, measure and print a task; return its figures."""
    about, options = task.about, {"features": given.features, "provider": "cpu"}
    inputs = sources(data, task, work / f"{name}-sources")
    found: list[tuple[str, int, Path]] = []
    for student, seed, teacher, settings in jobs(task, data, inputs, given.teachers, given.seeds):
        found += [("teacher", seed, teacher)] if ("teacher", seed, teacher) not in found else []
        run = path_of(given.runs, name, student, seed)
        if not given.finished:
            i2i.train(out=run, **settings)
        if finished(run):
            found.append((student, seed, run))
        else:
            print(f"{run}: not finished, left out", file=sys.stderr)
    if about.get("pairs_of_test"):
        without_trained(data, work / name)
        data = work / name
    elif given.judge:
        options |= {"judge": given.judge, "palette": given.palette}
    rows: list[Row] = []
    files: list[Path] = []
    line, smallest = "", list(task.students)[-1]
    for student, seed, run in found:
        to = about["direction"] if student in ("teacher", ALONE) else None
        weights = "best" if student == "teacher" else "newest"
        file = i2i.export(run, work / "models" / f"{run.name}.onnx", to=to, weights=weights)
        titled = {student: file}
        if student == smallest:
            eight = file.with_name(f"{run.name}-int8.onnx")
            try:
                titled[f"{student}, {INT8}"] = i2i.export(run, eight, weights="newest", precision="int8")
            except ValueError as error:
                print(f"{run.name}: no file in 8 bits: {error}", file=sys.stderr)
        for title, each in titled.items():
            more, line = measured({"method": title, "seed": seed}, each, data, about, options, not rows)
            rows += more
            files += [each] if seed == 0 else []
    images = from_data(data, None, None, "test", about["direction"], True)
    write_sheet(images, files, about["size"], given.out.with_name(f"{given.out.stem}-{name}.png"))
    print(f"## {name}\n\n{costs(rows)}\n\n{speed.machine('cpu')}\n\n{summary(rows)}\n\n{line}\n")
    return {"protocol": line, "machine": speed.machine("cpu"), "rows": rows}


if __name__ == "__main__":
    main()
