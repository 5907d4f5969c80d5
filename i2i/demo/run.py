"""``i2i demo``: draws data, trains both methods on it, exports, translates, and shows the results beside the truth."""

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
from i2i.demo.commands import run_all
from i2i.demo.paint import paint
from i2i.demo.scenes import scene
from i2i.demo.tasks import TASKS, Task
from i2i.images import Image, list_images, read_image, write_image
from i2i.metrics import l1
from i2i.progress import Progress
from i2i.runtime.model.catalog import read_run, resolve
from i2i.sheets import sheet
from i2i.text import plural

SIDE = 107  # of a drawing: a crop of 96 pixels moves about in it, and it is not resampled for that
TRAINING, TEST = 100, 12  # scenes
APART = 10_000  # the two folders of the unpaired half, and the test, show different scenes
SHOWN = 5  # rows of the contact sheet

Say = Callable[[str], None]


def demo(out: Path, seed: int = 0, say: Say = lambda line: None, scale: float = 1.0) -> bool:
    """Runs the whole demo in folder ``out``; True when both results are as near to the truth as they should be.

    What is in ``out`` already is kept and used: run again, it goes on where it stopped. ``scale`` multiplies the
    training's steps. ``say`` is told what happens, and how long each stage took.

    Raises ValueError when ``out`` holds something else, or the demo of another seed or scale, and CommandError (a
    ValueError) when a command fails.
    """
    if find_spec("torch") is None:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")  # before anything is drawn
    started = time.monotonic()
    _claim(out, {"seed": seed, "scale": scale})
    with _stage("drawing", say):
        say(draw(out, seed))
    names = " and ".join(f"{task.method} ({task.source} to {task.target})" for task in TASKS)
    with _stage(f"training {names}", say):
        trainings = {task.run(out).with_suffix(".log"): task.arguments(out, seed, scale) for task in TASKS}
        with Progress("step", "training", every=10) as progress:
            run_all(trainings, lambda: _show(progress, out))
    with _stage("exporting", say):
        models = _export(out)
    for task, model in zip(TASKS, models, strict=True):
        with _stage(f"translating with {model}", say):
            i2i.translate(out / "test" / task.source, out / "translated" / task.name, model=model)
    with _stage("comparing with the truth", say):
        good = all([_judge(out, task, say) for task in TASKS])
        picture = contact_sheet(out)
    say(f"all of it took {time.monotonic() - started:.0f} s")
    say(f"open {picture} and see: each source, what its translator made of it, and the truth")
    say(f"translate more of the kind with: i2i translate FOLDER -m {models[-1]}")
    return good


@contextmanager
def _stage(name: str, say: Say) -> Iterator[None]:
    start = time.monotonic()
    say(f"{name} ...")
    yield
    say(f"{name}: {time.monotonic() - start:.1f} s")


def _claim(out: Path, facts: dict[str, Any]) -> None:
    """Makes ``out`` the folder of this demo, or finds that it is."""
    note = out / "demo.json"
    if note.exists():
        try:
            there = json.loads(note.read_text())
        except ValueError as error:
            raise ValueError(f"{note} cannot be read ({error}); give another folder with --out") from error
        if there != facts:
            raise ValueError(f"{out} holds a demo with {there}, not {facts}; give another folder with --out")
        return
    if out.exists() and (not out.is_dir() or any(path.name[0] != "." for path in out.iterdir())):
        raise ValueError(f"{out} is there already and is no demo; give another folder with --out")
    out.mkdir(parents=True, exist_ok=True)
    atomically(note, lambda temporary: temporary.write_text(json.dumps(facts) + "\n"))


def draw(out: Path, seed: int = 0) -> str:
    """Draws what is not there yet, and says what is there now.

    ``pairs/labels`` and ``pairs/day`` show the same scenes under the same names, ``unpaired/day`` and
    ``unpaired/night`` different ones, and ``test/*`` scenes that are in neither, in every style.
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
    return f"{plural(drawn, 'image')} drawn" + (f", {kept} were there" if kept else "") + f": {out}"


def _show(progress: Progress, out: Path) -> None:
    """Show the steps of all trainings, by their logs."""
    done = {task.name: _steps(task.run(out)) for task in TASKS}
    detail = ", ".join(f"{name} {step}/{steps}" for name, (step, steps) in done.items())
    progress.update(sum(step for step, _ in done.values()), sum(steps for _, steps in done.values()), detail=detail)


def _steps(run: Path) -> tuple[int, int]:
    """Return how many steps of a training are done and of how many; 0 of 0 before its first line."""
    try:
        steps = json.loads((run / "run.json").read_text())["steps"]
        return json.loads((run / "log.jsonl").read_text().splitlines()[-1])["step"], steps
    except (OSError, ValueError, KeyError, IndexError):
        return 0, 0


def _export(out: Path) -> list[Path]:
    """The exported file of each task, made where its run has none that is up to date."""
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
    """Source, result and truth of each test scene, uint8 [h, w, 3]."""
    folders = (out / "test" / task.source, out / "translated" / task.name, out / "test" / task.target)
    names = [path.name for path in list_images(folders[0])]
    return [[read_image(folder / name).pixels for folder in folders] for name in names]


def _judge(out: Path, task: Task, say: Say) -> bool:
    """Whether the results are nearer to the truth than their sources are, by a wide margin."""
    triples = _triples(out, task)
    before = float(np.mean([l1(source, truth) for source, _, truth in triples]))
    after = float(np.mean([l1(result, truth) for _, result, truth in triples]))
    good = after < task.enough * before
    say(
        f"{task.name}: mean error against the truth {after:.1%} of the range; that of the source itself is {before:.1%}"
        + ("" if good else f". THIS IS NOT RIGHT: less than {task.enough * before:.1%} was expected")
    )
    return good


def contact_sheet(out: Path) -> Path:
    """Writes ``out/contact.png``: for each task, source, result and truth of the first test scenes."""
    rows = zip(*(_triples(out, task)[:SHOWN] for task in TASKS), strict=True)
    captions = [
        caption
        for task in TASKS
        for caption in (task.source, f"{task.method}: {task.source} to {task.target}", f"truth: {task.target}")
    ]
    path = out / "contact.png"
    sheet([[image for triple in row for image in triple] for row in rows], captions, path)
    return path
