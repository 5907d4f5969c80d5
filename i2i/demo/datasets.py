"""Data sets of drawings with captions and attributes: houses in ``captions``, faces in ``family``."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from i2i.demo.captions import caption, landscape, looks
from i2i.demo.faces import random_face
from i2i.demo.portraits import paint_face
from i2i.images import Image, write_image
from i2i.progress import Progress

_APART = 1_000_000  # numbers between the drawings of two splits
_NOTE = "drawn.json"


@dataclass(frozen=True)
class Drawing:
    """One file of a data set."""

    file: str
    paint: Callable[[], np.ndarray]
    attributes: dict[str, bool]
    caption: str | None = None


def draw_captions(out: Path, seed: int = 0, count: int = 4000) -> Path:
    """Draw houses with captions into ``out/captions``; return that folder.

    ``train`` has ``count`` images of 64 pixels and ``test`` a tenth as many, whose combinations of parameters never
    occur in ``train``. ``captions.csv`` has a caption for each image, ``attributes.csv`` its parameters, for
    ``--attributes``. A complete data set is kept, and an interrupted one is continued.

    Raises ValueError for a count below 10, and if the folder contains something else.
    """
    return _draw(out / "captions", seed, count, _houses)


def draw_family(out: Path, seed: int = 0, count: int = 2000) -> Path:
    """Draw faces into ``out/family``, in a folder for each group; return that folder.

    The groups are ``smiling-woman``, ``calm-woman``, ``smiling-man`` and ``calm-man``, equally large, below ``train``
    (``count`` images of 64 pixels) and ``test`` (a tenth as many). ``attributes.csv`` has all attributes of each image.
    A complete data set is kept, and an interrupted one is continued.

    Raises ValueError for a count below 10, and if the folder contains something else.
    """
    return _draw(out / "family", seed, count, _faces)


DATASETS: dict[str, Callable[[Path, int], Path]] = {"captions": draw_captions, "family": draw_family}


def _houses(split: str, first: int, count: int) -> Iterator[Drawing]:
    combinations = looks(held_out=split == "test")
    order = np.random.default_rng(first).permutation(len(combinations))
    for number in range(count):
        look, seed = combinations[order[number % len(order)]], first + number
        yield Drawing(
            f"{split}/{number:05d}.png",
            lambda look=look, seed=seed: landscape(look, seed),  # type: ignore[misc]
            look.attributes,
            caption(look, seed),
        )


def _faces(split: str, first: int, count: int) -> Iterator[Drawing]:
    for number in range(count):
        face = random_face(first + number, smiling=number % 2 == 0, woman=number % 4 < 2)
        yield Drawing(
            f"{split}/{face.group}/{number:05d}.png",
            lambda face=face: paint_face(face),  # type: ignore[misc]
            face.attributes,
        )


def _draw(folder: Path, seed: int, count: int, drawings: Callable[[str, int, int], Iterator[Drawing]]) -> Path:
    """Draw a data set in a temporary folder, which then gets its name."""
    if count < 10:
        raise ValueError(f"count is {count}; expected at least 10 training images, one test image for each ten")
    note = json.dumps({"seed": seed, "count": count}) + "\n"
    if folder.exists():
        _check(folder, note)
        return folder
    unfinished = folder.with_name(f".{folder.name}-{seed}-{count}.part")
    first = 2 * seed * _APART
    todo = [*drawings("train", first, count), *drawings("test", first + _APART, count // 10)]
    with Progress("image", "drawing") as progress:
        for done, drawing in enumerate(todo):
            path = unfinished / drawing.file
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                write_image(path, Image(drawing.paint()))
            progress.update(done + 1, len(todo))
    _write_table(
        unfinished / "attributes.csv",
        ["file", *todo[0].attributes],
        [[drawing.file, *map(int, drawing.attributes.values())] for drawing in todo],
    )
    if todo[0].caption is not None:
        _write_table(
            unfinished / "captions.csv",
            ["file", "caption"],
            [[drawing.file, drawing.caption] for drawing in todo],
        )
    (unfinished / _NOTE).write_text(note)
    os.replace(unfinished, folder)
    return folder


def _check(folder: Path, note: str) -> None:
    """Raise ValueError unless the folder is a complete data set with this note."""
    try:
        there = (folder / _NOTE).read_text()
    except OSError as error:
        raise ValueError(f"{folder} exists already and is not a drawn data set; give another folder") from error
    if there != note:
        raise ValueError(f"{folder} contains drawings with {there.strip()}, not {note.strip()}; give another folder")


def _write_table(path: Path, header: list[str], rows: list[list[str | int | None]]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
