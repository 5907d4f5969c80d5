"""Datasets of images and their captions, in a table or in a text file beside each image."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from i2i.data.inspection import named
from i2i.data.layout import Folder, existing
from i2i.data.one_set import OneSet, SetImage, described, images_in, split_folder
from i2i.data.pixel_format import Ranges
from i2i.data.rows import Images, read_text
from i2i.data.shuffle import index_at
from i2i.data.transforms import View
from i2i.errors import DataError
from i2i.images import IMAGE_SUFFIXES
from i2i.spec import Background
from i2i.text import plural
from i2i.words import Words, words_in

TABLE = "captions.csv"
SEPARATORS = ",;\t"
_WRONG = 0xCA9  # of the random numbers that choose captions
_EXPECTED = """one of
  DIR/train/*.jpg  or DIR/*.jpg  with DIR/captions.csv or --captions FILE: the lines "file,caption", then for each
                                 caption the image's name and the text; an image may have several
  DIR/train/*.jpg  or DIR/*.jpg  with a text file of the same name beside each image (x.jpg, x.txt), one caption
                                 a line"""


@dataclass(frozen=True)
class CaptionedImage(SetImage):
    """An image file and its captions."""

    captions: tuple[str, ...]


class Captioned(OneSet):
    """Readable images with captions. ``len`` is an epoch: every image once."""

    kind = "captions"
    _images: Sequence[CaptionedImage]

    def __init__(self, words: Words, *described: Any) -> None:
        super().__init__(*described)
        self.hyperparameters = {"vocabulary": " ".join(words.vocabulary), "words": words.length}
        captions = {caption for image in self._images for caption in image.captions}
        self._words = {caption: tuple(words_in(caption)) for caption in captions}
        self._ids = {caption: words.encode(caption).ids for caption in captions}
        known = hashlib.sha256(self.fingerprint.encode())
        for image in self._images:
            known.update("\0".join(("", *image.captions)).encode("utf-8", "surrogateescape"))
        self.fingerprint = known.hexdigest()

    def sample(self, position: int, seed: int, view: View) -> dict[str, Tensor]:
        """Return "x", "text" and "wrong", int64 [words]: one of the image's captions, and one of another image.

        The wrong caption differs from all captions of the image. Both depend on seed and position alone.
        """
        image = self._images[index_at(position, len(self._images), seed % 2**64)]
        rng = np.random.default_rng((seed % 2**64, position, _WRONG))
        right = image.captions[rng.integers(len(image.captions))]
        text, wrong = self._ids[right], self._ids[self._other(image, rng)]
        return super().sample(position, seed, view) | {"text": torch.from_numpy(text), "wrong": torch.from_numpy(wrong)}

    def _other(self, image: CaptionedImage, rng: np.random.Generator) -> str:
        """Return a caption that the image does not have, of a random image or the next one that has such."""
        own = {self._words[caption] for caption in image.captions}
        first = int(rng.integers(len(self._images)))
        for number in range(len(self._images)):
            captions = self._images[(first + number) % len(self._images)].captions
            if others := [caption for caption in captions if self._words[caption] not in own]:
                return others[rng.integers(len(others))]
        raise AssertionError("read_captions checks that captions differ")


def read_captions(
    data: Folder | None, split: str, channels: str | int, max_bad: int,
    progress: Callable[[int, int], None] | None, captions: Folder | None, background: Background,
    ranges: Ranges | None,
) -> Captioned:  # fmt: skip
    """Read a dataset of kind "captions"; see ``read_folders``. The words are those of the training split."""
    if data is None:
        raise DataError(f"no data: give --data DIR, {_EXPECTED}")
    root = existing(data)
    folder = split_folder(root, split, _EXPECTED)
    table = Path(captions) if captions is not None else root / TABLE if (root / TABLE).is_file() else None
    found, left_out = _in_table(root, table) if table is not None else _beside(folder)
    images = [image for image in found if image.path.is_relative_to(folder)]
    if not images:
        where = table.name if table is not None else "text files"
        raise DataError(f"{folder}: no image in it has a caption in {where}. Expected {_EXPECTED}")
    if len(left_out) > max_bad:
        raise DataError(
            f"images without a caption or captions without an image: {len(left_out)} (at most {max_bad} may be left "
            f"out, with --max-bad):\n{named(left_out)}"
        )
    title = f"images: {folder}, captions: {table if table is not None else 'a text file beside each image'}"
    domain, images, report, *rest = described(
        root, images, title, channels, max_bad, progress, background, ranges, left_out
    )
    _check_different(folder, images)
    learned = images
    if split != "train":
        trained = split_folder(root, "train", _EXPECTED)
        learned = [image for image in found if image.path.is_relative_to(trained)] or _beside(trained)[0]
    words = Words.of(caption for image in learned for caption in image.captions)
    number = sum(len(image.captions) for image in images)
    report.lines.append(
        f"captions: {number}, of up to {plural(words.length, 'word')}; {len(words.vocabulary)} different words"
    )
    return Captioned(words, domain, images, report, *rest)


def _check_different(folder: Path, images: list[CaptionedImage]) -> None:
    """Raise DataError for an image that has every caption there is: it has no wrong one to learn from."""
    every = {tuple(words_in(caption)) for image in images for caption in image.captions}
    for image in images:
        if len(image.captions) >= len(every) and every == {tuple(words_in(caption)) for caption in image.captions}:
            raise DataError(
                f"{folder}: {image.name} has every caption of the data, so that none is wrong for it; expected images "
                "with different captions"
            )


def _beside(folder: Path) -> tuple[list[CaptionedImage], list[str]]:
    """Return the images with captions from text files beside them, and the files without a counterpart."""
    images, left_out, used = [], [], set()
    for image in images_in(folder):
        file = image.path.with_suffix(".txt")
        lines = read_text(file, "the captions").splitlines() if file.is_file() else []
        used.add(file)
        if captions := tuple(dict.fromkeys(line.strip() for line in lines if words_in(line))):
            images.append(CaptionedImage(image.path, image.name, captions))
        else:
            left_out.append(f"{image.path}: no caption in {file.name}" if file.is_file() else
                            f"{image.path}: no {file.name} beside it")  # fmt: skip
    texts = sorted(path for path in folder.rglob("*.txt") if path.name[0] != ".")
    left_out += [f"{path}: no image of this name beside it" for path in texts if path not in used]
    return images, left_out


def _in_table(root: Path, table: Path) -> tuple[list[CaptionedImage], list[str]]:
    """Return the images of all splits with captions from a table, and the rows and images without a counterpart."""
    everything = images_in(root)
    named_by, captions = Images(root, [image.path for image in everything]), dict[Path, dict[str, None]]()
    problems, left_out = [], []
    for line, name, caption in _rows(table):
        paths = named_by(name)
        if not words_in(caption):
            problems.append(f"line {line}: no word in the caption of {name}")
        elif len(paths) > 1:
            problems.append(f"line {line}: there are {len(paths)} images of this name, {paths[0]} and {paths[1]}")
        elif not paths:
            left_out.append(f"{name}: the table has a row, but {root} has no such image")
        else:
            captions.setdefault(paths[0], {})[caption] = None
    if problems:
        raise DataError(f"{table}: {plural(len(problems), 'problem')} with the table:\n{named(problems)}")
    left_out += [f"{image.path}: no row in {table.name}" for image in everything if image.path not in captions]
    found = [image for image in everything if image.path in captions]
    return [CaptionedImage(image.path, image.name, tuple(captions[image.path])) for image in found], left_out


def _rows(table: Path) -> list[tuple[int, str, str]]:
    """Return line number, image name and caption of each row. Raises DataError for another kind of file."""
    text = read_text(table, "the table of captions")
    header = text.lstrip().partition("\n")[0]
    separator = next((each for each in SEPARATORS if header.count(each) == 1), None)
    if separator is None or Path(header.partition(separator)[0].strip()).suffix.lower() in IMAGE_SUFFIXES:
        raise DataError(
            f"{table}: this is no table of captions, its first line is {header[:60]!r}. Expected {_EXPECTED}"
        )
    rows, problems = [], []
    reader = csv.reader(io.StringIO(text), delimiter=separator, strict=True)
    try:
        for row in reader:
            if len(row) == 2:
                rows.append((reader.line_num, row[0].strip(), row[1].strip()))
            elif any(row):
                problems.append(
                    f"line {reader.line_num}: {plural(len(row), 'column')}; expected the image's name and a caption, "
                    f"in double quotes if it contains {separator!r}"
                )
    except csv.Error as error:
        problems.append(f"line {reader.line_num}: this is no CSV: {error}")
    if not problems and not rows[1:]:
        problems.append("there is no caption in it")
    if problems:
        raise DataError(f"{table}: {plural(len(problems), 'problem')} with the table:\n{named(problems)}")
    return rows[1:]
