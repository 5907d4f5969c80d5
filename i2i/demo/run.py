"""``i2i demo``: draw data, train two methods, export, translate, and compare the results with the ground truth."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import i2i
from i2i.atomic import atomically
from i2i.demo.datasets import DATASETS
from i2i.demo.paint import paint
from i2i.demo.scenes import scene
from i2i.demo.subprocesses import run_all
from i2i.demo.tasks import TASKS, TRAININGS, Task
from i2i.images import Image, list_images, read_image, write_image
from i2i.metrics import l1
from i2i.progress import Progress
from i2i.runtime.model.catalog import read_run, resolve
from i2i.sheets import sheet
from i2i.text import plural

SIDE = 107  # pixels of a drawing; training crops of 96 pixels are cut from it without resampling
TRAINING, TEST = 100, 12  # scenes
APART = 10_000  # the two unpaired folders and the test folder show different scenes
SHOWN = 5  # rows of the contact sheet

Say = Callable[[str], None]


def demo(out: Path, seed: int = 0, say: Say = lambda line: None, scale: float = 1.0) -> bool:
    """Run the whole demo in folder ``out``; return True if all results are close enough to the ground truth.

    An interrupted demo continues: files in ``out`` are kept and used. ``scale`` multiplies the training steps. ``say``
    is called with a line for each stage and its duration.

    Raises ValueError if ``out`` contains something else, or the demo of another seed or scale, and CommandError (a
    ValueError) if a command fails.
    """
    if find_spec("torch") is None:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")  # before drawing anything
    started = time.monotonic()
    _open_folder(out, {"seed": seed, "scale": scale})
    with _stage("drawing", say):
        say(draw(out, seed))
    names = " and ".join(f"{task.method} ({task.source} to {task.target})" for task in TASKS)
    with _stage(f"training {names}", say):
        trainings = {task.run(out).with_suffix(".log"): task.arguments(out, seed, scale) for task in TASKS}
        with Progress("step", "training", every=10) as progress:
            run_all(trainings, lambda: _show(progress, out, scale))
    with _stage("exporting", say):
        models = _export(out)
    for task, model in zip(TASKS, models, strict=True):
        with _stage(f"translating with {model}", say):
            i2i.translate(out / "test" / task.source, out / "translated" / task.name, model=model)
    with _stage("comparing with the ground truth", say):
        good = all([_evaluate(out, task, say) for task in TASKS])
        picture = contact_sheet(out)
    say(f"finished in {time.monotonic() - started:.0f} s")
    say(f"open {picture}: each source, its translation, and the ground truth")
    say(f"translate more images with: i2i translate FOLDER -m {models[-1]}")
    return good


def draw_dataset(out: Path, what: str, seed: int = 0, say: Say = lambda line: None) -> Path:
    """Draw the data set ``what``, a name in ``DATASETS``, in the demo's folder ``out``; return its folder.

    ``say`` is called with its folder and the commands that train on it. Raises ValueError as ``demo`` does.
    """
    _open_folder(out, {"seed": seed, "scale": 1.0})
    with _stage(f"drawing {what}", say):
        data = DATASETS[what](out, seed)
    say(f"open {data}")
    for training in TRAININGS[what]:
        say(f"{training.purpose}: {training.command(data)}")
    return data


@contextmanager
def _stage(name: str, say: Say) -> Iterator[None]:
    start = time.monotonic()
    say(f"{name} ...")
    yield
    say(f"{name}: {time.monotonic() - start:.1f} s")


def _open_folder(out: Path, facts: dict[str, Any]) -> None:
    """Create the folder of this demo, or check that ``out`` is one."""
    note = out / "demo.json"
    if note.exists():
        try:
            there = json.loads(note.read_text())
        except ValueError as error:
            raise ValueError(f"{note} cannot be read ({error}); give another folder with --out") from error
        if there != facts:
            raise ValueError(f"{out} contains a demo with {there}, not {facts}; give another folder with --out")
        return
    if out.exists() and (not out.is_dir() or any(path.name[0] != "." for path in out.iterdir())):
        raise ValueError(f"{out} exists already and is not a demo; give another folder with --out")
    out.mkdir(parents=True, exist_ok=True)
    atomically(note, lambda temporary: temporary.write_text(json.dumps(facts) + "\n"))


def draw(out: Path, seed: int = 0) -> str:
    """Draw the missing images, and return a line with their number.

    ``pairs/labels`` and ``pairs/day`` show the same scenes under the same names, ``unpaired/day`` and
    ``unpaired/night`` different ones, and ``test/*`` other scenes again, in every style.
    """
    first = seed * 10 * APART
    folders = {
        "pairs/labels": first,
        "pairs/day": first,
        "unpaired/day": first + APART,
        "unpaired/night": first + 2 * APART,
        "test/labels": first + 3 * APART,
        "test/day": first + 3 * APART,
        "test/night": first + 3 * APART,
    }
    drawn = kept = 0
    for folder, start in folders.items():
        (out / folder).mkdir(parents=True, exist_ok=True)
        for number in range(TEST if folder.startswith("test") else TRAINING):
            path = out / folder / f"{number:03d}.png"
            if path.exists():
                kept += 1
                continue
            write_image(path, Image(paint(scene(start + number), Path(folder).name, SIDE)))
            drawn += 1
    return f"{plural(drawn, 'image')} drawn" + (f", {kept} kept" if kept else "") + f": {out}"


def _show(progress: Progress, out: Path, scale: float) -> None:
    """Show the steps of all trainings, by their logs."""
    total = {task.name: task.scaled_steps(scale) for task in TASKS}
    done = {task.name: _steps(task.run(out)) for task in TASKS}
    detail = ", ".join(f"{name} {step}/{total[name]}" for name, step in done.items())
    progress.update(sum(done.values()), sum(total.values()), detail=detail)


def _steps(run: Path) -> int:
    """Return how many steps of a training are done, by its log: 0 before the first line."""
    try:
        return json.loads((run / "log.jsonl").read_text().splitlines()[-1])["step"]
    except (OSError, ValueError, KeyError, IndexError):
        return 0


def _export(out: Path) -> list[Path]:
    """Export each task whose run has no current export; return the exported files."""
    waiting = [task for task in TASKS if _exported(task.run(out)) is None]
    run_all(
        {
            task.run(out).with_suffix(".export.log"): ["export", str(task.run(out)), f"--to={task.target}"]
            for task in waiting
        }
    )
    return [resolve(task.run(out), to=task.target).path for task in TASKS]


def _exported(run: Path) -> Path | None:
    found = read_run(run)
    return found.exported("a2b") if found else None


def _triples(out: Path, task: Task) -> list[list[np.ndarray]]:
    """Return source, result and ground truth of each test scene, uint8 [h, w, 3]."""
    folders = (out / "test" / task.source, out / "translated" / task.name, out / "test" / task.target)
    names = [path.name for path in list_images(folders[0])]
    return [[read_image(folder / name).pixels for folder in folders] for name in names]


def _evaluate(out: Path, task: Task, say: Say) -> bool:
    """True if the results are much closer to the ground truth than their sources are."""
    triples = _triples(out, task)
    before = float(np.mean([l1(source, truth) for source, _, truth in triples]))
    after = float(np.mean([l1(result, truth) for _, result, truth in triples]))
    good = after < task.max_error_ratio * before
    say(
        f"{task.name}: mean error {after:.1%} of the range; the source itself has {before:.1%}"
        + ("" if good else f". TOO HIGH: expected less than {task.max_error_ratio * before:.1%}")
    )
    return good


def contact_sheet(out: Path) -> Path:
    """Write ``out/contact.png``: source, result and ground truth of the first test scenes, for each task."""
    rows = zip(*(_triples(out, task)[:SHOWN] for task in TASKS), strict=True)
    captions: list[str] = []
    for task in TASKS:
        captions += [task.source, f"{task.method}: {task.source} to {task.target}", f"truth: {task.target}"]
    path = out / "contact.png"
    sheet([[image for triple in row for image in triple] for row in rows], captions, path)
    return path
